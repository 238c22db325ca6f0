"""What the page shows is what the store holds."""

from dataclasses import replace

import pytest

from composer.report.page.costs import cost_groups, whole_of
from composer.report.page.curves import curves
from composer.report.page.facts import Facts
from composer.report.page.fusions import fusions
from composer.report.page.matrix import Matrix, loss_matrix, score_matrices
from composer.report.page.page import render
from composer.report.page.palette import LEVELS, RAMPS, contrast, ramp
from composer.report.page.scatters import scatters
from composer.train.results import read_scores, read_training
from tests.report.runs import LANGUAGES, LAYERS


def cells_of(matrix: Matrix) -> dict[tuple[str, str], str]:
    return {(head, column): cell.said for head, cells in matrix.rows
            for column, cell in zip(matrix.columns, cells, strict=True)}  # fmt: skip


def test_scores_are_those_of_the_store_with_their_intervals(facts: Facts):
    (matrix,) = score_matrices(facts)
    cells = cells_of(matrix)
    for one in facts.evaluated:
        (folder,) = one.results.values()
        value = read_scores(folder).scores["accuracy"]
        head = one.language if not one.unseen else f"{one.language}*"
        assert float(cells[one.composition, head]) == pytest.approx(value, abs=6e-4)
    under = [cell.under for _, row in matrix.rows for cell in row]
    assert all("\N{EN DASH}" in one for one in under)


def test_many_languages_stand_under_each_other_in_blocks_with_the_means_first(sixty: Facts):
    (matrix,) = score_matrices(sixty)
    assert matrix.corner == "language"
    assert [head for head, _ in matrix.rows[:3]] == ["mean", "mean of *", "en"]
    assert len(matrix.rows) == len(LANGUAGES) + 2
    heights = [len(block) for block in matrix.blocks]
    assert sum(heights) == len(matrix.rows)
    assert len(heights) == 3
    assert max(heights) - min(heights) <= 2


def test_the_highest_of_a_language_stands_out(facts: Facts):
    (matrix,) = score_matrices(facts)
    for place, _ in enumerate(matrix.columns):
        column = [row[place] for head, row in matrix.rows if head != "majority"]
        (strong,) = [cell for cell in column if cell.strong]
        assert float(strong.said) == max(float(cell.said) for cell in column)


def test_lower_losses_have_stronger_colours(sixty: Facts):
    matrix = loss_matrix(sixty.losses)
    assert matrix is not None
    cells = [cell for _, row in matrix.rows for cell in row]
    order = sorted(cells, key=lambda one: float(one.said))
    levels = [cell.level or 0 for cell in order]
    assert levels == sorted(levels, reverse=True)
    assert (levels[0], levels[-1]) == (LEVELS, 0)


def test_fusion_weights_are_those_of_the_store(facts: Facts):
    (fusion,) = fusions(facts)
    assert fusion.task == "intent"
    assert fusion.members == ("intent", "domain", "none")
    stored = {tag: facts.scores[f"evaluation/all/few-shot/{tag}"].shares[0] for tag in ("en", "de")}
    by_language = cells_of(fusion.languages)
    assert float(by_language["en", "domain"]) == pytest.approx(stored["en"].mean[1], abs=6e-3)
    mean = sum(one.sites["1.output"][2] for one in stored.values()) / 2
    layers = dict(fusion.layers.rows)
    assert fusion.layers.spans == (("attention", 3), ("output", 3))
    assert float(layers["1"][5].said) == pytest.approx(mean, abs=6e-3)
    assert [one.title for one in fusion.by_language] == ["en", "de"]


def test_layers_are_in_the_order_of_the_backbone(sixty: Facts):
    (fusion,) = fusions(sixty)
    assert [head for head, _ in fusion.layers.rows] == [str(n) for n in range(LAYERS)]
    assert len(fusion.by_language) == len(LANGUAGES)
    stored = [one.shares[0].sites["4.output"][1]
              for name, one in sixty.scores.items() if "/few-shot/" in name]  # fmt: skip
    assert len(stored) == len(LANGUAGES)
    cell = dict(fusion.layers.rows)["4"][3 + 1]
    assert float(cell.said) == pytest.approx(sum(stored) / len(stored), abs=6e-3)


