"""Masks of sparse adapters, held to scores worked out by hand."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from composer.bundle.tensors import write_tensors
from composer.errors import TrainingError
from composer.model.adapters import Site
from composer.model.composed import ComposedModel
from composer.model.files import stored_arrays
from composer.model.methods.sparsity import _grasp, erdos_renyi_counts, find_masks
from composer.model.parts import new_bottleneck
from composer.recipe.grammar.adapters import AdapterShape, Sparsity
from composer.recipe.sizes.sparsity import is_masked
from tests.model.conftest import batch_of

# One bottleneck of one unit: out = h + relu(h . d) u, loss = |out - t|^2 / 2, and h = (2, 1),
# t = (2, 2). So z = 1.5, e = out - t = (.75, 2), dL/du = e z = (1.125, 3), dL/dz = e . u = 4.375
# and dL/dd = 4.375 h.
DOWN, UP = [[1.0, -0.5]], [[0.5], [2.0]]
SNIP = {"down": [[8.75, 2.1875]], "up": [[0.5625], [6.0]]}
# H g: dL/dz moves by 4.25 (g_d . h) + (1.5, 5) . g_u = 109.65625, times h for d;
# dL/du by (1.5, 5) (g_d . h) + 2.25 g_u, with g_d . h = 21.875.
GRASP = {"down": [[219.3125, -54.828125]], "up": [[17.671875], [232.25]]}


def tiny() -> dict[str, Tensor]:
    weights = {"down": torch.tensor(DOWN), "up": torch.tensor(UP)}
    return {name: one.requires_grad_() for name, one in weights.items()}


def loss_of(weights: dict[str, Tensor]) -> Callable[[], Iterator[Tensor]]:
    def losses() -> Iterator[Tensor]:
        hidden, target = torch.tensor([2.0, 1.0]), torch.tensor([2.0, 2.0])
        out = hidden + torch.relu(weights["down"] @ hidden) @ weights["up"].T
        yield ((out - target) ** 2).sum() / 2

    return losses


def masks(method: str, ratio: float, weights: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    weights = tiny() if weights is None else weights
    return find_masks(
        weights,
        Sparsity(method=method, ratio=ratio),
        losses=loss_of(weights),
        generator=torch.Generator().manual_seed(0),
    )


def kept(found: dict[str, Tensor]) -> set[tuple[str, int]]:
    return {
        (name, number)
        for name, mask in found.items()
        for number in mask.flatten().nonzero().flatten().tolist()
    }


@pytest.mark.parametrize(("method", "scores"), [("snip", SNIP), ("grasp", GRASP)])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_mask_keeps_the_highest_scores_worked_out_by_hand(
    method: str, scores: dict[str, list[list[float]]], ratio: float
):
    values = {
        (name, number): score
        for name, rows in scores.items()
        for number, score in enumerate(value for row in rows for value in row)
    }
    best = sorted(values, key=lambda one: -values[one])[: 4 - round(4 * ratio)]
    assert kept(masks(method, ratio)) == set(best)


def test_snip_and_grasp_do_not_drop_the_same_weight():
    assert kept(masks("snip", 0.25)) == {("down", 0), ("down", 1), ("up", 1)}
    assert kept(masks("grasp", 0.25)) == {("down", 0), ("up", 0), ("up", 1)}


def test_grasp_scores_are_those_worked_out_by_hand():
    weights = tiny()
    for name, found in _grasp(weights, loss_of(weights)).items():
        assert torch.allclose(found, torch.tensor(GRASP[name])), name


def test_magnitude_keeps_the_largest_weights_of_all_matrices_together():
    assert kept(masks("magnitude", 0.5)) == {("down", 0), ("up", 1)}


def test_of_equal_scores_the_first_are_kept():
    weights = {"b": torch.ones(2, 3), "a": torch.ones(1, 4)}
    assert kept(masks("magnitude", 0.4, weights)) == {("a", 0), ("a", 1), ("a", 2), ("a", 3),
                                                      ("b", 0), ("b", 1)}  # fmt: skip


@pytest.mark.parametrize("method", ["random", "erdos-renyi", "magnitude"])
@pytest.mark.parametrize("ratio", [0.001, 0.1, 0.4, 0.77, 0.999])
def test_exactly_the_ratio_is_dropped_to_one_weight(method: str, ratio: float):
    weights = {"a": torch.randn(7, 13), "b": torch.randn(13, 7), "c": torch.randn(7, 7)}
    found = masks(method, ratio, weights)
    count = 2 * 7 * 13 + 49
    assert sum(int((~one).sum()) for one in found.values()) == round(ratio * count)
    assert {name: one.shape for name, one in found.items()} == {
        name: one.shape for name, one in weights.items()
    }


def test_what_is_drawn_depends_on_the_generator_alone():
    one, other = (kept(masks("random", 0.5, {"a": torch.randn(5, 5)})) for _ in range(2))
    assert one == other


# kept = e (rows + columns): 10, 10 and 4 parts of 24.
ERDOS_RENYI = [
    # e = 20 / 24: 8.33, 8.33 and 3.33; of equal remainders the first takes what is left over
    ([(2, 8), (8, 2), (2, 2)], 20, [9, 8, 3]),
    # e = 30 / 24 would give the small one 5 of its 4: it is whole, and 26 are shared by 20
    ([(2, 8), (8, 2), (2, 2)], 30, [13, 13, 4]),
    ([(4, 4), (4, 4)], 5, [3, 2]),
    ([(1, 1), (9, 9)], 82, [1, 81]),
    ([(1, 1), (9, 9)], 0, [0, 0]),
]


@pytest.mark.parametrize(("shapes", "left", "counts"), ERDOS_RENYI)
def test_erdos_renyi_shares_out_by_rows_and_columns(
    shapes: list[tuple[int, int]], left: int, counts: list[int]
):
    assert erdos_renyi_counts(shapes, left) == counts


def test_erdos_renyi_masks_the_larger_matrices_more():
    weights = {"a": torch.randn(8, 32), "b": torch.randn(8, 16), "c": torch.randn(8, 8)}
    found = masks("erdos-renyi", 0.5, weights)
    shares = [float(one.float().mean()) for one in found.values()]
    assert all(one < other for one, other in pairwise(shares))
    assert [int(one.sum()) for one in found.values()] == [112, 67, 45]  # e = 224 / 80


def test_scores_that_are_all_zero_are_refused():
    weights = {"down": torch.ones(1, 2), "up": torch.zeros(2, 1)}
    weights = {name: one.requires_grad_() for name, one in weights.items()}
    zero = {"down": weights["down"], "up": weights["up"]}
    with pytest.raises(TrainingError, match="every score by 'snip' is 0"):
        masks("snip", 0.5, zero)


@pytest.mark.parametrize("expression", ["gelu", "mid2"])
def test_grasp_multiplies_by_the_hessian_of_the_whole_model(
    compose: Callable[..., ComposedModel], expression: str
):
    """The product with the Hessian equals differences of gradients, through every layer."""
    model = compose(expression).double()
    model.backbone.to(torch.float64)
    batch = batch_of(model.backbone, ["turn on the lamp", "set a timer"])
    adapter = model.adapter(expression)
    weights = {name: adapter[name] for name in adapter.names if is_masked(name)}
    matrices = list(weights.values())

    def losses() -> Iterator[Tensor]:
        yield model(batch).square().mean()

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(next(losses()), matrices))

    try:
        found = _grasp(weights, losses)
        along, step = gradients(), 1e-6
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                for weight, one in zip(matrices, along, strict=True):
                    weight.add_(sign * step * one)
            sides.append(gradients())
            with torch.no_grad():
                for weight, one in zip(matrices, along, strict=True):
                    weight.sub_(sign * step * one)
        for (name, score), weight, after, before in zip(
            found.items(), matrices, *sides, strict=True
        ):
            expected = weight.detach() * (after - before) / (2 * step)
            difference = (score - expected).abs().max() / expected.abs().max()
            assert difference < 1e-4, (name, difference)
    finally:
        model.backbone.to(torch.float32)


@pytest.mark.parametrize("kind", ["bottleneck", "madapter"])
def test_a_sparse_adapter_is_a_third_smaller_on_disk(tmp_path: Path, kind: str):
    """As wide as the paper's, on two layers of BERT-base, norms and biases included."""
    sites = {Site(n, where): nn.LayerNorm(768) for n in (0, 1) for where in ("attention", "output")}
    sizes = {}
    for sparsity in (None, Sparsity(method="random", ratio=0.4)):
        shape = TypeAdapter(AdapterShape).validate_python(
            {"kind": kind, "width": 64, "train_norm": True, "sparsity": sparsity}
        )
        adapter = new_bottleneck(shape, sites=sites, size=768, generator=torch.Generator())
        if sparsity is not None:
            weights = {name: adapter[name] for name in adapter.names if is_masked(name)}
            drawn = torch.Generator().manual_seed(0)
            adapter.mask(find_masks(weights, sparsity, losses=lambda: iter(()), generator=drawn))
        file = tmp_path / f"{kind}-{sparsity is None}.safetensors"
        write_tensors(file, stored_arrays(adapter))
        sizes[sparsity is None] = file.stat().st_size
    assert sizes[False] <= 0.66 * sizes[True]
