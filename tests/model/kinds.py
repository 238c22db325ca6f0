"""Adapters of the kinds that act inside an encoder, with random weights, for the tests of them."""

import torch

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.methods.kinds import new_adapter
from composer.model.parts import Adapter, new_head
from composer.recipe.grammar.adapters import (
    AdapterShape,
    BitFit,
    BottleneckAdapter,
    Full,
    Lora,
    MAdapter,
    Prefix,
    Prompt,
)
from composer.recipe.grammar.composition import adapter_names, parse_composition
from tests.model.conftest import randomised

SHAPES: dict[str, AdapterShape] = {
    "lora": Lora(kind="lora", rank=3, alpha=6.0),
    "low": Lora(
        kind="lora",
        rank=2,
        targets=("narrow", "wide", "mixed", "key"),
        merge=False,
        train_norm=True,
    ),
    "bits": BitFit(kind="bitfit"),
    "bitsnorm": BitFit(kind="bitfit", leave_out=(0,), train_norm=True),
    "prefix": Prefix(kind="prefix", length=3),
    "top": Prefix(kind="prefix", length=2, leave_out=(0,)),
    "prompt": Prompt(kind="prompt", length=4),
    "soft": Prompt(kind="prompt", length=2, train_norm=True),
    "whole": Full(kind="full"),
    "net": BottleneckAdapter(kind="bottleneck", width=4),
    "mid": MAdapter(kind="madapter", width=4, train_norm=True),
    "turned": BottleneckAdapter(kind="bottleneck", width=4, invertible=True),
}
INNER = [name for name, shape in SHAPES.items() if name not in ("net", "mid", "turned")]


def adapter_of(backbone: Backbone, name: str, *, drawn: bool = True) -> Adapter:
    """Make an adapter, every weight of it moved: a fresh one is nothing, and equal for that."""
    place = sorted(SHAPES).index(name)
    generator = torch.Generator().manual_seed(place)
    made = new_adapter(SHAPES[name], backbone=backbone, generator=generator)
    if drawn:
        randomised(made, 100 + place)
    return made


def model_of(backbone: Backbone, expression: str, *, drawn: bool = True) -> ComposedModel:
    """Put a composition of the names above on a backbone, with a head of three classes."""
    composition = parse_composition(expression)
    adapters = {
        name: adapter_of(backbone, name, drawn=drawn) for name in adapter_names(composition)
    }
    generator = torch.Generator().manual_seed(3)
    head = new_head(classes=3, size=backbone.size, generator=generator)
    return ComposedModel(backbone, composition=composition, adapters=adapters, head=head)
