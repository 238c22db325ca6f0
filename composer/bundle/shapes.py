"""The tensors that a description promises: of an adapter its config, of a fusion its expression.

    config      {"kind": "bottleneck", "width": 24}      0.attention.down (24, 384), ...
    expression  fuse(intent, domain, none)               0.output.0.f_up_score (3, 384), ...

`composer.bundle.layout` says what a kind of part may hold at all; here a part is held to what
this one must hold: nothing is missing where it is run, and nothing is left over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from composer.bundle.header import TensorType
from composer.errors import BundleError, ComposerError
from composer.recipe.composition import (
    NONE,
    Composition,
    Fuse,
    adapter_names,
    mixers_of,
    walk,
)
from composer.recipe.fit import bottleneck_width
from composer.recipe.invertible import coupling_matrices
from composer.recipe.schema import AdapterShape, BottleneckAdapter, MAdapter, OtherAdapter

Shape = BottleneckAdapter | MAdapter
Promised = Iterable[tuple[str, tuple[int, ...]]]  # name, lengths

_SHAPES: TypeAdapter[AdapterShape] = TypeAdapter(AdapterShape)


def read_shape(config: Mapping[str, object], *, error: type[ComposerError] = BundleError) -> Shape:
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
    if isinstance(shape, OtherAdapter):
        raise error(f"kind: not yet: {shape.kind!r}")
    for key, wrong in (
        ("form", shape.form != "sequential"),
        ("scaling", shape.scaling == "learned"),
        ("reduction_factor", isinstance(shape.reduction_factor, dict)),
        ("sparsity", shape.sparsity is not None),
    ):
        if wrong:
            raise error(f"{key}: not yet: {getattr(shape, key)!r:.80}")
    return shape


def adapter_tensors(shape: Shape, *, size: int, layers: int) -> Promised:
    """List the tensors of an adapter.

    >>> shape = BottleneckAdapter(kind="bottleneck", width=2, placement="pfeiffer", bias=False)
    >>> list(adapter_tensors(shape, size=8, layers=1))
    [('0.output.down', (2, 8)), ('0.output.up', (8, 2))]
    """
    width = bottleneck_width(shape, size)
    middle = shape.middle_layers if isinstance(shape, MAdapter) else 0
    matrices = {
        "down": (width, size),
        **{f"middle.{depth}": (width, width) for depth in range(middle)},
        "up": (size, width),
    }
    for site in _sites((shape,), layers):
        if not _acts(shape, site):
            continue
        for name, lengths in matrices.items():
            yield f"{site}.{name}", lengths
            if shape.bias:
                yield f"{site}.{name}_bias", lengths[:1]
        if shape.train_norm:
            yield from _norms(site, size)
    if shape.invertible:
        for name, lengths in coupling_matrices(size).items():
            yield f"embeddings.{name}", lengths
            if shape.bias:
                yield f"embeddings.{name}_bias", lengths[:1]


def mixer_tensors(
    composition: Composition, shapes: Mapping[str, Shape], *, size: int, layers: int
) -> Promised:
    """List the folded tensors of a composition's fusions and gates.

    Args:
        composition: Bound.
        shapes: Of its adapters, by name.
        size: The backbone's hidden size.
        layers: How many the backbone has.
    """
    used = [shapes[name] for name in adapter_names(composition)]
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
    composition: Composition, shapes: Mapping[str, Shape], *, size: int, layers: int
) -> Promised:
    """List the norms of a composition that trained copies of them."""
    used = [shapes[name] for name in adapter_names(composition)]
    for site in _sites(used, layers):
        yield from _norms(site, size)


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
    low = {shape.placement for shape in shapes} == {"pfeiffer"}
    for layer in range(layers):
        if not low:
            yield f"{layer}.attention"
        yield f"{layer}.output"


def _acts(shape: Shape, site: str) -> bool:
    layer, _, where = site.partition(".")
    placed = where == "output" or shape.placement == "houlsby"
    return placed and int(layer) not in shape.leave_out


def _units(mixer: Composition, shapes: Mapping[str, Shape], site: str, size: int) -> int:
    named = [shapes[one] for one in walk(mixer) if isinstance(one, str) and one != NONE]
    return sum(bottleneck_width(shape, size) for shape in named if _acts(shape, site))


def _norms(site: str, size: int) -> Promised:
    return [(f"{site}.norm_weight", (size,)), (f"{site}.norm_bias", (size,))]
