"""Which slot of the device graph each part of a composition fills, and what it asks for.

    intent                     upper: intent
    de > intent                lower: de, upper: intent
    de > fuse(intent, none)    lower: de, upper: intent, none, mixed
    fuse(a, b) > c             refused: the graph mixes in its upper slot only

What stands first may be invertible; nothing else may.
Adapters that an average joins are one member whose units lie side by side, exactly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from composer.bundle.graphs import Signature, Slot
from composer.bundle.heads import head_non_linearity
from composer.bundle.records import CompositionRecord, Role
from composer.bundle.shapes import AnyShape, Shape, read_shape
from composer.errors import BundleError
from composer.recipe.checking.combining import refusal
from composer.recipe.grammar.adapters import MAdapter, NonLinearity
from composer.recipe.grammar.composition import (
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    adapter_names,
    parse_composition,
    stacked_parts,
)
from composer.recipe.grammar.invertible import first_adapter, misplaced


@dataclass(frozen=True, kw_only=True)
class Piece:
    """An adapter in a slot.

    Attributes:
        adapter: Its name in the composition.
        weight: Factor on what it adds, from the averages around it.
    """

    adapter: str
    weight: float = 1.0


class Described(Protocol):
    """A part as a bundle's manifest tells of it, or as it is about to be written."""

    @property
    def role(self) -> Role:
        """What it is for."""

    @property
    def config(self) -> Mapping[str, object]:
        """How an adapter is run."""

    @property
    def tensors(self) -> Mapping[str, object]:
        """What it holds, by name."""


Member = tuple[Piece, ...]  # what is added together; none of them for the null member


@dataclass(frozen=True, kw_only=True)
class Filling:
    """What fills the two slots.

    Attributes:
        lower: What acts first; None: nothing.
        upper: The members on top: one, or those that are mixed; None: nothing.
        mixer: The number of the fusion or gate in `upper`; None: its one member is added.
    """

    lower: Member | None = None
    upper: tuple[Member, ...] | None = None
    mixer: int | None = None


def fill_slots(composition: Composition) -> Filling:
    """Share out a composition over the slots.

    >>> filling = fill_slots(Fuse(("intent", "none")))
    >>> filling.lower, filling.upper
    (None, ((Piece(adapter='intent', weight=1.0),), ()))

    Raises:
        BundleError: The graph has no place for it; the message says for what.
    """
    parts = stacked_parts(composition)
    if len(parts) > 2:
        raise BundleError(f"{composition}: a stack of {len(parts)}; the device graph has two slots")
    if len(parts) == 2 and isinstance(parts[0], Fuse | Gate):
        raise BundleError(
            f"{composition}: {parts[0]} lies under {parts[1]}; the device graph mixes only what "
            "is on top"
        )
    lower = _member(parts[0]) if len(parts) == 2 else None
    if composition == NONE:
        return Filling()
    if isinstance(parts[-1], Fuse | Gate):
        members = tuple(_member(part) for part in parts[-1].parts)
        return Filling(lower=lower, upper=members, mixer=0)
    return Filling(lower=lower, upper=(_member(parts[-1]),))


def needed_signature(
    composition: Composition,
    shapes: Mapping[str, AnyShape],
    *,
    own_norms: bool,
    head: NonLinearity | None = None,
) -> Signature:
    """Give the least graph that runs a composition.

    Args:
        composition: Bound.
        shapes: Of its adapters, by name.
        own_norms: Whether the composition itself trained norms.
        head: Between the two layers of its head; None: it has one layer.

    Raises:
        BundleError: No graph does.
    """
    filling, top = fill_slots(composition), norm_owner(composition)
    shapes = behind_sub_layers(shapes)
    return Signature(
        lower=_slot((filling.lower,), shapes) if filling.lower else None,
        upper=_slot(filling.upper, shapes) if filling.upper else None,
        mixing=filling.mixer is not None,
        norms=own_norms if top is None else shapes[top].train_norm,
        invertible=_invertible(composition, shapes),
        heads=(head,) if head else (),
    )


def behind_sub_layers(shapes: Mapping[str, AnyShape]) -> dict[str, Shape]:
    """Refuse what acts elsewhere: the graph has no place for it."""
    found: dict[str, Shape] = {}
    for name, shape in shapes.items():
        if not isinstance(shape, Shape):
            raise BundleError(f"{name} ({shape.kind}): {refusal(shape, 'graph')}")
        found[name] = shape
    return found


