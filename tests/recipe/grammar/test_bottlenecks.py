"""What a recipe may say of bottlenecks, how much of it is trained, and what does not fit."""

from pathlib import Path

import pytest

from composer.errors import RecipeError
from composer.recipe.grammar.adapters import (
    BottleneckAdapter,
    MAdapter,
    Placement,
    Sparsity,
    joint_placement,
    sub_layers,
)
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import adapter_parameters, bottleneck_width, check_fit
from composer.recipe.sizes.sparsity import dropped_weights
from tests.recipe.recipes import recipe_of

BERT = BackboneShape(hidden_size=768, layers=12, max_tokens=512)
D = 768


def bottleneck(**values: object) -> BottleneckAdapter:
    return BottleneckAdapter.model_validate({"kind": "bottleneck", **values})


def madapter(**values: object) -> MAdapter:
    return MAdapter.model_validate({"kind": "madapter", **values})


@pytest.mark.parametrize(
    ("adapter", "count"),
    [
        (bottleneck(width=64), 2_379_264),
        (madapter(width=32), 1_224_192),
        (bottleneck(width=64, train_norm=True), 2_379_264 + 36_864),
        (madapter(width=32, train_norm=True), 1_224_192 + 36_864),
    ],
)
def test_the_papers_adapters_count_as_in_the_paper(
    adapter: BottleneckAdapter | MAdapter, count: int
):
    assert adapter_parameters(adapter, BERT) == count


def test_their_shares_of_bert_base_are_the_papers():
    bert = 109_482_240  # bert-base-uncased with its pooler
    assert f"{2_379_264 / bert:.2%}" == "2.17%"
    assert f"{1_224_192 / bert:.2%}" == "1.12%"


SITE = 2 * D * 64


@pytest.mark.parametrize(
    ("adapter", "count"),
    [
        (bottleneck(width=64, placement="after-attention"), 12 * (SITE + 64 + D)),
        (bottleneck(width=64, placement="after-feed-forward"), 12 * (SITE + 64 + D)),
        (bottleneck(width=64, form="parallel", scaling="learned"), 24 * (SITE + 64 + D + 1)),
        (bottleneck(width=64, bias=False, sparsity=Sparsity(method="snip", ratio=0.4)),
         24 * SITE - round(0.4 * 24 * SITE)),
        (madapter(width=32, sparsity=Sparsity(method="random", ratio=0.9)),
         1_224_192 - round(0.9 * 24 * (2 * D + 32) * 32)),
        (bottleneck(reduction_factor={"0": 8.0, "11": 24.0, "default": 12.0}, bias=False),
         2 * 2 * D * (96 + 32 + 10 * 64)),
        (bottleneck(reduction_factor={"0": 8.0, "default": 12.0}, leave_out=(0,), bias=False),
         22 * SITE),
    ],
)  # fmt: skip
def test_every_shape_is_counted(adapter: BottleneckAdapter | MAdapter, count: int):
    assert adapter_parameters(adapter, BERT) == count


@pytest.mark.parametrize(("weights", "ratio", "dropped"), [(10, 0.4, 4), (11, 0.4, 4), (3, 0.5, 2)])
def test_as_many_weights_are_dropped_as_the_ratio_rounds_to(
    weights: int, ratio: float, dropped: int
):
    assert dropped_weights(weights, Sparsity(method="snip", ratio=ratio)) == dropped


def test_a_factor_of_its_own_gives_a_layer_its_width():
    adapter = bottleneck(reduction_factor={"1": 8.0, "default": 12.0})
    assert [bottleneck_width(adapter, D, layer=layer) for layer in range(3)] == [64, 96, 64]
    assert bottleneck_width(adapter, D) == 96


@pytest.mark.parametrize(
    ("placements", "joint"),
    [
        (["pfeiffer"], "pfeiffer"),
        (["after-attention"], "after-attention"),
        (["after-feed-forward", "pfeiffer"], "after-feed-forward"),
        (["after-attention", "pfeiffer"], "houlsby"),
        (["houlsby", "pfeiffer"], "houlsby"),
        ([], "houlsby"),
    ],
)
def test_placements_join_to_all_their_sub_layers(placements: list[Placement], joint: Placement):
    assert joint_placement(placements) == joint


def test_a_placement_names_its_sub_layers():
    assert sub_layers("houlsby") == ("attention", "output")
    assert sub_layers("after-attention") == ("attention",)


def faults(folder: Path, what: str) -> list[str]:
    recipe = recipe_of(folder, {"width: 32": what})
    shape = BackboneShape(hidden_size=384, layers=12, max_tokens=512)
    return [str(fault) for fault in check_fit(recipe, shape)]


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ('{"0": 8, "default": 16}', []),
        ('{"0": 8}', ["layer 1 has no factor; give it one, or all others by `default`"]),
        ('{"12": 8, "default": 16}', ["the backbone has the layers 0 to 11, and no 12"]),
        ('{"default": 400}', ["must be at most 384, the backbone's hidden size, not 400"]),
    ],
)
def test_factors_that_do_not_fit_the_backbone_are_told(
    tmp_path: Path, factors: str, told: list[str]
):
    found = faults(tmp_path, f"reduction_factor: {factors}")
    assert [one.partition(": ")[2] for one in found] == told


@pytest.mark.parametrize("method", ["snip", "grasp", "magnitude"])
def test_scores_of_weights_that_start_at_zero_are_refused(tmp_path: Path, method: str):
    what = f"init: near-identity, sparsity: {{method: {method}}}"
    with pytest.raises(RecipeError, match=f"'{method}' scores weights by what they start with"):
        recipe_of(tmp_path, {"width: 32": what})


@pytest.mark.parametrize("method", ["random", "erdos-renyi"])
def test_masks_that_are_drawn_go_with_every_init(tmp_path: Path, method: str):
    assert not faults(tmp_path, f"init: near-identity, sparsity: {{method: {method}}}")


@pytest.mark.parametrize("key", ["-1", "01", "Default", "x"])
def test_a_factor_of_no_layer_is_refused(tmp_path: Path, key: str):
    with pytest.raises(RecipeError, match="adapters.task.reduction_factor"):
        recipe_of(tmp_path, {"width: 32": f'reduction_factor: {{"{key}": 8}}'})


def test_a_mixture_of_forms_is_refused(tmp_path: Path):
    changes = {"thin: {kind: bottleneck,": "thin: {kind: bottleneck, form: parallel,"}
    with pytest.raises(RecipeError, match=r"intent \(houlsby\) and domain \(houlsby, parallel\)"):
        recipe_of(tmp_path, changes)
