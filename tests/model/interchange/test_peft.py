"""LoRA goes to PEFT and comes from it with the same hidden states."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, BertModel

from composer.errors import InterchangeError
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.interchange.peft import read_peft, read_peft_head, write_peft
from composer.model.parts import Head
from tests.model.conftest import batch_of
from tests.model.interchange.library import BERT_NAME, composed, far_apart, randomise, theirs_of
from tests.tiny import write_tiny_family

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


def sequences(folder: Path, classes: int) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=classes).eval()


HEADS = {"roberta": None, "xlm-roberta": None, "distilbert": ["classifier", "pre_classifier"]}


@pytest.mark.parametrize("classes", [3, 1])
@pytest.mark.parametrize("family", HEADS)
def test_a_head_for_sequences_comes_and_goes_with_the_same_outputs(
    tmp_path: Path, family: str, classes: int
):
    folder = write_tiny_family(tmp_path / family, family)
    backbone = open_backbone(folder, precision="float32")
    targets = ["q_lin"] if family == "distilbert" else ["query"]
    config = LoraConfig(
        r=2, target_modules=targets, task_type="SEQ_CLS", modules_to_save=HEADS[family]
    )
    theirs = get_peft_model(sequences(folder, classes), config)
    randomise(theirs, 5, only="lora_")
    randomise(theirs, 6, only="classifier")
    theirs.save_pretrained(tmp_path / "theirs")
    batch = dict(batch_of(backbone, TEXTS))
    taken = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = theirs.eval()(**taken).logits
    read = read_peft(tmp_path / "theirs", backbone)
    labels = ("a", "b", "c") if classes > 1 else ()
    head = read_peft_head(tmp_path / "theirs", backbone, labels=labels)
    assert head is not None
    assert head.type == ("text-classification" if classes > 1 else "regression")
    torched = {name: torch.from_numpy(one) for name, one in head.tensors.items()}
    model = ComposedModel(
        backbone,
        composition="a",
        adapters={"a": composed(backbone, read.shape, read.tensors).adapter("a")},
        head=Head(torched, head.non_linearity),
        pooling=head.pooling,
    )
    with torch.no_grad():
        torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)

    again = tmp_path / "again"
    again.mkdir()
    write_peft(again, read.shape, read.tensors, head, backbone=backbone, model=BERT_NAME)
    loaded = PeftModel.from_pretrained(sequences(folder, classes), str(again)).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**taken).logits, expected, rtol=1e-5, atol=1e-5)


def test_a_head_for_sequences_needs_its_labels(tmp_path: Path):
    folder = write_tiny_family(tmp_path / "roberta", "roberta")
    backbone = open_backbone(folder, precision="float32")
    config = LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
    get_peft_model(sequences(folder, 3), config).save_pretrained(tmp_path / "theirs")
    with pytest.raises(InterchangeError, match="0 labels for 3 outputs; .*--labels A,B"):
        read_peft_head(tmp_path / "theirs", backbone)


def test_a_head_on_a_pooler_is_refused_and_the_adapter_is_not(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path
):
    config = LoraConfig(
        r=2, target_modules=["query"], task_type="SEQ_CLS", modules_to_save=["classifier", "pooler"]
    )
    get_peft_model(sequences(tiny_folder, 3), config).save_pretrained(tmp_path)
    with pytest.raises(InterchangeError, match="those of SEQ_CLS of distilbert"):
        read_peft_head(tmp_path, backbone, labels=("a", "b", "c"))
    assert read_peft(tmp_path, backbone).shape.kind == "lora"