def test_single_languages_are_left_out_where_there_is_no_room(
    sixty: Facts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("composer.report.page.fusions.DETAIL_CELLS", 100)
    (fusion,) = fusions(sixty)
    assert fusion.left_out
    assert fusion.by_language == ()
    assert len(fusion.languages.rows) == len(LANGUAGES)


def test_shares_that_are_not_of_the_fusion_are_left_out(facts: Facts):
    scores = {
        name: one.model_copy(update={"shares": tuple(
            share.model_copy(update={"mean": (1.0,)}) for share in one.shares)})
        for name, one in facts.scores.items()
    }  # fmt: skip
    assert list(fusions(replace(facts, scores=scores))) == []


def test_costs_are_those_of_the_store_and_their_sums(facts: Facts):
    groups = list(cost_groups(facts))
    assert [one.title for one in groups] == [
        "Task adapters", "Compositions", "Evaluations", "Bundles",
    ]  # fmt: skip
    stored = [read_training(facts.folders[f"task/{name}"]) for name in ("intent", "domain")]
    assert [row.parameters for row in groups[0].rows] == [
        one.trainable_parameters for one in stored
    ]
    whole = whole_of([one.whole for one in groups], name="", state="")
    sizes = [one.cost.bytes for one in facts.plan.stages]
    assert whole.bytes == sum(one for one in sizes if one is not None)
    assert whole.steps == sum(one.steps for one in facts.trainings.values())


def test_what_is_not_done_costs_nothing_yet(facts: Facts):
    folders = {name: at for name, at in facts.folders.items() if name != "task/intent"}
    group = next(cost_groups(replace(facts, folders=folders)))
    assert group.rows[0].parameters is None
    assert group.whole.state == "1 of 2 done"
    assert group.whole.parameters == group.rows[1].parameters


def test_single_stages_are_left_out_where_there_is_no_room(
    sixty: Facts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("composer.report.page.costs.ROWS", 20)
    groups = {one.title: one for one in cost_groups(sixty)}
    assert groups["Language adapters"].rows == ()
    assert groups["Language adapters"].stages == 60
    assert groups["Language adapters"].whole.parameters
    assert len(groups["Task adapters"].rows) == 3
    assert "60 stages would make this page too large" in render(sixty)


def test_every_training_has_its_curves(sixty: Facts):
    found = {one.title: one for one in curves(sixty)}
    assert list(found) == ["Shared masked-LM head", "Language adapters", "Task adapters",
                           "Compositions", "Comparison main"]  # fmt: skip
    assert [len(one.lines) for one in found["Language adapters"].charts] == [60, 60]
    assert [one.title for one in found["Language adapters"].charts] == [
        "Training loss", "Held-out loss",
    ]  # fmt: skip


def test_scores_stand_against_the_parameters_that_act(facts: Facts):
    (scatter,) = scatters(facts)
    rows = {name: (int(number.replace(",", "")), score) for name, number, score in scatter.rows}
    costs = {name: one.cost for name, one in facts.plan.by_name.items()}
    few = costs["composition/few-shot"].parameters
    parts = [costs[name].trained for name in ("task/intent", "task/domain")]
    assert few is not None
    assert rows["few-shot"][0] == few + sum(
        (one.adapter or 0) + one.norms for one in parts if one is not None
    )
    assert rows["intent"][0] == costs["task/intent"].parameters


def test_comparisons_are_drawn_too(sixty: Facts):
    titles = [one.chart.title for one in scatters(sixty)]
    assert titles == ["far: accuracy", "main: alone, accuracy"]


@pytest.mark.parametrize("theme", RAMPS)
def test_numbers_can_be_read_on_every_colour(theme: str):
    found = list(ramp(theme))
    assert len(found) == LEVELS + 1
    assert min(contrast(ink, colour) for colour, ink in found) >= 4.5
