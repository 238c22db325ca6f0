"""Where `adapters` 1.3.0 is right, whole models give the same hidden states as it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
import adapters.composition as blocks
import pytest
import torch
from adapters import DoubleSeqBnConfig, SeqBnConfig
from torch import nn
from transformers import BertModel

from composer.model.adapters import Site
from composer.model.composed import ComposedModel
from composer.model.parts import Adapter
from composer.recipe.grammar.adapters import MAdapter, sub_layers
from composer.recipe.grammar.composition import Composition, Fuse, Stack, adapter_names
from tests.model.conftest import batch_of

CASES = [
    "relu",
    "low",
    "mid1",
    "mid2",
    "relu > gelu",
    "low > low3",
    "fuse(relu, gelu)",
    "fuse(relu, gelu, swish)",
    "fuse(low, low3)",
    "relu > fuse(gelu, mid1)",
    "seen",
    "fed",
    "beside",
    "beside2",
    "scaled",
    "layered",
    "seen > fed",
    "fuse(seen, seen2)",
]


@pytest.mark.parametrize("expression", CASES)
def test_hidden_states_equal_the_librarys(
    compose: Callable[..., ComposedModel], tiny_folder: Path, expression: str
):
    ours = compose(expression)
    batch = batch_of(ours.backbone, ["turn on the lamp in the kitchen", "set a timer"])
    theirs = library_model(tiny_folder, ours)
    assert difference(ours, theirs, batch) < 5e-5  # weights this large amplify rounding
    ours.backbone.to(torch.float64)
    try:
        assert difference(ours.double(), theirs.double(), batch) < 1e-10
    finally:
        ours.backbone.to(torch.float32)


@pytest.mark.parametrize("expression", ["relu", "fuse(relu, gelu)"])
def test_the_comparison_notices_a_wrong_bias(
    compose: Callable[..., ComposedModel], tiny_folder: Path, expression: str
):
    ours = compose(expression)
    batch = batch_of(ours.backbone, ["turn on the lamp in the kitchen"])
    theirs = library_model(tiny_folder, ours)
    with torch.no_grad():
        # Not the same everywhere: the norm behind the site would not notice.
        ours.adapter("relu")["1.output.up_bias"].add_(torch.linspace(0, 0.1, 32))
        assert not torch.allclose(
            ours.hidden(batch), theirs(**batch).last_hidden_state, rtol=1e-5, atol=1e-5
        )


def difference(ours: ComposedModel, theirs: nn.Module, batch: dict[str, torch.Tensor]) -> float:
    with torch.no_grad():
        expected = theirs(**batch).last_hidden_state
        got = ours.hidden(batch)
    real = batch["attention_mask"].bool()
    return float((got - expected)[real].abs().max() / expected[real].abs().max())


def library_model(folder: Path, ours: ComposedModel) -> nn.Module:
    """Build the same model with `adapters`, and copy our weights into it."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False)
    adapters.init(model)
    for name in adapter_names(ours.composition):
        model.add_adapter(name, config=library_config(ours.adapter(name)))
    block = to_block(ours.composition)
    for part in [block, *(block if isinstance(block, blocks.Stack) else [])]:
        if isinstance(part, blocks.Fuse):
            model.add_adapter_fusion(part)
    model.set_active_adapters(block)
    for number, layer in model.iter_layers():
        for where, module in (("attention", layer.attention.output), ("output", layer.output)):
            copy_site(module, Site(number, where), ours)
    return model.eval()


def library_config(adapter: Adapter) -> Any:
    shape = adapter.shape
    kind = SeqBnConfig if shape.placement == "pfeiffer" else DoubleSeqBnConfig
    return kind(
        mh_adapter="attention" in sub_layers(shape.placement),
        output_adapter="output" in sub_layers(shape.placement),
        is_parallel=shape.form == "parallel",
        reduction_factor=shape.reduction_factor or 32 / shape.width,
        non_linearity=shape.non_linearity,
        scaling=shape.scaling,
        dropout=0.0,
    )


def to_block(composition: Composition) -> Any:
    if isinstance(composition, str):
        return composition
    block = {Stack: blocks.Stack, Fuse: blocks.Fuse}[type(composition)]
    return block(*map(to_block, composition.parts))


def copy_site(module: Any, site: Site, ours: ComposedModel) -> None:
    for name, library in module.adapters.items():
        mine = ours.adapter(name)
        put(library.adapter_down[0], mine, f"{site}.down")
        put(library.adapter_up, mine, f"{site}.up")
        if mine.shape.scaling == "learned":
            library.scaling = nn.Parameter(mine[f"{site}.scaling"].detach().clone())
        if not mine.shape.bias:
            nn.init.zeros_(library.adapter_down[0].bias)
            nn.init.zeros_(library.adapter_up.bias)
        if isinstance(mine.shape, MAdapter):
            for depth in range(mine.shape.middle_layers):
                middle = nn.Linear(mine.shape.width, mine.shape.width)
                put(middle, mine, f"{site}.middle.{depth}")
                library.adapter_down.extend([middle, library.non_linearity])
    for fusion in module.adapter_fusion_layer.values():
        for name in ("query", "key", "value"):
            put(getattr(fusion, name), ours.owned, f"{site}.0.{name}")


def put(linear: nn.Linear, part: Any, name: str) -> None:
    with torch.no_grad():
        linear.weight.copy_(part[name])
        if f"{name}_bias" in part:
            linear.bias.copy_(part[f"{name}_bias"])
