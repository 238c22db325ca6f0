"""The tensors of a part: their names and shapes, by kind.

A site is a layer's number, from 0, and where in the layer: `3.attention`, `3.output`. A
mixer is a fusion or gate of the composition, numbered in reading order.

    bottleneck, madapter   SITE.down              (width, size)
                           SITE.down_bias         (width,)
                           SITE.middle.0          (width, width)     madapter only; to 2
                           SITE.middle.0_bias     (width,)
                           SITE.up                (size, width)
                           SITE.up_bias           (size,)
                           SITE.scaling           (1,)               if learned
    both, if sparse        SITE.down.kept         (kept,)            in place of SITE.down; see
                           SITE.down.mask         (bytes,)           `composer.bundle.sparse`
    both, if invertible    embeddings.f_down      (quarter, half)    and so for g
                           embeddings.f_down_bias (quarter,)
                           embeddings.f_up        (half, quarter)
                           embeddings.f_up_bias   (half,)
    fusion                 SITE.MIXER.f_down      (units, size)      not in a gate
                           SITE.MIXER.f_down_bias (units,)           not in a gate
                           SITE.MIXER.f_up_score  (members, size)
                           SITE.MIXER.f_score     (members,)
                           SITE.MIXER.up          (size, units)
                           SITE.MIXER.up_bias     (members, size)
    norms, and any above   SITE.norm_weight       (size,)
                           SITE.norm_bias         (size,)
    head                   weight                 (classes, size)
                           bias                   (classes,)
                           dense                  (size, size)       if it has two layers
                           dense_bias             (size,)

`units` are the widths of all members, one after another; they and `width` may differ from
site to site. A bias of an adapter that is left out is zero. A fusion is folded: `up` holds
the members' up-projections and V.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from composer.bundle.header import TensorType
from composer.bundle.sparse import KEPT, MASK
from composer.errors import did_you_mean
from composer.recipe.grammar.invertible import halves

Kind = Literal[
    "bottleneck",
    "madapter",
    "lora",
    "bitfit",
    "prefix",
    "prompt",
    "full",
    "fusion",
    "norms",
    "head",
]
Shape = tuple[str, ...]  # lengths by name

BOTTLENECKS: tuple[Kind, ...] = ("bottleneck", "madapter")
INNER: tuple[Kind, ...] = ("lora", "bitfit", "prefix", "prompt", "full")  # `bundle.inner`
ADAPTERS = (*BOTTLENECKS, *INNER)  # the kinds whose config is a shape

MIDDLE_LAYERS = 3
HINTS = 20  # near names are slow to find, and no more faults are shown

_NORMS: dict[str, Shape] = {"norm_weight": ("size",), "norm_bias": ("size",)}
_BOTTLENECK: dict[str, Shape] = {
    "down": ("width", "size"),
    "down_bias": ("width",),
    "up": ("size", "width"),
    "up_bias": ("size",),
    "scaling": ("one",),
    **_NORMS,
}
_MIDDLE: dict[str, Shape] = {
    **{f"middle.{depth}": ("width", "width") for depth in range(MIDDLE_LAYERS)},
    **{f"middle.{depth}_bias": ("width",) for depth in range(MIDDLE_LAYERS)},
}
_SPARSE: dict[str, Shape] = {
    f"{n}{end}": (n + end,) for n in ("down", "up") for end in (KEPT, MASK)
}
_SPARSE_MIDDLE: dict[str, Shape] = {
    f"middle.{depth}{end}": (f"middle.{depth}{end}",)
    for depth in range(MIDDLE_LAYERS)
    for end in (KEPT, MASK)
}
_MIXER: dict[str, Shape] = {
    "f_down": ("units", "size"),
    "f_down_bias": ("units",),
    "f_up_score": ("members", "size"),
    "f_score": ("members",),
    "up": ("size", "units"),
    "up_bias": ("members", "size"),
}
_COUPLING: dict[str, Shape] = {
    f"{which}_{name}": shape
    for which in ("f", "g")
    for name, shape in {
        "down": ("quarter", "half"),
        "down_bias": ("quarter",),
        "up": ("half", "quarter"),
        "up_bias": ("half",),
    }.items()
}
_HEAD: dict[str, Shape] = {
    "weight": ("classes", "size"),
    "bias": ("classes",),
    "dense": ("size", "size"),
    "dense_bias": ("size",),
}

# What a group of tensors may hold, and what it must.
_TABLES: dict[str, tuple[dict[str, Shape], tuple[str, ...]]] = {
    "bottleneck": ({**_BOTTLENECK, **_SPARSE}, ("down", "up")),
    "madapter": (
        {**_BOTTLENECK, **_MIDDLE, **_SPARSE, **_SPARSE_MIDDLE},
        ("down", "middle.0", "up"),
    ),
    "coupling": (_COUPLING, ("f_down", "f_up", "g_down", "g_up")),
    "mixer": (_MIXER, ("f_up_score", "f_score", "up", "up_bias")),
    "norms": (_NORMS, ("norm_weight", "norm_bias")),
    "head": (_HEAD, ("weight", "bias")),
}
# Where the first is, the second must be too.
_TOGETHER = (
    ("norm_weight", "norm_bias"),
    ("norm_bias", "norm_weight"),
    *((f"middle.{depth}", f"middle.{depth - 1}") for depth in range(1, MIDDLE_LAYERS)),
    *((f"middle.{depth}_bias", f"middle.{depth}") for depth in range(MIDDLE_LAYERS)),
    *(
        (f"{name}{end}", f"{name}{other}")
        for name in ("down", "up", *(f"middle.{depth}" for depth in range(MIDDLE_LAYERS)))
        for end, other in ((KEPT, MASK), (MASK, KEPT))
    ),
)
_TOGETHER_IN = {
    "mixer": (("f_down", "f_down_bias"), ("f_down_bias", "f_down")),
    "head": (("dense", "dense_bias"), ("dense_bias", "dense")),
}
_EMBEDDINGS = "embeddings"
_NUMBER = r"(?:0|[1-9][0-9]{0,3})"
_SITE = re.compile(rf"(({_NUMBER})\.(?:attention|output))\.(?:({_NUMBER})\.)?([a-z].*)")


class _Place(NamedTuple):
    group: str  # tensors whose shapes must agree: a site's, a mixer's, the embeddings', a head's
    table: str
    layer: int
    inner: str


def layout_faults(
    kind: Kind, tensors: Mapping[str, TensorType], *, size: int, layers: int
) -> list[str]:
    """Say where a part's tensors are not what its kind has, on a backbone of this size.

    Args:
        kind: Of the part.
        tensors: Name -> type.
        size: The backbone's hidden size.
        layers: How many the backbone has.

    >>> layout_faults("norms", {"7.output.norm_weight": TensorType("F32", (8,))}, size=8, layers=6)
    ["'7.output.norm_weight': the backbone has layers 0 to 5", "7.output: 'norm_bias' is missing"]
    """
    faults: list[str] = []
    groups: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    if kind in INNER:  # names and shapes are what the config promises, all of them
        wrong = [name for name, type_ in tensors.items() if type_.dtype not in ("F32", "F16")]
        return [f"{name!r} is {tensors[name]}; weights are F32 or F16" for name in wrong]
    for name, type_ in tensors.items():
        place = _place(kind, name)
        if place is None:
            hint = _hint(kind, name) if len(faults) < HINTS else "and so on"
            faults.append(f"a {kind} has no tensor {name!r}; {hint}")
            continue
        if place.layer >= layers:
            faults.append(f"{name!r}: the backbone has layers 0 to {layers - 1}")
        if name.endswith(MASK) and type_.dtype != "U8":
            faults.append(f"{name!r} is {type_}; masks are U8")
        elif not name.endswith(MASK) and type_.dtype not in ("F32", "F16"):
            faults.append(f"{name!r} is {type_}; weights are F32 or F16")
        groups.setdefault((place.group, place.table), {})[place.inner] = type_.shape
    for (group, table), shapes in groups.items():
        faults += [f"{group}: {fault}" for fault in _group_faults(table, shapes, size)]
    return faults


def classes(tensors: Mapping[str, TensorType]) -> int:
    """Tell how many numbers a head predicts."""
    return tensors["bias"].shape[0]


def mixers(tensors: Mapping[str, TensorType]) -> dict[int, set[tuple[str, int]]]:
    """Tell what the mixers of a fusion are: number -> form and members, one where all sites agree.

    >>> mixers({"0.output.1.f_score": TensorType("F32", (3,))})
    {1: {('gate', 3)}}
    """
    found: dict[int, set[tuple[str, int]]] = {}
    for name, type_ in tensors.items():
        place = _place("fusion", name)
        if place and place.inner == "f_score" and len(type_.shape) == 1:
            form = "fuse" if f"{place.group}.f_down" in tensors else "gate"
            number = int(place.group.rpartition(".")[2])
            found.setdefault(number, set()).add((form, type_.shape[0]))
    return found


def _place(kind: Kind, name: str) -> _Place | None:
    """Find where a tensor belongs; None: nowhere in a part of this kind."""
    if kind == "head":
        return _Place("head", "head", 0, name) if name in _HEAD else None
    first, _, coupled = name.partition(".")
    if kind in BOTTLENECKS and first == _EMBEDDINGS and coupled in _COUPLING:
        return _Place(_EMBEDDINGS, "coupling", 0, coupled)
    found = _SITE.fullmatch(name)
    if found is None:
        return None
    site, layer, mixer, inner = found.groups()
    group, table = site, str(kind)
    if kind == "fusion":
        group, table = (site, "norms") if mixer is None else (f"{site}.{mixer}", "mixer")
    elif mixer is not None:
        return None
    return _Place(group, table, int(layer), inner) if inner in _TABLES[table][0] else None


def _hint(kind: Kind, name: str) -> str:
    if kind == "head":
        return did_you_mean(name, _HEAD)
    first, _, coupled = name.partition(".")
    if first == _EMBEDDINGS and kind in BOTTLENECKS:
        return did_you_mean(coupled, _COUPLING)
    found = _SITE.fullmatch(name)
    if found is None:
        return "one is '0.output.0.up'" if kind == "fusion" else "one is '0.output.up'"
    known = {**_MIXER, **_NORMS} if kind == "fusion" else _TABLES[kind][0]
    return did_you_mean(found[4], known)


def _group_faults(table: str, shapes: Mapping[str, tuple[int, ...]], size: int) -> Iterator[str]:
    known, needed = _TABLES[table]
    there = shapes.keys() | {name.removesuffix(KEPT) for name in shapes}
    missing = {name: None for name in needed if name not in there}
    together = (*_TOGETHER, *_TOGETHER_IN.get(table, ()))
    missing |= {other: None for name, other in together if name in there and other not in there}
    for name in missing:
        yield f"{name!r} is missing"
    if table == "coupling" and not halves(size):
        yield f"the hidden size {size} has no halves for an invertible adapter"
    lengths = {"size": size, "one": 1}
    if table == "coupling":
        lengths = {"half": size // 2, "quarter": size // 4}
    for name, shape in shapes.items():
        if len(shape) == len(known[name]):
            for letter, length in zip(known[name], shape, strict=True):
                lengths.setdefault(letter, length)
        if shape != tuple(lengths.get(letter) for letter in known[name]):
            wanted = ", ".join(f"{letter} {lengths.get(letter, '?')}" for letter in known[name])
            yield f"{name!r} has the shape {list(shape)}, not [{wanted}]"
