"""The device graph of a bundle: one ONNX graph a backbone, every adapter a plain input.

    home/
    ├── graph.onnx             the structure, some hundred kilobytes
    └── graph.safetensors      the frozen weights, as the graph's precision has them

All that is trained is an input, stacked over the sites of its slot. A composition fills two
slots: `lower`, the first of a stack (a language), and `upper`, what stands on it (a task, or a
fusion of N members with R units in all). At a site, with `u` what the adapter reads:

    h += act(u lower_down + lower_down_bias) lower_up + lower_up_bias
    z = act(u upper_down + upper_down_bias)
    p = softmax((z * (u score_down + score_down_bias)) segments + u score_up + score)
    h += (z * (p segments^T)) upper_up + p upper_up_bias
    out = norm(h + x)                        norm_weight and norm_bias where some are trained

An invertible adapter moves the embeddings before: F, which writes the first half of a vector from
the second, and then G, which writes the second from the first. As rows 0 and 1 of four inputs
they are two small bottlenecks whose other halves are zero; all zeros leave everything as it is.

    e += act(e embeddings_down + embeddings_down_bias) embeddings_up + embeddings_up_bias

`act` passes through the middle layers of MAdapters; a unit that has none keeps its value by a
mask, `z = m * act(z middle + middle_bias) + (1 - m) * z`. Units of several non-linearities are
told apart by masks too. At the end `logits = (pooling hidden) head_weight + head_bias`, where
the rows of `pooling` are the outputs that are wanted: one of equal shares of a sentence's
tokens (mean), one that takes the first token, or one a token.

What a graph can take is its signature. It is kept as small as the bundle's compositions allow:
without fusions no score is computed, without trained norms they are constants.
"""

from typing import Annotated

from pydantic import Field

from composer.bundle.layout import MIDDLE_LAYERS
from composer.bundle.records import Record
from composer.recipe.schema import GraphPrecision, NonLinearity, Placement

Dimensions = tuple[int | str, ...]  # a length, or the name of one that varies

WEIGHTS = "graph.safetensors"
TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Slot(Record):
    """What the adapters in one place of a stack may be.

    Attributes:
        placement: Where they sit.
        non_linearities: All that occur, sorted.
        middle_layers: The most that any has.
    """

    placement: Placement
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
    """

    lower: Slot | None = None
    upper: Slot | None = None
    mixing: bool = False
    norms: bool = False
    invertible: tuple[NonLinearity, ...] = ()


class GraphRecord(Record):
    """A graph of the bundle.

    Attributes:
        signature: What it can run.
        precision: How it multiplies by frozen weights.
    """

    signature: Signature
    precision: GraphPrecision


def graph_file(name: str) -> str:
    """Say where a graph's structure lies.

    >>> graph_file("graph")
    'graph.onnx'
    """
    return f"{name}.onnx"


def slot_sites(slot: Slot, layers: int) -> list[tuple[int, str]]:
    """List the sites that a slot's inputs are stacked over, in order.

    >>> slot_sites(Slot(placement="pfeiffer", non_linearities=("relu",)), 2)
    [(0, 'output'), (1, 'output')]
    """
    wheres = ("output",) if slot.placement == "pfeiffer" else ("attention", "output")
    return [(layer, where) for layer in range(layers) for where in wheres]


def adapter_inputs(signature: Signature, *, size: int, layers: int) -> dict[str, Dimensions]:
    """Tell every input of a graph but the tokens: name -> shape.

    >>> slot = Slot(placement="pfeiffer", non_linearities=("relu",))
    >>> adapter_inputs(Signature(upper=slot), size=384, layers=6)["upper_down"]
    (6, 384, 'upper_units')
    """
    found: dict[str, Dimensions] = {"pooling": ("batch", "rows", "tokens")}
    if signature.invertible:
        found |= _coupling_inputs(signature.invertible, size)
    for name, slot in (("lower", signature.lower), ("upper", signature.upper)):
        if slot is not None:
            mixing = name == "upper" and signature.mixing
            found |= _slot_inputs(name, slot, size, len(slot_sites(slot, layers)), mixing=mixing)
    if signature.norms:
        found |= dict.fromkeys(("norm_weight", "norm_bias"), (2 * layers, size))
    return found | {"head_weight": (size, "classes"), "head_bias": ("classes",)}


def _coupling_inputs(non_linearities: tuple[NonLinearity, ...], size: int) -> dict[str, Dimensions]:
    units = "embeddings_units"
    found: dict[str, Dimensions] = {
        "embeddings_down": (2, size, units),
        "embeddings_down_bias": (2, units),
        "embeddings_up": (2, units, size),
        "embeddings_up_bias": (2, size),
    }
    if len(non_linearities) > 1:
        found |= {f"embeddings_{act}": (units,) for act in non_linearities}
    return found


def _slot_inputs(
    name: str, slot: Slot, size: int, sites: int, *, mixing: bool
) -> dict[str, Dimensions]:
    units = f"{name}_units"
    members: Dimensions = ("members",) if mixing else ()
    found: dict[str, Dimensions] = {
        f"{name}_down": (sites, size, units),
        f"{name}_down_bias": (sites, units),
    }
    if len(slot.non_linearities) > 1:
        found |= {f"{name}_{act}": (units,) for act in slot.non_linearities}
    if slot.middle_layers:
        found[f"{name}_middle"] = (sites, slot.middle_layers, units, units)
        found[f"{name}_middle_bias"] = (sites, slot.middle_layers, units)
        found[f"{name}_middle_mask"] = (slot.middle_layers, units)
    found[f"{name}_up"] = (sites, units, size)
    found[f"{name}_up_bias"] = (sites, *members, size)
    if mixing:
        found["score_down"] = (sites, size, "scoring_units")
        found["score_down_bias"] = (sites, "scoring_units")
        found["score_up"] = (sites, size, "members")
        found["score"] = (sites, "members")
        found["segments"] = (units, "members")
    return found
