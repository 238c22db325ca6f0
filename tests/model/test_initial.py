"""What matrices start with, by the recipe's word."""

import math

import pytest
import torch
from torch import Tensor

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.initial import initial
from composer.model.parts import new_bottleneck
from composer.recipe.grammar.adapters import BottleneckAdapter
from tests.model.conftest import batch_of

DOWN, UP, MIDDLE = ("down", (96, 512)), ("up", (512, 96)), ("middle.0", (128, 128))


def drawn(init: str, name: str, lengths: tuple[int, int]) -> Tensor:
    return initial(init, name, lengths, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("init", "matrix", "std", "most"),
    [
        ("normal", DOWN, 0.02, 1.0),
        ("normal", UP, 0.02, 1.0),
        ("normal", MIDDLE, math.sqrt(2 / 128), 1.0),
        ("near-identity", DOWN, 1 / math.sqrt(3 * 512), 1 / math.sqrt(512)),
        ("near-identity", UP, 0.0, 0.0),
        ("near-identity", MIDDLE, math.sqrt(2 / 128), 1.0),
        ("xavier", DOWN, math.sqrt(2 / 608), math.sqrt(6 / 608)),
        ("xavier", UP, math.sqrt(2 / 608), math.sqrt(6 / 608)),
        ("xavier", MIDDLE, math.sqrt(2 / 256), math.sqrt(6 / 256)),
        ("truncated-normal", DOWN, 0.88 * 0.01, 0.02),  # cut at two deviations, 0.88 is left
        ("truncated-normal", MIDDLE, 0.88 * math.sqrt(2 / 128), 2 * math.sqrt(2 / 128)),
    ],
)
def test_a_matrix_starts_with_the_spread_that_is_said(
    init: str, matrix: tuple[str, tuple[int, int]], std: float, most: float
):
    found = drawn(init, *matrix)
    assert found.shape == matrix[1]
    assert float(found.std()) == pytest.approx(std, rel=0.03)
    assert float(found.mean()) == pytest.approx(0.0, abs=max(1e-9, 0.03 * std))
    assert float(found.abs().max()) <= most + 1e-7


@pytest.mark.parametrize("init", ["normal", "near-identity", "xavier", "truncated-normal"])
def test_the_generator_alone_decides(init: str):
    before = torch.get_rng_state()
    one, other = drawn(init, *DOWN), drawn(init, *DOWN)
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_near_identity_adds_nothing_yet(backbone: Backbone):
    shape = BottleneckAdapter(kind="bottleneck", width=4, init="near-identity", scaling="learned")
    adapter = new_bottleneck(
        shape, sites=backbone.norms, size=backbone.size, generator=torch.Generator()
    )
    batch = batch_of(backbone, ["turn on the lamp"])
    with torch.no_grad():
        with_it = ComposedModel(backbone, composition="a", adapters={"a": adapter}).hidden(batch)
        without = ComposedModel(backbone, composition="none", adapters={}).hidden(batch)
    assert torch.equal(with_it, without)
    assert adapter["0.output.down"].any()
    assert adapter["0.output.scaling"].tolist() == [1.0]
