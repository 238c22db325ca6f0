"""Heads go to `adapters` 1.3.0 and come from it with the same outputs."""

from pathlib import Path
from typing import Any

import adapters
import pytest
import torch
from adapters import BertAdapterModel
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.interchange.foreignheads import ForeignHead
from composer.model.interchange.hub import (
    ForeignAdapter,
    read_hub_adapter,
    read_hub_head,
    write_hub_adapter,
    write_hub_head,
)
from composer.model.parts import Head
from tests.model.conftest import batch_of
from tests.model.interchange.library import BERT_NAME, composed, randomise
from tests.tiny import write_tiny_family

TEXTS = ["turn on the lamp in the kitchen", "set a timer"]
NAMES = {0: "b", 1: "a", 2: "c"}
TAGS = {0: "I-x", 1: "O", 2: "B-x"}

# What the library is asked for -> what composer has between two layers.
CASES: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "one layer": ("classification", {"num_labels": 3, "layers": 1, "id2label": NAMES}, None),
    "as the library makes it": ("classification", {"num_labels": 3, "id2label": NAMES}, "tanh"),
    "nothing between": ("classification", {"num_labels": 3, "activation_function": None}, None),
    "relu": ("classification", {"num_labels": 3, "activation_function": "relu"}, "relu"),
    "gelu": ("classification", {"num_labels": 3, "activation_function": "gelu"}, "gelu"),
    "silu": ("classification", {"num_labels": 3, "activation_function": "SiLU"}, "swish"),
    "a number": ("classification", {"num_labels": 1}, "tanh"),
    "several labels, one layer": (
        "multilabel_classification",
        {"num_labels": 2, "layers": 1, "multilabel": True},
        None,
    ),
    "several labels": (
        "multilabel_classification",
        {"num_labels": 2, "multilabel": True},
        "tanh",
    ),
    "tags": ("tagging", {"num_labels": 3, "id2label": TAGS}, None),
    "tags, two layers": ("tagging", {"num_labels": 3, "layers": 2, "id2label": TAGS}, "tanh"),
}


def flex(folder: Path) -> Any:
    return BertAdapterModel.from_pretrained(folder).eval()


def with_head(folder: Path, kind: str, to: Path, **options: Any) -> Any:
    model = flex(folder)
    model.add_adapter("ner", config="double_seq_bn")
    short = kind.removeprefix("multilabel_")
    getattr(model, f"add_{short}_head")("ner", **options)
    randomise(model, 5, only="ner")
    model.set_active_adapters("ner")
    model.save_adapter(to, "ner", use_safetensors=True)
    return model


def logits(model: Any, batch: Any) -> Tensor:
    with torch.no_grad():
        return model(**batch).logits


def ours(backbone: Backbone, read: ForeignAdapter, head: ForeignHead) -> ComposedModel:
    torched = {name: torch.from_numpy(one) for name, one in head.tensors.items()}
    return ComposedModel(
        backbone,
        composition="a",
        adapters={"a": composed(backbone, read.shape, read.tensors).adapter("a")},
        head=Head(torched, head.non_linearity),
        pooling=head.pooling,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_head_comes_and_goes_with_the_same_outputs(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path, name: str
):
    kind, options, between = CASES[name]
    theirs = with_head(tiny_folder, kind, tmp_path / "theirs", **options)
    batch = batch_of(backbone, TEXTS)
    expected = logits(theirs, batch)
    read = read_hub_adapter(tmp_path / "theirs", backbone)
    head = read_hub_head(tmp_path / "theirs", backbone)
    assert head.non_linearity == between
    with torch.no_grad():
        got = ours(backbone, read, head)(batch)
    real = batch["attention_mask"].bool() if kind == "tagging" else slice(None)
    if kind == "tagging":
        assert head.labels == ("x",)
        expected = expected[..., [1, 2, 0]]  # O, B-x, I-x
    torch.testing.assert_close(got[real], expected[real], rtol=1e-5, atol=1e-5)

    write_hub_adapter(tmp_path, "ner", read.shape, read.tensors, backbone=backbone, model=BERT_NAME)
    write_hub_head(tmp_path, "ner", head, backbone=backbone, model=BERT_NAME)
    again = flex(tiny_folder)
    again.load_adapter(str(tmp_path), set_active=True, use_safetensors=True)
    found = logits(again, batch)
    torch.testing.assert_close(found[real], expected[real], rtol=1e-5, atol=1e-5)
    said = again.heads["ner"].config
    assert said["layers"] == (1 if between is None else 2)
    labels = ("O", "B-x", "I-x") if kind == "tagging" else head.labels or ("LABEL_0",)
    assert said["label2id"] == {label: place for place, label in enumerate(labels)}


@pytest.mark.parametrize("family", ["distilbert", "electra", "roberta", "xlm-roberta"])
def test_a_model_class_for_sequences_has_a_head_of_two_layers(tmp_path: Path, family: str):
    folder = write_tiny_family(tmp_path / family, family)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    adapters.init(theirs)
    theirs.add_adapter("ner", config="double_seq_bn")
    theirs.train_adapter("ner")
    randomise(theirs, 5, only="ner")
    randomise(theirs, 6, only="classifier")
    theirs.save_adapter(tmp_path / "theirs", "ner", use_safetensors=True)
    theirs.eval()
    backbone = open_backbone(folder, precision="float32")
    batch = batch_of(backbone, TEXTS)
    types = {} if family == "distilbert" else {"token_type_ids": batch["token_type_ids"]}
    taken = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = logits(theirs, {**taken, **types})
    read = read_hub_adapter(tmp_path / "theirs", backbone)
    head = read_hub_head(tmp_path / "theirs", backbone)
    assert head.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    with torch.no_grad():
        got = ours(backbone, read, head)(batch)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
