"""LoRA goes to PEFT and comes from it with the same hidden states."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertModel

from composer.model.backbone import Backbone
from composer.model.interchange.peft import read_peft, write_peft
from tests.model.conftest import batch_of
from tests.model.interchange.library import BERT_NAME, composed, far_apart, randomise, theirs_of

TEXTS = ["turn on the lamp in the kitchen", "set a timer"]
CASES = {
    "query and value": LoraConfig(r=3, lora_alpha=7, target_modules=["query", "value"]),
    "every product": LoraConfig(r=2, target_modules=["query", "key", "value", "dense"]),
    "by a pattern": LoraConfig(r=4, target_modules=r".*layer\.1\..*dense"),
    "ranks differ": LoraConfig(
        r=4,
        target_modules=["query", "output.dense"],
        rank_pattern={"output.dense": 2},
        alpha_pattern={"query": 3},
        layers_to_transform=[1],
    ),
    "rank-stabilised": LoraConfig(r=4, target_modules=["key"], use_rslora=True, lora_dropout=0.1),
}


def bare(folder: Path) -> Any:
    return BertModel.from_pretrained(folder, add_pooling_layer=False).eval()


def tuned(model: Any, config: LoraConfig, to: Path) -> Any:
    model = get_peft_model(model, config)
    randomise(model, 5, only="lora_")
    model.save_pretrained(to)
    return model.eval()


@pytest.mark.parametrize("name", CASES)
def test_a_lora_comes_and_goes_with_the_same_outputs(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path, name: str
):
    theirs, batch = tuned(bare(tiny_folder), CASES[name], tmp_path), batch_of(backbone, TEXTS)
    expected = theirs_of(theirs, batch)
    read = read_peft(tmp_path, backbone)
    with torch.no_grad():
        assert (
            far_apart(composed(backbone, read.shape, read.tensors).hidden(batch), expected, batch)
            < 1e-5
        )
        assert far_apart(backbone.encode(batch), expected, batch) > 0.01  # it does something

    again = tmp_path / "again"
    again.mkdir()
    write_peft(again, read.shape, read.tensors, None, backbone=backbone, model=BERT_NAME)
    loaded = PeftModel.from_pretrained(bare(tiny_folder), str(again)).eval()
    assert far_apart(theirs_of(loaded, batch), expected, batch) < 1e-5
    assert read_peft(again, backbone).shape == read.shape
