"""The device graph of a bundle: one ONNX graph a backbone, every adapter a plain input.

    home/
    ├── graph.onnx             the structure, some hundred kilobytes
    └── graph.safetensors      the frozen weights, as the graph's precision has them

All that is trained is an input, one a site: `lower_down.0`, `lower_down.1` and so on, counted over
the sites of the slot from the embeddings up. (Stacked in one input, each would be copied out of
it at every run.) A composition fills two slots: `lower`, the first of a stack (a language), and
`upper`, what stands on it (a task, or a fusion). At a site, with `u` what the adapter reads:

    h += act(u lower_down + lower_down_bias) lower_up + lower_up_bias
    h += act(u upper_down + upper_down_bias) upper_up + upper_up_bias
    out = norm(h + x)                        norm_weight and norm_bias where some are trained

Where there are fusions, the upper slot has N members with R units in all, and two products:

    z, k, s = u upper_read + upper_read_bias        split into R, R and N columns
    z = act(z);  p = softmax((z * k) segments + s)
    h += (z * (p segments^T), p) upper_out          side by side: R and N columns

An invertible adapter moves the embeddings before: F, which writes the first half of a vector from
the second, and then G, which writes the second from the first. As numbers 0 and 1 of four inputs
they are two small bottlenecks whose other halves are zero; all zeros leave everything as it is.

    e += act(e embeddings_down + embeddings_down_bias) embeddings_up + embeddings_up_bias

`act` passes through the middle layers of MAdapters; a unit that has none keeps its value by a
mask, `z = m * act(z middle + middle_bias) + (1 - m) * z`. Units of several non-linearities are
told apart by masks too. At the end `logits = (pooling hidden) head_weight + head_bias`, where
the rows of `pooling` are the outputs that are wanted: one of equal shares of a sentence's
tokens (mean), one that takes the first token, or one a token. Where some heads have two layers,
the rows pass through the first before, and of heads that have none keep their values by a mask:

    p = pooling hidden;  p = m * act(p head_dense + head_dense_bias) + (1 - m) * p

What a graph can take is its signature. It is kept as small as the bundle's compositions allow:
without fusions no score is computed, without trained norms they are constants.
"""

from typing import Annotated

from pydantic import Field

from composer.bundle.layout import MIDDLE_LAYERS
from composer.bundle.records import Record
from composer.recipe.grammar.adapters import Form, NonLinearity, Placement, sub_layers
from composer.recipe.grammar.bundles import GraphPrecision

Length = Annotated[int, Field(ge=1, le=2**20)]
Dimensions = tuple[int | str, ...]  # a length, or the name of one that varies

WEIGHTS = "graph.safetensors"
TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TOKENS: Dimensions = ("batch", "tokens")
LOGITS: Dimensions = ("batch", "rows", "classes")


class Slot(Record):
    """What the adapters in one place of a stack may be.

    Attributes:
        placement: Where they sit.
        form: What they read.
        non_linearities: All that occur, sorted.
        middle_layers: The most that any has.
    """

    placement: Placement
    # left out where it is sequential, as in bundles from before there was another
    form: Annotated[Form, Field(exclude_if=lambda form: form == "sequential")] = "sequential"
    non_linearities: Annotated[tuple[NonLinearity, ...], Field(min_length=1)]
    middle_layers: Annotated[int, Field(ge=0, le=MIDDLE_LAYERS)] = 0


class Signature(Record):
    """What compositions a graph can run.

    Attributes:
        lower: The first of a stack of two; None: no stacks.
        upper: The adapter or fusion on top; None: heads alone.
        mixing: Whether there are fusions or gates in `upper`.
        norms: Whether norms are inputs.
        invertible: The non-linearities of invertible adapters, sorted; none: there are no such.
        heads: Those of heads of two layers, sorted; none: all heads have one.
    """

    lower: Slot | None = None
    upper: Slot | None = None
    mixing: bool = False
    norms: bool = False
    invertible: tuple[NonLinearity, ...] = ()
    # left out where there are none, as in bundles from before there were such heads
    heads: Annotated[tuple[NonLinearity, ...], Field(exclude_if=lambda one: not one)] = ()


class FixedShape(Record):
    """The one shape of every call; the most that any composition of the graph has.

    Attributes:
        batch: Texts at a time.
        tokens: Of each, padding included.
        rows: Of outputs for each text: 1, or one a token.
        lower_units: Of the adapter below.
        upper_units: Of all adapters above.
        members: Of the fusion above.
        classes: Of a head.
    """

    batch: Annotated[int, Field(ge=1, le=1024)]
    tokens: Annotated[int, Field(ge=1, le=2**16)]
    rows: Length
    lower_units: Length
    upper_units: Length
    members: Length
    classes: Length


