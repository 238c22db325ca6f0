from collections.abc import Callable

import pytest
import torch

from composer.model.composed import ComposedModel
from composer.model.folded import FoldedMixers, fold
from tests.model.conftest import batch_of

CASES = [
    "fuse(relu, gelu, swish, tanh)",
    "fuse(relu, mid3, none)",
    "fuse(low, low2, low3)",
    "fuse(relu, top)",
    "gate(relu, gelu)",
    "swish > fuse(relu, mid1) > gate(gelu, tanh)",
    "fuse(relu > gelu, average(0.3 * swish, 0.7 * tanh))",
]


@pytest.mark.parametrize("expression", CASES)
def test_a_folded_composition_gives_the_same_logits(
    compose: Callable[..., ComposedModel], expression: str
):
    trained = compose(expression, train_norm=True)
    folded = ComposedModel(
        trained.backbone,
        composition=trained.composition,
        adapters={name: trained.adapter(name) for name in _names(trained)},
        mixers=FoldedMixers(fold(trained)),
        head=trained.head,
    )
    batch = batch_of(trained.backbone, ["turn on the lamp", "set a timer for ten minutes"])
    with torch.no_grad():
        expected, got = trained(batch), folded(batch)
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_folded_fusion_holds_no_matrix_of_size_by_size(compose: Callable[..., ComposedModel]):
    folded = fold(compose("fuse(relu, gelu)"))
    assert folded
    assert all(
        32 not in tensor.shape[:1] or 32 not in tensor.shape[1:] for tensor in folded.values()
    )


def test_a_composition_that_owns_nothing_folds_to_nothing(compose: Callable[..., ComposedModel]):
    assert fold(compose("relu > gelu")) == {}


def _names(model: ComposedModel) -> list[str]:
    return [key.removeprefix("member ") for key in model.members]
