"""Heads of one layer and of two: what they compute, and what lies in their files."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from composer.bundle.tensors import read_tensors, write_tensors
from composer.data.encode import Encoder
from composer.data.examples import Example
from composer.errors import AdapterError
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.explained import explain
from composer.model.files import HeadFile, read_head, write_head
from composer.model.plain import plain_model
from composer.model.predictor import Predictor
from composer.model.together import logits_together
from composer.recipe.grammar.adapters import NonLinearity
from tests.model.conftest import batch_of, head_of
from tests.model.reference import FUNCTIONS
from tests.tiny import SENTENCES

Compose = Callable[..., ComposedModel]
NON_LINEARITIES = get_args(NonLinearity)
LABELS = ("on", "off", "up")


def with_head(model: ComposedModel, between: NonLinearity | None, *, seed: int) -> ComposedModel:
    model.head = head_of(3, model.backbone.size, between, seed=seed)
    model.pooling = "first"
    return model.eval()


def about(backbone: Backbone, between: NonLinearity | None = None) -> HeadFile:
    return HeadFile(
        size=backbone.size,
        type="text-classification",
        labels=LABELS,
        pooling="first",
        non_linearity=between,
    )


@pytest.mark.parametrize("between", [None, *NON_LINEARITIES])
def test_a_head_is_what_its_formula_says(between: NonLinearity | None):
    head = head_of(3, 8, between, seed=1).double()
    pooled = torch.randn(5, 7, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    w = head.tensors()
    inner = pooled
    if between is not None:
        inner = FUNCTIONS[between](pooled @ w["dense"].T + w["dense_bias"])
    expected = inner @ w["weight"].T + w["bias"]
    with torch.no_grad():
        torch.testing.assert_close(head.logits(pooled), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("between", [None, *NON_LINEARITIES])
def test_a_head_reads_back_as_it_was_written(
    tmp_path: Path, backbone: Backbone, between: NonLinearity | None
):
    head = head_of(3, backbone.size, between, seed=1)
    write_head(tmp_path, head, about(backbone, between))
    stored = read_head(tmp_path, backbone)
    assert stored.about == about(backbone, between)
    assert stored.head.count() == head.count() == 3 * 33 + (32 * 33 if between else 0)
    pooled = torch.ones(2, backbone.size)
    with torch.no_grad():
        assert torch.equal(stored.head.logits(pooled), head.logits(pooled))


def test_the_file_of_a_head_of_one_layer_says_nothing_of_another(
    tmp_path: Path, backbone: Backbone
):
    write_head(tmp_path, head_of(3, backbone.size, None), about(backbone))
    assert (tmp_path / "head.json").read_bytes() == (
        b'{\n  "format": 1,\n  "labels": [\n    "on",\n    "off",\n    "up"\n  ],\n'
        b'  "pooling": "first",\n  "size": 32,\n  "type": "text-classification"\n}\n'
    )
    assert sorted(read_tensors(tmp_path / "head.safetensors")) == ["bias", "weight"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense": np.ones((32, 31), np.float32)}, r"'dense' is F32\[32,31\], not F32\[32,32\]"),
        ({"dense_bias": np.ones(31, np.float32)}, r"'dense_bias' is F32\[31\], not F32\[32\]"),
        ({"dense.2": np.ones(1, np.float32)}, r"'dense.2' \(F32\[1\]\) is not expected"),
    ],
)
def test_a_dense_layer_that_is_not_as_described_is_refused(
    tmp_path: Path, backbone: Backbone, change: dict[str, np.ndarray], message: str
):
    write_head(tmp_path, head_of(3, backbone.size, "tanh"), about(backbone, "tanh"))
    file = tmp_path / "head.safetensors"
    write_tensors(file, {**read_tensors(file), **change})
    with pytest.raises(AdapterError, match=message):
        read_head(tmp_path, backbone)


def test_texts_of_one_batch_may_have_heads_of_either_kind(compose: Compose, backbone: Backbone):
    models = {
        "one": with_head(compose("relu"), None, seed=1),
        "two": with_head(compose("gelu"), "tanh", seed=2),
    }
    batch = batch_of(backbone, SENTENCES[:4])
    wanted = ["two", "one", "two", "one"]
    with torch.no_grad():
        got = logits_together(models, batch, wanted=wanted)
        for row, (name, logits) in enumerate(zip(wanted, got, strict=True)):
            alone = models[name]({key: one[row : row + 1] for key, one in batch.items()})[0]
            torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-5)


def test_a_head_of_two_layers_learns(compose: Compose, backbone: Backbone):
    model = with_head(compose("relu"), "relu", seed=1)
    batch = batch_of(backbone, SENTENCES[:3])
    model(batch).sum().backward()
    assert model.head is not None
    for name in model.head.names:
        gradient = model.head.parameter(name).grad
        assert gradient is not None
        assert gradient.abs().max() > 0


def test_it_explains_and_is_a_plain_model_too(compose: Compose, backbone: Backbone):
    model = with_head(compose("relu"), "tanh", seed=1)
    encoder = Encoder(backbone.tokenizer, max_tokens=backbone.max_tokens)
    predictor = Predictor(model, about(backbone, "tanh"), encoder)
    examples = [Example(text=text) for text in SENTENCES[:3]]
    expected = torch.stack(predictor.logits(predictor.encode(examples)))
    (explained, *_) = explain(predictor, examples)
    shares = torch.softmax(expected[0].double(), 0)
    assert explained.probabilities[0] == pytest.approx(shares.tolist(), rel=1e-5)
    plain = plain_model(predictor)
    batch = plain.tokenizer(SENTENCES[:3], return_tensors="pt", padding=True)
    with torch.no_grad():
        torch.testing.assert_close(plain.model(**batch).logits, expected, rtol=1e-5, atol=1e-5)