class GraphRecord(Record):
    """A graph of the bundle.

    Attributes:
        signature: What it can run.
        precision: How it multiplies by frozen weights.
        shape: Of every call; None: lengths that have names vary from call to call.
    """

    signature: Signature
    precision: GraphPrecision
    shape: FixedShape | None = None


def graph_file(name: str) -> str:
    """Say where a graph's structure lies.

    >>> graph_file("graph")
    'graph.onnx'
    """
    return f"{name}.onnx"


def slot_sites(slot: Slot, layers: int) -> list[tuple[int, str]]:
    """List the sites that a slot's inputs are numbered by, in order.

    >>> slot_sites(Slot(placement="pfeiffer", non_linearities=("relu",)), 2)
    [(0, 'output'), (1, 'output')]
    """
    return [(layer, where) for layer in range(layers) for where in sub_layers(slot.placement)]


def with_lengths(dimensions: Dimensions, shape: FixedShape | None, *, size: int) -> Dimensions:
    """Put a fixed shape's lengths where the names of lengths are; without one, leave the names.

    Args:
        dimensions: Of an input or an output.
        shape: Of every call.
        size: Hidden size.
    """
    if shape is None:
        return dimensions
    lengths = {
        **shape.model_dump(),
        "reads": 2 * shape.upper_units + shape.members,
        "outs": shape.upper_units + shape.members,
        "embeddings_units": size // 4,
    }
    return tuple(one if isinstance(one, int) else lengths[one] for one in dimensions)


def adapter_inputs(signature: Signature, *, size: int, layers: int) -> dict[str, Dimensions]:
    """Tell every input of a graph but the tokens: name -> shape.

    >>> slot = Slot(placement="pfeiffer", non_linearities=("relu",))
    >>> adapter_inputs(Signature(upper=slot), size=384, layers=6)["upper_down.5"]
    (384, 'upper_units')
    """
    found: dict[str, Dimensions] = {"pooling": ("batch", "rows", "tokens")}
    if signature.invertible:
        found |= _bottlenecks("embeddings", size, 2) | _masks("embeddings", signature.invertible)
    for name, slot in (("lower", signature.lower), ("upper", signature.upper)):
        if slot is not None:
            sites = len(slot_sites(slot, layers))
            mixing = name == "upper" and signature.mixing
            found |= _mixers(size, sites) if mixing else _bottlenecks(name, size, sites)
            found |= _masks(name, slot.non_linearities) | _middle(name, slot, sites)
    if signature.norms:
        found |= _numbered({"norm_weight": (size,), "norm_bias": (size,)}, 2 * layers)
    if signature.heads:
        found |= {"head_dense": (size, size)}
        masks = _masks("head", signature.heads)
        found |= dict.fromkeys(("head_dense_bias", "head_dense_mask", *masks), (size,))
    return found | {"head_weight": (size, "classes"), "head_bias": ("classes",)}


def _bottlenecks(name: str, size: int, sites: int) -> dict[str, Dimensions]:
    units = f"{name}_units"
    shapes: dict[str, Dimensions] = {
        f"{name}_down": (size, units),
        f"{name}_down_bias": (units,),
        f"{name}_up": (units, size),
        f"{name}_up_bias": (size,),
    }
    return _numbered(shapes, sites)


def _mixers(size: int, sites: int) -> dict[str, Dimensions]:
    shapes: dict[str, Dimensions] = {
        "upper_read": (size, "reads"),
        "upper_read_bias": ("reads",),
        "upper_out": ("outs", size),
    }
    return _numbered(shapes, sites) | {"segments": ("upper_units", "members")}


def _masks(name: str, non_linearities: tuple[NonLinearity, ...]) -> dict[str, Dimensions]:
    """Give the inputs that tell the units of several non-linearities apart."""
    several = non_linearities if len(non_linearities) > 1 else ()
    return {f"{name}_{act}": (f"{name}_units",) for act in several}


def _middle(name: str, slot: Slot, sites: int) -> dict[str, Dimensions]:
    units = f"{name}_units"
    found: dict[str, Dimensions] = {}
    for depth in range(slot.middle_layers):
        inner = f"{name}_middle_{depth}"
        found[f"{inner}_mask"] = (units,)
        found |= _numbered({inner: (units, units), f"{inner}_bias": (units,)}, sites)
    return found


def _numbered(shapes: dict[str, Dimensions], count: int) -> dict[str, Dimensions]:
    return {f"{name}.{number}": shape for name, shape in shapes.items() for number in range(count)}
