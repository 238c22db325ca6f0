"""Models of `adapters` and PEFT for tests: weights drawn at random, as a fresh one is near zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertModel

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.methods.kinds import stored_adapter
from composer.recipe.grammar.adapters import AdapterShape

BERT_NAME = "bert-base-somewhere"


def bert(folder: Path) -> Any:
    """Give a bare encoder that `adapters` can add to."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False)
    adapters.init(model)
    return model.eval()


def randomise(module: nn.Module, seed: int, *, only: str) -> None:
    """Draw what has a word in its name anew."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if only in name:
                drawn = torch.empty_like(parameter).normal_(0.0, 0.3, generator=generator)
                parameter.copy_(drawn)


def composed(
    backbone: Backbone, shape: AdapterShape, tensors: Mapping[str, np.ndarray]
) -> ComposedModel:
    """Put one adapter on a backbone, as composer stores it."""
    torched = {name: torch.from_numpy(one.copy()) for name, one in tensors.items()}
    made = stored_adapter(shape, torched, backbone)
    return ComposedModel(backbone, composition="a", adapters={"a": made})


def theirs_of(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """Give the last hidden states, without prompts, which are in front."""
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    return hidden[:, -batch["input_ids"].shape[1] :]


def far_apart(got: Tensor, expected: Tensor, batch: Mapping[str, Tensor]) -> float:
    """Give the largest difference at a real token, by the largest value."""
    real = batch["attention_mask"].bool()
    return float((got - expected)[real].abs().max() / expected[real].abs().max())