def signature_of(composition: CompositionRecord, parts: Mapping[str, Described]) -> Signature:
    """Give the least graph that runs a composition of a bundle.

    Raises:
        BundleError: No graph does, or a part's config is not one.
        CompositionError: The expression cannot be read.
        KeyError: A part is missing.
    """
    expression = parse_composition(composition.expression)
    owned = [parts[name] for name in composition.parts if parts[name].role == "composition"]
    return needed_signature(
        expression,
        {name: read_shape(parts[name].config) for name in adapter_names(expression)},
        own_norms=any(name.endswith(".norm_weight") for part in owned for name in part.tensors),
        head=head_non_linearity(parts[composition.head].config),
    )


def norm_owner(composition: Composition) -> str | None:
    """Name the adapter whose norms a composition uses: the one on top of the stack.

    None: a fusion, an average or `none` is there, and the composition's own norms count.
    """
    top = stacked_parts(composition)[-1]
    return top if isinstance(top, str) and top != NONE else None


def joint_signatures(needed: Mapping[str, Signature]) -> list[tuple[Signature, tuple[str, ...]]]:
    """Join what compositions need into as few graphs as there must be.

    Adapters of one slot sit at the same sites in one graph; all else can be had together.

    Args:
        needed: Name of a composition -> what it needs.

    Returns:
        Each graph's signature and the compositions that it runs.
    """
    joint: list[tuple[Signature, tuple[str, ...]]] = []
    for name, signature in needed.items():
        for number, (known, names) in enumerate(joint):
            if _fit(known.lower, signature.lower) and _fit(known.upper, signature.upper):
                joint[number] = (_joined(known, signature), (*names, name))
                break
        else:
            joint.append((signature, (name,)))
    return joint


def covers(graph: Signature, needed: Signature) -> bool:
    """Say whether a graph can run what needs this much."""
    same = _fit(graph.lower, needed.lower) and _fit(graph.upper, needed.upper)
    return same and _joined(graph, needed) == graph


def _member(part: Composition) -> Member:
    match part:
        case str():
            return () if part == NONE else (Piece(adapter=part),)
        case Average(parts=parts, weights=weights):
            return tuple(
                Piece(adapter=piece.adapter, weight=weight * piece.weight)
                for weight, inner in zip(weights, parts, strict=True)
                for piece in _member(inner)
            )
    raise BundleError(
        f"{part}: a stack inside a fusion, gate or average is not in the device graph"
    )


def _slot(members: Iterable[Member], shapes: Mapping[str, Shape]) -> Slot | None:
    used = [shapes[piece.adapter] for member in members for piece in member]
    if not used:
        return None
    return Slot(
        placement=used[0].placement,
        form=used[0].form,
        non_linearities=tuple(sorted({shape.non_linearity for shape in used})),
        middle_layers=max(_middle_layers(shape) for shape in used),
    )


def _invertible(composition: Composition, shapes: Mapping[str, Shape]) -> tuple[NonLinearity, ...]:
    message = misplaced(composition, {name for name, one in shapes.items() if one.invertible})
    if message is not None:
        raise BundleError(message)
    first = first_adapter(composition)
    if first is None or not shapes[first].invertible:
        return ()
    return (shapes[first].non_linearity,)


def _middle_layers(shape: Shape) -> int:
    return shape.middle_layers if isinstance(shape, MAdapter) else 0


def _fit(one: Slot | None, other: Slot | None) -> bool:
    if one is None or other is None:
        return True
    return (one.placement, one.form) == (other.placement, other.form)


def _joined(one: Signature, other: Signature) -> Signature:
    return Signature(
        lower=_wider(one.lower, other.lower),
        upper=_wider(one.upper, other.upper),
        mixing=one.mixing or other.mixing,
        norms=one.norms or other.norms,
        invertible=tuple(sorted({*one.invertible, *other.invertible})),
        heads=tuple(sorted({*one.heads, *other.heads})),
    )


def _wider(one: Slot | None, other: Slot | None) -> Slot | None:
    if one is None or other is None:
        return one or other
    return Slot(
        placement=one.placement,
        form=one.form,
        non_linearities=tuple(sorted({*one.non_linearities, *other.non_linearities})),
        middle_layers=max(one.middle_layers, other.middle_layers),
    )
