"""LoRA, prefix and prompt tuning give the hidden states of `adapters` 1.3.0, with its weights."""

from pathlib import Path
from typing import Any

import adapters
import pytest
import torch
from adapters import LoRAConfig, PrefixTuningConfig, PromptTuningConfig
from adapters.composition import Stack
from torch import Tensor
from transformers import BertModel

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.parts import Adapter
from composer.recipe.grammar.adapters import Lora, Prefix
from composer.recipe.grammar.composition import adapter_names
from tests.model.conftest import batch_of
from tests.model.kinds import model_of

TEXTS = ["turn on the lamp in the kitchen", "set a timer"]


CASES = {
    "lora": TEXTS,
    "all": TEXTS,
    "prefix": TEXTS,
    "top": TEXTS,
    "prefix > top": TEXTS,
    # beside a longer text, the library gives a text other values: its mask is not lengthened
    "prompt": TEXTS[:1],
}


@pytest.mark.parametrize("expression", CASES)
def test_hidden_states_equal_the_librarys(backbone: Backbone, tiny_folder: Path, expression: str):
    ours = model_of(backbone, expression) if expression != "all" else _lora_of_all(backbone)
    batch = batch_of(backbone, CASES[expression])
    theirs = library_model(tiny_folder, ours)
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        expected = theirs(**batch).last_hidden_state[:, -real.shape[1] :]  # prompts are in front
        got = ours.hidden(batch)
        bare = backbone.encode(batch)
    assert float((got - expected)[real].abs().max() / expected[real].abs().max()) < 1e-5
    assert not torch.allclose(expected[real], bare[real], atol=1e-2)  # it does something


def _lora_of_all(backbone: Backbone) -> ComposedModel:
    from composer.model.methods.kinds import new_adapter
    from tests.model.conftest import randomised

    targets = ("query", "key", "value", "wide", "narrow")  # the library has no `mixed`
    shape = Lora(kind="lora", rank=2, alpha=3.0, targets=targets, leave_out=(1,))
    made = new_adapter(shape, backbone=backbone, generator=torch.Generator().manual_seed(1))
    randomised(made, 7)
    return ComposedModel(backbone, composition="all", adapters={"all": made})


def library_model(folder: Path, ours: ComposedModel) -> Any:
    """Build the same model with `adapters`, and copy our weights into it."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False)
    adapters.init(model)
    names = adapter_names(ours.composition)
    for name in names:
        model.add_adapter(name, config=library_config(ours.adapter(name)))
        copy_weights(model, name, ours.adapter(name))
    model.set_active_adapters(Stack(*names) if len(names) > 1 else names[0])
    return model.eval()


def library_config(adapter: Adapter) -> Any:
    shape = adapter.shape
    if isinstance(shape, Lora):
        attention = [name[0] for name in ("query", "key", "value") if name in shape.targets]
        return LoRAConfig(
            r=shape.rank,
            alpha=shape.alpha,
            attn_matrices=attention,
            intermediate_lora="wide" in shape.targets,
            output_lora="narrow" in shape.targets,
            leave_out=list(shape.leave_out),
        )
    if isinstance(shape, Prefix):
        return PrefixTuningConfig(
            flat=True, prefix_length=shape.length, leave_out=list(shape.leave_out)
        )
    return PromptTuningConfig(prompt_length=shape.length)


def copy_weights(model: Any, name: str, ours: Adapter) -> None:
    with torch.no_grad():
        if isinstance(ours.shape, Prefix):
            pool = model.prefix_tuning.prefix_tunings[name]
            (tuned,) = pool.values()
            tuned.control_trans.copy_(_flat(ours))
        elif "embeddings.prompt" in ours:
            tuned = model.prompt_tuning.prompt_tunings[name]
            tuned.prompt_embedding.weight.copy_(ours["embeddings.prompt"])
        else:
            for number, layer in model.iter_layers():
                for matrix, linear in _matrices(layer).items():
                    if f"{number}.{matrix}.down" in ours:
                        linear.loras[name].lora_A.copy_(ours[f"{number}.{matrix}.down"])
                        linear.loras[name].lora_B.copy_(ours[f"{number}.{matrix}.up"])


def _matrices(layer: Any) -> dict[str, Any]:
    attention = layer.attention.self
    return {
        "query": attention.query,
        "key": attention.key,
        "value": attention.value,
        "wide": layer.intermediate.dense,
        "narrow": layer.output.dense,
    }


def _flat(ours: Adapter) -> Tensor:
    """Lay keys and values out as the library does: position, layer, key or value, size."""
    layers = sorted({int(name.partition(".")[0]) for name in ours.names})
    parts = [ours[f"{layer}.prefix.{one}"] for layer in layers for one in ("keys", "values")]
    return torch.stack(parts, dim=1).flatten()
