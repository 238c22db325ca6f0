"""Composer's own forward pass of BERT-like encoders, held to the one of `transformers`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from composer.model.adapters import Site
from composer.model.backbone import Backbone, open_backbone
from tests.model.conftest import batch_of
from tests.tiny import write_tiny_backbone, write_tiny_family

TEXTS = ["turn on the lamp in the kitchen", "set a timer", "stop"]


@pytest.fixture(params=["bert", "roberta", "distilbert"])
def backbone(request: pytest.FixtureRequest, tmp_path: Path) -> Backbone:
    return open_backbone(write_tiny_family(tmp_path, request.param), precision="float32")


def by_transformers(backbone: Backbone) -> Backbone:
    return replace(backbone, encoder=None)


def nudged(backbone: Backbone, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Run with something learnt at each site; give the real tokens' states and the gradient."""
    learnt = torch.linspace(-1, 1, backbone.size).requires_grad_()

    def act(site: Site, hidden: Tensor, residual: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
        return norm(hidden * (1 + learnt * (site.layer + 1)) + residual)  # type: ignore[no-any-return]

    with backbone.sites.acting(act):
        states = backbone.encode(batch)[batch["attention_mask"].bool()]
    (states * torch.linspace(0, 3, states.numel()).view_as(states)).sum().backward()
    assert learnt.grad is not None
    return states.detach(), learnt.grad


def test_states_and_gradients_are_those_of_transformers(backbone: Backbone):
    batch = batch_of(backbone, TEXTS)
    ours, theirs = nudged(backbone, batch), nudged(by_transformers(backbone), batch)
    for got, expected in zip(ours, theirs, strict=True):
        scale = float(expected.abs().max())
        assert scale > 0.1
        assert float((got - expected).abs().max()) < 2e-6 * scale


def test_a_text_is_encoded_the_same_with_and_without_padding(backbone: Backbone):
    with torch.no_grad():
        together = backbone.encode(batch_of(backbone, TEXTS))
        for number, text in enumerate(TEXTS):
            alone = backbone.encode(batch_of(backbone, [text]))[0]
            torch.testing.assert_close(together[number, : len(alone)], alone, rtol=1e-5, atol=1e-5)


def test_first_tokens_alone_have_the_states_and_gradients_that_they_have_among_all(
    backbone: Backbone,
):
    batch = batch_of(backbone, TEXTS)

    def first(*, only: bool) -> tuple[Tensor, Tensor]:
        learnt = torch.linspace(-1, 1, backbone.size).requires_grad_()

        def act(site: Site, hidden: Tensor, residual: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
            return norm(hidden * (1 + learnt * (site.layer + 1)) + residual)  # type: ignore[no-any-return]

        with backbone.sites.acting(act):
            states = backbone.encode(batch, first_only=only)
        assert states.shape[1] == (1 if only else batch["input_ids"].shape[1])
        (
            states[:, 0] * torch.linspace(0, 3, states[:, 0].numel()).view(len(TEXTS), -1)
        ).sum().backward()
        assert learnt.grad is not None
        return states[:, 0].detach(), learnt.grad

    for alone, among in zip(first(only=True), first(only=False), strict=True):
        torch.testing.assert_close(alone, among, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("only", [True, False])
def test_from_what_arrives_at_a_site_it_goes_on_as_from_the_beginning(
    backbone: Backbone, only: bool
):
    batch = batch_of(backbone, TEXTS)
    assert backbone.encoder is not None

    def act(site: Site, hidden: Tensor, residual: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
        return norm(hidden + residual) if site < begun else 2 * norm(hidden * 3 - residual)

    with torch.no_grad():
        for begun in backbone.sites.order:
            arrived = backbone.encoder.arrive(batch, begun)
            with backbone.sites.acting(act):
                whole = backbone.encode(batch, first_only=only)
                rest = backbone.encode(batch, first_only=only, arrived=arrived)
            torch.testing.assert_close(rest, whole, rtol=1e-5, atol=1e-6)
            assert rest.shape == whole.shape


def test_no_weight_is_held_twice(backbone: Backbone):
    assert backbone.encoder is not None
    held = {one.untyped_storage().data_ptr() for one in backbone.module.parameters()}
    for layer in backbone.encoder.layers:
        for product in (layer.joined, layer.mixed, layer.wide, layer.narrow):
            assert product.weight.untyped_storage().data_ptr() in held


def test_the_backbones_dropout_acts_in_training_only_and_is_seeded(backbone: Backbone):
    batch = batch_of(backbone, TEXTS)
    with torch.no_grad():
        plain = backbone.encode(batch)
        backbone.set_dropout(active=True)
        torch.manual_seed(4)
        dropped = backbone.encode(batch)
        torch.manual_seed(4)
        assert torch.equal(dropped, backbone.encode(batch))
        assert not torch.equal(dropped, backbone.encode(batch))
        backbone.set_dropout(active=False)
        assert torch.equal(plain, backbone.encode(batch))
    assert float((dropped - plain).abs().max()) > 0.01


def test_dropout_is_drawn_in_as_many_places_as_transformers_does(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[int] = []
    monkeypatch.setattr(
        "composer.model.attention.kept_at_random",
        lambda shape, probability, device: drawn.append(1) or torch.ones(shape, dtype=torch.bool),
    )
    backbone.set_dropout(active=True)
    backbone.encode(batch_of(backbone, TEXTS))
    of_a_layer = 2 if backbone.architecture == "distilbert" else 3
    assert len(drawn) == of_a_layer * len(backbone.norms) // 2


def test_moving_the_weights_moves_those_of_the_products(backbone: Backbone):
    batch = batch_of(backbone, TEXTS)
    with torch.no_grad():
        before = backbone.encode(batch)
        backbone.to(torch.float64)
        exact = backbone.encode(batch)
        backbone.to(torch.float32)
        assert torch.equal(backbone.encode(batch), before)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), before, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_as_near_to_float32_as_transformers_with_narrow_products(tmp_path: Path):
    folder = write_tiny_backbone(tmp_path)
    exact = open_backbone(folder, precision="float32")
    narrow = open_backbone(folder, precision="bfloat16")
    batch = batch_of(exact, TEXTS)
    with torch.no_grad():
        expected = exact.encode(batch)
        ours = (narrow.encode(batch) - expected).abs().mean()
        theirs = (by_transformers(narrow).encode(batch) - expected).abs().mean()
    assert 0 < float(ours) < 1.5 * float(theirs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_mapped_weights_are_used_where_they_lie_and_give_the_same(
    tmp_path: Path, family: str, precision: str
):
    folder = write_tiny_family(tmp_path / "backbone", family)
    own = open_backbone(folder, precision=precision)
    mapped = open_backbone(folder, precision=precision, shared=tmp_path / "shared")
    batch = batch_of(own, TEXTS)
    with torch.no_grad():
        assert torch.equal(own.encode(batch), mapped.encode(batch))
    assert mapped.encoder is not None
    held = {
        product.weight.untyped_storage().data_ptr()
        for layer in mapped.encoder.layers
        for product in (layer.joined, layer.mixed, layer.wide, layer.narrow)
    }
    assert len(held) == 1  # the file's pages: nothing was copied
