"""How many units, members and classes compositions have, where a graph has one shape for all.

    {"batch": 1, "tokens": 64, "rows": 1, "lower_units": 192, "upper_units": 96, "members": 3, ...}

A composition with fewer is filled up with zeros, which add nothing, and a member that is not there
gets a score that leaves it no share.
"""

from collections.abc import Iterable, Iterator, Mapping

from composer.bundle.graphs import FixedShape
from composer.bundle.layout import BOTTLENECKS
from composer.bundle.manifest import Manifest
from composer.bundle.records import CompositionRecord
from composer.bundle.shapes import read_shape
from composer.bundle.slots import Member, fill_slots
from composer.recipe.grammar.composition import parse_composition
from composer.recipe.sizes.fit import bottleneck_width

_RANKS = ("rows", "lower_units", "upper_units", "members", "classes")


def needed_shape(
    record: CompositionRecord, widths: Mapping[str, int], *, batch: int, tokens: int
) -> FixedShape:
    """Give the least shape that runs a composition.

    Args:
        record: The composition.
        widths: Units of each of its adapters, by name.
        batch: Texts at a time.
        tokens: Of each.
    """
    filling = fill_slots(parse_composition(record.expression))
    upper = filling.upper or ((),)
    return FixedShape(
        batch=batch,
        tokens=tokens,
        rows=tokens if record.type == "token-classification" else 1,
        lower_units=_units([filling.lower or ()], widths),
        upper_units=_units(upper, widths),
        members=len(upper),
        classes=record.outputs,
    )


def joint_shape(shapes: Iterable[FixedShape]) -> FixedShape:
    """Give the least shape that runs all that one of these runs; batch and tokens are the same."""
    first, *others = shapes
    largest = {name: max(getattr(one, name) for one in (first, *others)) for name in _RANKS}
    return first.model_copy(update=largest)


def shape_faults(manifest: Manifest) -> Iterator[str]:
    """Say where fixed shapes differ, or are too small for what a graph is to run."""
    shapes = {name: graph.shape for name, graph in manifest.graphs.items()}
    calls = {one and (one.batch, one.tokens) for one in shapes.values()}
    if len(calls) > 1:
        yield "graphs: must have one shape of calls"
    for name, shape in shapes.items():
        if shape and shape.tokens > manifest.backbone.max_tokens:
            most = manifest.backbone.max_tokens
            yield f"graphs.{name}: shape.tokens: {shape.tokens}, and the backbone takes {most}"
    for name, record in manifest.compositions.items():
        shape = shapes.get(record.graph or "")
        if shape is None:
            continue
        needed = needed_shape(
            record, part_widths(manifest, record), batch=shape.batch, tokens=shape.tokens
        )
        if joint_shape([shape, needed]) != shape:
            yield f"compositions.{name}: graph: {record.graph!r} has no room for it"


def part_widths(manifest: Manifest, record: CompositionRecord) -> dict[str, int]:
    """Tell the units of each adapter of a composition."""
    parts = {name: manifest.parts[name] for name in record.parts}
    size = manifest.backbone.hidden_size
    return {
        name: widest(part.config, size) for name, part in parts.items() if part.kind in BOTTLENECKS
    }


def widest(config: Mapping[str, object], size: int) -> int:
    """Tell the units of an adapter where it has the most.

    >>> widest({"kind": "bottleneck", "reduction_factor": {"0": 8.0, "default": 16.0}}, 384)
    48
    """
    return bottleneck_width(read_shape(config), size)


def _units(members: Iterable[Member], widths: Mapping[str, int]) -> int:
    return max(1, sum(widths[piece.adapter] for member in members for piece in member))
