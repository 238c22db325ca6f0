"""The tensors that a description promises: of an adapter its config, of a fusion its expression.

    config      {"kind": "bottleneck", "width": 24}      0.attention.down (24, 384), ...
    expression  fuse(intent, domain, none)               0.output.0.f_up_score (3, 384), ...

`composer.bundle.layout` says what a kind of part may hold at all; here a part is held to what
this one must hold: nothing is missing where it is run, and nothing is left over.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from composer.bundle.header import TensorType
from composer.bundle.inner import inner_tensors, stored_width
from composer.bundle.sparse import dense_types, kept_weights
from composer.errors import BundleError, ComposerError
from composer.recipe.grammar.adapters import (
    AdaMix,
    AdapterShape,
    BottleneckAdapter,
    Full,
    MAdapter,
    joint_placement,
    sub_layers,
)
from composer.recipe.grammar.composition import (
    NONE,
    Composition,
    Fuse,
    adapter_names,
    mixers_of,
    walk,
)
from composer.recipe.grammar.invertible import coupling_matrices
from composer.recipe.sizes.fit import bottleneck_width
from composer.recipe.sizes.inner import Inner
from composer.recipe.sizes.sparsity import dropped_weights, is_masked

Shape = BottleneckAdapter | MAdapter
AnyShape = Shape | Inner | Full
Promised = Iterable[tuple[str, tuple[int, ...]]]  # name, lengths

_SHAPES: TypeAdapter[AdapterShape] = TypeAdapter(AdapterShape)


def read_shape(
    config: Mapping[str, object], *, error: type[ComposerError] = BundleError
) -> AnyShape:
    """Read how an adapter is run.

    Args:
        config: Plain JSON values.
        error: Raised where that is no config, or asks for what this version does not do.
    """
    try:
        shape = _SHAPES.validate_json(json.dumps(config))
    except ValidationError as fault:
        first = fault.errors()[0]
        where = "".join(f"{key}: " for key in first["loc"][1:])  # the first is the kind
        raise error(f"{where}{first['msg']}") from fault
    if isinstance(shape, AdaMix):
        raise error(f"kind: a part cannot be of the kind {shape.kind!r}")
    return shape


def adapter_tensors(shape: Shape, *, size: int, layers: int) -> Promised:
    """List the tensors of an adapter.

    >>> shape = BottleneckAdapter(kind="bottleneck", width=2, placement="pfeiffer", bias=False)
    >>> list(adapter_tensors(shape, size=8, layers=1))
    [('0.output.down', (2, 8)), ('0.output.up', (8, 2))]
    """
    middle = shape.middle_layers if isinstance(shape, MAdapter) else 0
    for site in _sites((shape,), layers):
        width = _width(shape, site, size)
        if width is None:
            continue
        matrices = {
            "down": (width, size),
            **{f"middle.{depth}": (width, width) for depth in range(middle)},
            "up": (size, width),
        }
        for name, lengths in matrices.items():
            yield f"{site}.{name}", lengths
            if shape.bias:
                yield f"{site}.{name}_bias", lengths[:1]
        if shape.scaling == "learned":
            yield f"{site}.scaling", (1,)
        if shape.train_norm:
            yield from _norms(site, size)
    if shape.invertible:
        for name, lengths in coupling_matrices(size).items():
            yield f"embeddings.{name}", lengths
            if shape.bias:
                yield f"embeddings.{name}_bias", lengths[:1]


def adapter_faults(
    shape: AnyShape, found: Mapping[str, TensorType], *, size: int, layers: int
) -> Iterator[str]:
    """Say where an adapter's stored tensors are not those of its shape; a sparse one lies packed.

    Args:
        shape: Of the adapter.
        found: As stored.
        size: The backbone's hidden size.
        layers: How many the backbone has.
    """
    if isinstance(shape, Full):
        return  # its names are the backbone's own: what opens it on one compares them
    if not isinstance(shape, Shape):
        wide = stored_width(found) or size
        inner = inner_tensors(shape, size=size, wide=wide, layers=layers)
        yield from broken_promises(found, inner)
        return
    promised = dict(islice(adapter_tensors(shape, size=size, layers=layers), len(found) + 1))
    if shape.sparsity is None:
        yield from broken_promises(found, promised.items())
        return
    types, faults = dense_types(found, promised)
    yield from faults
    wrong = [*broken_promises(types, promised.items())]
    yield from wrong
    weights = sum(math.prod(one) for name, one in promised.items() if is_masked(name))
    wanted, kept = weights - dropped_weights(weights, shape.sparsity), kept_weights(found)
    if kept != wanted and not wrong and not faults:
        yield f"{kept:,} weights are kept; with the ratio {shape.sparsity.ratio} it is {wanted:,}"


def mixer_tensors(
    composition: Composition, shapes: Mapping[str, AnyShape], *, size: int, layers: int
) -> Promised:
    """List the folded tensors of a composition's fusions and gates.

    Args:
        composition: Bound.
        shapes: Of its adapters, by name.
        size: The backbone's hidden size.
        layers: How many the backbone has.
    """
    used = _bottlenecks(composition, shapes)
    for site in _sites(used, layers):
        for number, mixer in enumerate(mixers_of(composition)):
            members = len(mixer.parts)
            units = _units(mixer, shapes, site, size)
            if isinstance(mixer, Fuse):
                yield f"{site}.{number}.f_down", (units, size)
                yield f"{site}.{number}.f_down_bias", (units,)
            yield f"{site}.{number}.f_up_score", (members, size)
            yield f"{site}.{number}.f_score", (members,)
            yield f"{site}.{number}.up", (size, units)
            yield f"{site}.{number}.up_bias", (members, size)


def norm_tensors(
    composition: Composition, shapes: Mapping[str, AnyShape], *, size: int, layers: int
) -> Promised:
    """List the norms of a composition that trained copies of them."""
    used = _bottlenecks(composition, shapes)
    for site in _sites(used, layers):
        yield from _norms(site, size)


def head_tensors(*, size: int, classes: int, dense: bool) -> Promised:
    """List the tensors of a head.

    Args:
        size: The backbone's hidden size.
        classes: That it predicts.
        dense: Whether it has a layer before the last.

    >>> list(head_tensors(size=8, classes=2, dense=False))
    [('weight', (2, 8)), ('bias', (2,))]
    """
    yield "weight", (classes, size)
    yield "bias", (classes,)
    if dense:
        yield "dense", (size, size)
        yield "dense_bias", (size,)


def broken_promises(found: Mapping[str, TensorType], promised: Promised) -> Iterator[str]:
    """Say what is missing, misshapen or left over.

    However much is promised, no more of it is looked at than is there, and one more.
    """
    expected = dict(islice(promised, len(found) + 1))
    missing = [name for name in expected if name not in found]
    for name in missing:
        yield f"tensor {name!r} is missing"
    if not missing:
        for name in found.keys() - expected.keys():
            yield f"tensor {name!r} is left over"
    for name, lengths in expected.items():
        if name in found and found[name].shape != lengths:
            yield f"tensor {name!r} has the shape {list(found[name].shape)}, not {list(lengths)}"


def _sites(shapes: Iterable[Shape], layers: int) -> Iterator[str]:
    """Go through the sites where any of these adapters may act, bottom up."""
    wheres = sub_layers(joint_placement({shape.placement for shape in shapes}))
    return (f"{layer}.{where}" for layer in range(layers) for where in wheres)


def _width(shape: Shape, site: str, size: int) -> int | None:
    """Give the units of an adapter at a site; None where it does not act."""
    layer, _, where = site.partition(".")
    if where not in sub_layers(shape.placement) or int(layer) in shape.leave_out:
        return None
    return bottleneck_width(shape, size, layer=int(layer))


def _bottlenecks(composition: Composition, shapes: Mapping[str, AnyShape]) -> list[Shape]:
    named = [shapes[name] for name in adapter_names(composition)]
    return [shape for shape in named if isinstance(shape, Shape)]


def _units(mixer: Composition, shapes: Mapping[str, AnyShape], site: str, size: int) -> int:
    named = [shapes[one] for one in walk(mixer) if isinstance(one, str) and one != NONE]
    return sum(_width(shape, site, size) or 0 for shape in named if isinstance(shape, Shape))


def _norms(site: str, size: int) -> Promised:
    return [(f"{site}.norm_weight", (size,)), (f"{site}.norm_bias", (size,))]
