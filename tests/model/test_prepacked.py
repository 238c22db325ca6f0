"""Weights that are laid out beforehand give the same bits."""

import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from composer.model import prepacked as module
from composer.model.backbone import Backbone, open_backbone
from composer.model.prepacked import Prepacked, prepacked
from tests.model.conftest import batch_of
from tests.model.kinds import model_of

SHAPES = [(2304, 768), (768, 768), (3072, 768), (768, 3072), (96, 32), (384, 384)]
TEXTS = ["turn on the lamp", "lamp", "the light in the kitchen is on"]

needs_operators = pytest.mark.skipif(
    not module._supported(), reason="oneDNN does not multiply bfloat16 here"
)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


@needs_operators
@pytest.mark.parametrize("rows", [1, 17, 130, 1024])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_and_its_gradient_have_the_same_bits(shape: tuple[int, int], rows: int):
    weight, upstream = drawn(*shape), drawn(rows, shape[0])
    one, other = (drawn(rows, shape[1]).requires_grad_() for _ in range(2))
    laid_out = prepacked(weight)
    assert laid_out is not None
    found, expected = laid_out.multiply(one), F.linear(other, weight)
    found.backward(upstream)
    expected.backward(upstream)
    assert torch.equal(found, expected)
    assert one.grad is not None
    assert other.grad is not None
    assert torch.equal(one.grad, other.grad)


@needs_operators
def test_its_gradient_has_a_gradient():
    weight, rows = drawn(96, 32), drawn(5, 32).requires_grad_()
    laid_out = prepacked(weight)
    assert laid_out is not None
    seconds = []
    for product in (laid_out.multiply, lambda x: F.linear(x, weight)):
        (first,) = torch.autograd.grad((product(rows).float() ** 3).sum(), rows, create_graph=True)
        (second,) = torch.autograd.grad(first.float().square().sum(), rows)
        seconds.append(second)
    torch.testing.assert_close(*seconds, rtol=0.02, atol=0.02)


@pytest.fixture
def narrow(tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision="bfloat16")


def learnt(backbone: Backbone, kind: str) -> list[Tensor]:
    """Give the gradients of one step."""
    model = model_of(backbone, kind)
    model(batch_of(backbone, TEXTS)).square().sum().backward()
    return [one.grad for one in model.parameters() if one.grad is not None]


@needs_operators
@pytest.mark.parametrize("kind", ["net", "lora"])
def test_a_backbone_is_learnt_through_with_the_same_bits_until_it_is_given_up(
    narrow: Backbone, kind: str
):
    assert narrow.encoder is not None
    before = learnt(narrow, kind)
    narrow.encoder.prepack(wanted=True)
    products = [
        product
        for layer in narrow.encoder.layers
        for product in (layer.joined, layer.mixed, layer.wide, layer.narrow)
    ]
    assert all(isinstance(product.prepacked, Prepacked) for product in products)
    assert all(map(torch.equal, learnt(narrow, kind), before))
    assert any(bool(one.any()) for one in before)
    narrow.encoder.prepack(wanted=False)
    assert all(layer.wide.prepacked is None for layer in narrow.encoder.layers)


def test_float32_stays_as_it_is(backbone: Backbone):
    assert backbone.encoder is not None
    backbone.encoder.prepack(wanted=True)
    assert all(layer.wide.prepacked is None for layer in backbone.encoder.layers)
    backbone.encoder.prepack(wanted=False)


def test_where_the_operators_are_missing_nothing_is_laid_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_supported", lambda: False)
    assert prepacked(drawn(96, 32)) is None


@needs_operators
def test_where_the_bits_would_be_others_nothing_is_laid_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    times = module._times
    monkeypatch.setattr(module, "_times", lambda *given: times(*given) * 1.01)
    with caplog.at_level(logging.INFO):
        assert prepacked(drawn(40, 24)) is None
    assert "prepack: weights of 40 x 24 would give other bits here" in caplog.text
    module._exact.cache_clear()
