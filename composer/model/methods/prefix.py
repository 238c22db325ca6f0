"""Prefix tuning: keys and values that every token of a text may look at, in every layer.

    softmax(q [P_k; K]^T / sqrt(width)) [P_v; V]        P_k, P_v (length, size)

Prefixes of a stack lie one behind the other; to a softmax their order is the same. Each key and
value is a weight of its own: the network that the paper learns them through is a way of training
and is not kept there either.

Source: Li and Liang (2021), section 4; they start from N(0, 1), as in `adapters`.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from composer.model.backbone import Backbone
from composer.model.encoder import Layer
from composer.model.methods.inner import promised, with_norms
from composer.model.parts import Adapter
from composer.recipe.grammar.adapters import Prefix


def new_prefix(shape: Prefix, *, backbone: Backbone, generator: torch.Generator) -> Adapter:
    """Make an untrained prefix."""
    drawn = {
        name: torch.empty(lengths).normal_(generator=generator)
        for name, lengths in promised(shape, backbone).items()
        if ".prefix." in name
    }
    return with_norms(shape, drawn, backbone)


def with_prefixes(layer: Layer, number: int, adapters: Sequence[Adapter]) -> Layer:
    """Put the prefixes of one layer before its keys and values."""
    acting = [one for one in adapters if f"{number}.prefix.keys" in one]
    if not acting:
        return layer
    keys, values = (
        torch.cat([one[f"{number}.prefix.{which}"] for one in acting])
        for which in ("keys", "values")
    )
    return replace(layer, prefix=(keys, values))
