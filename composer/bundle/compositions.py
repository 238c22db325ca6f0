"""Whether a composition agrees with the parts that it names.

fuse(intent, domain)     both are adapters of one placement; the part of the kind fusion has
one mixer of two members, and as many units as both have together
labels, type             the head has a row for each output
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from composer.bundle.layout import classes, mixers
from composer.bundle.manifest import Manifest
from composer.bundle.records import CompositionRecord, PartRecord
from composer.bundle.shapes import (
    AnyShape,
    Shape,
    broken_promises,
    mixer_tensors,
    norm_tensors,
    read_shape,
)
from composer.errors import BundleError, ComposerError, did_you_mean
from composer.recipe.checking.combining import ill_combined
from composer.recipe.grammar.composition import (
    LANGUAGE,
    Composition,
    Gate,
    adapter_names,
    mixers_of,
    parse_composition,
)
from composer.recipe.grammar.invertible import is_invertible, misplaced


def composition_faults(composition: CompositionRecord, manifest: Manifest) -> Iterator[str]:
    """Say what a composition asks for and its parts do not have, or have too much."""
    parts = manifest.parts
    for name in (*composition.parts, composition.head):
        if name not in parts:
            yield f"no part {name!r}; {did_you_mean(name, parts)}"
    if len(set(composition.parts)) != len(composition.parts):
        yield "a part is listed twice"
    yield from _expression_faults(composition, manifest)
    head = parts.get(composition.head)
    if head is None:
        return
    if head.kind != "head" or "bias" not in head.tensors or not head.types["bias"].shape:
        yield f"the part {composition.head!r} is no head"
        return
    if len(set(composition.labels)) != len(composition.labels):
        yield "a label is there twice"
    if (composition.type == "regression") != (not composition.labels):
        yield f"{len(composition.labels)} labels for a {composition.type}"
    elif classes(head.types) != composition.outputs:
        yield (
            f"{len(composition.labels)} labels of a {composition.type} need a head of "
            f"{composition.outputs} rows, not {classes(head.types)}"
        )


def _expression_faults(composition: CompositionRecord, manifest: Manifest) -> Iterator[str]:
    try:
        expression = parse_composition(composition.expression)
    except ComposerError as fault:
        yield f"expression: {fault}"
        return
    if str(expression) != composition.expression:
        yield f"expression: must be written {str(expression)!r}"
    parts, listed, named = manifest.parts, set(composition.parts), set(adapter_names(expression))
    for name in sorted(named - listed):
        if name == LANGUAGE:
            yield f"expression: {LANGUAGE} is not bound to a language"
        else:
            yield f"expression: {name!r} is not among its parts"
    for name in composition.parts:
        if name in parts and (parts[name].role in ("language", "task")) != (name in named):
            yield f"the part {name!r} ({parts[name].role}) does not belong to the expression"
    yield from _mixer_faults(expression, [parts[n] for n in listed & parts.keys()])
    shapes = {name: _shape(parts[name]) for name in named & listed & parts.keys()}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    if known.keys() == named:  # the rest is said already
        yield from _owned_faults(expression, known, composition, manifest)


def _shape(part: PartRecord) -> AnyShape | None:
    try:
        return read_shape(part.config)
    except BundleError:
        return None


def _owned_faults(
    expression: Composition,
    shapes: Mapping[str, AnyShape],
    composition: CompositionRecord,
    manifest: Manifest,
) -> Iterator[str]:
    """Hold what the composition owns to the shapes of its members, site for site."""
    backbone = manifest.backbone
    size, layers = backbone.hidden_size, backbone.layers
    message = misplaced(expression, {n for n, shape in shapes.items() if is_invertible(shape)})
    for fault in (message, *ill_combined(expression, shapes)):
        if fault is not None:
            yield f"expression: {fault}"
    for mixer in mixers_of(expression):
        mixed = [shapes[name] for name in adapter_names(mixer)]
        shared = [shape for shape in mixed if isinstance(shape, Shape)]
        for word, found in (
            ("placements", sorted({shape.placement for shape in shared})),
            ("forms", sorted({shape.form for shape in shared})),
        ):
            if len(found) > 1:
                yield f"expression: {mixer} has members of the {word} {', '.join(found)}"
                return
    owned = {name: manifest.parts.get(name) for name in composition.parts}
    for name, part in owned.items():
        if part is None or part.role != "composition":
            continue
        types = part.types
        norms = any(".norm_" in tensor for tensor in types)
        promised = chain(
            mixer_tensors(expression, shapes, size=size, layers=layers),
            norm_tensors(expression, shapes, size=size, layers=layers) if norms else (),
        )
        for broken in broken_promises(types, promised):
            yield f"expression: the part {name!r}: {broken}"


def _mixer_faults(expression: Composition, used: Iterable[PartRecord]) -> Iterator[str]:
    owned = [part for part in used if part.role == "composition"]
    if len(owned) > 1:
        yield f"{len(owned)} parts of the role 'composition'; it may own one"
        return
    wanted = dict(enumerate({form} for form in _mixers(expression)))
    found = mixers(owned[0].types) if owned and owned[0].kind == "fusion" else {}
    if found != wanted:
        yield (
            f"expression: it has the mixers {_spoken(wanted)}, its parts of the kind fusion "
            f"have {_spoken(found)}"
        )


def _mixers(expression: Composition) -> Iterator[tuple[str, int]]:
    for part in mixers_of(expression):
        yield ("gate" if isinstance(part, Gate) else "fuse", len(part.parts))


def _spoken(mixers_: Mapping[int, set[tuple[str, int]]]) -> str:
    forms = [f"{form} of {count}" for found in mixers_.values() for form, count in sorted(found)]
    return ", ".join(forms) or "none"
