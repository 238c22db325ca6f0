"""Heads go to `adapters` 1.3.0 and come from it with the same outputs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import BertAdapterModel

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.interchange.hub import (
    read_hub_adapter,
    read_hub_head,
    write_hub_adapter,
    write_hub_head,
)
from composer.model.parts import Head
from tests.model.conftest import batch_of
from tests.model.interchange.library import BERT_NAME, composed, randomise

TEXTS = ["turn on the lamp in the kitchen", "set a timer"]


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


CASES = {
    "classification": {"num_labels": 3, "layers": 1, "id2label": {0: "b", 1: "a", 2: "c"}},
    "multilabel_classification": {"num_labels": 2, "layers": 1, "multilabel": True},
    "tagging": {"num_labels": 3, "id2label": {0: "I-x", 1: "O", 2: "B-x"}},
}

LABELS = {
    "classification": {"b": 0, "a": 1, "c": 2},
    "multilabel_classification": {"LABEL_0": 0, "LABEL_1": 1},
    "tagging": {"O": 0, "B-x": 1, "I-x": 2},
}


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch).logits


@pytest.mark.parametrize("kind", CASES)
def test_a_head_comes_and_goes_with_the_same_outputs(
    backbone: Backbone, tiny_folder: Path, tmp_path: Path, kind: str
):
    theirs = with_head(tiny_folder, kind, tmp_path / "theirs", **CASES[kind])
    batch = batch_of(backbone, TEXTS)
    expected = logits(theirs, batch)
    read = read_hub_adapter(tmp_path / "theirs", backbone)
    head = read_hub_head(tmp_path / "theirs", backbone)
    ours = composed(backbone, read.shape, read.tensors)
    model = ComposedModel(
        backbone,
        composition="a",
        adapters={"a": ours.adapter("a")},
        head=Head({"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}),
        pooling=head.pooling,
    )
    with torch.no_grad():
        got = model(batch)
    if kind == "tagging":
        assert head.labels == ("x",)
        got, expected = (
            got[batch["attention_mask"].bool()],
            expected[batch["attention_mask"].bool()],
        )
        expected = expected[:, [1, 2, 0]]  # O, B-x, I-x
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)

    write_hub_adapter(tmp_path, "ner", read.shape, read.tensors, backbone=backbone, model=BERT_NAME)
    write_hub_head(tmp_path, "ner", head, backbone=backbone, model=BERT_NAME)
    again = flex(tiny_folder)
    again.load_adapter(str(tmp_path), set_active=True, use_safetensors=True)
    found = logits(again, batch)
    if kind == "tagging":
        found = found[batch["attention_mask"].bool()]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert again.heads["ner"].config["label2id"] == LABELS[kind]
