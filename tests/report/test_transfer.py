import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from composer.data.examples import Span
from composer.data.predictions import Value, plain_value
from composer.errors import RecipeError
from composer.recipe.expansion.stages import DataUse, Evaluate
from composer.recipe.grammar.composition import parse_composition
from composer.recipe.grammar.data import FileData
from composer.recipe.grammar.tasks import Score
from composer.recipe.grammar.training import Training
from composer.report.evaluated import Evaluated
from composer.report.heat_map import draw_heat_map
from composer.report.transfer import MAJORITY, MEAN, UNSEEN, Table, make_tables
from composer.report.transfer_tables import (
    transfer_csv,
    transfer_lines,
    transfer_markdown,
    transfer_values,
)
from composer.train.results import ScoresFile

GOLD = ["on"] * 30 + ["off"] * 20
BETTER = ["on"] * 30 + ["off"] * 14 + ["on"] * 6
WORSE = ["on"] * 22 + ["off"] * 22 + ["on"] * 6


def stored(
    folder: Path,
    composition: str,
    language: str,
    *said: Sequence[Value],
    gold: Sequence[Value] = GOLD,
    score: Score = "accuracy",
    unseen: bool = True,
    path: str = "a.csv",
) -> Evaluated:
    """Write the results of one evaluation, one a training."""
    results = {}
    for number, predicted in enumerate(said):
        place = folder / f"{composition}-{language}-{number}"
        place.mkdir()
        rows = [
            json.dumps({"gold": plain_value(right), "predicted": plain_value(one)})
            for right, one in zip(gold, predicted, strict=True)
        ]
        (place / "predictions.jsonl").write_text("\n".join(rows) + "\n")
        ScoresFile(
            scores={score: 0.0}, n=len(gold), language=language, split="test", seed=number,
            shares=(), data_digest=language,
        ).write(place / "scores.json")  # fmt: skip
        results[place.name] = place
    stage = Evaluate(
        name=f"evaluation/far/{composition}/{language}",
        composition=parse_composition(composition.partition(".")[0]),
        parts={},
        owner=f"task/{composition}",
        data=DataUse(source=FileData(source="files", path=path), languages=(language,)),
        split="test",
        training=Training(),
    )
    return Evaluated(
        evaluation="far", composition=composition, language=language, stage=stage, score=score,
        unseen=unseen, results=results,
    )  # fmt: skip


@pytest.fixture
def two(tmp_path: Path) -> list[Evaluated]:
    """Two compositions in two languages, the first a baseline of the other one."""
    return [
        stored(tmp_path, "mad-x", "en", BETTER, unseen=False),
        stored(tmp_path, "mad-x", "fi", BETTER),
        stored(tmp_path, "mad-x.without-language", "en", WORSE, unseen=False),
        stored(tmp_path, "mad-x.without-language", "fi", WORSE),
    ]


def table_of(evaluated: list[Evaluated], against: str | None = None) -> Table:
    (table,) = make_tables(evaluated, against=against, resamples=500)
    return table


def test_a_cell_has_the_score_its_interval_and_its_examples(two: list[Evaluated]):
    cell = table_of(two).cells["mad-x", "fi"]
    low, high = cell.measured.interval
    assert (cell.measured.value, cell.n, cell.unseen) == (0.88, 50, True)
    assert 0.75 < low < 0.84
    assert 0.92 < high <= 1.0


def test_the_majority_is_the_commonest_label_always(two: list[Evaluated]):
    assert table_of(two).cells[MAJORITY, "fi"].measured.value == 0.6


def test_spans_and_numbers_that_are_always_the_same_score_nothing(tmp_path: Path):
    spans = [(Span(start=0, end=2, label="a"),)] * 4
    numbers = [1.0, 2.0, 3.0, 4.0]
    found = [
        stored(tmp_path, "slots", "fi", spans, gold=spans, score="span-f1"),
        stored(tmp_path, "warmth", "fi", numbers, gold=numbers, score="pearson", path="b.csv"),
    ]
    tables = make_tables(found, resamples=100)
    assert [table.score for table in tables] == ["span-f1", "pearson"]
    for table in tables:
        assert table.cells[MAJORITY, "fi"].measured.value == 0.0
    assert tables[0].cells["slots", "fi"].measured.value == 1.0
    assert tables[1].cells["warmth", "fi"].measured.value == pytest.approx(1.0)


def test_means_are_over_all_languages_and_over_those_without_labels(tmp_path: Path):
    found = [
        stored(tmp_path, "a", "en", BETTER, unseen=False),
        stored(tmp_path, "a", "de", WORSE),
        stored(tmp_path, "a", "fi", WORSE),
        stored(tmp_path, "b", "en", BETTER, unseen=False),
        stored(tmp_path, "b", "de", BETTER, unseen=False),
        stored(tmp_path, "b", "fi", BETTER),
    ]
    table = table_of(found)
    assert table.unseen == ("fi",)  # one composition learnt labels of de
    assert table.means["a", MEAN].measured.value == pytest.approx((0.88 + 0.72 + 0.72) / 3)
    assert ("a", UNSEEN) not in table.means  # the mean of one language is that language


def test_what_is_not_evaluated_in_all_languages_has_no_mean(two: list[Evaluated]):
    table = table_of(two[:-1])
    assert ("mad-x", MEAN) in table.means
    assert ("mad-x.without-language", MEAN) not in table.means
    assert "-" in "\n".join(transfer_lines([table]))


def test_a_composition_is_compared_with_its_own_baseline(two: list[Evaluated]):
    table = table_of(two)
    assert table.against == {"mad-x": "mad-x.without-language"}
    found = table.differences["mad-x", "fi"]
    assert found.value == pytest.approx(0.16)
    assert found.test == "mcnemar"
    assert found.p == pytest.approx(2 * 2 * 0.5**8)  # 8 of 8, twice for Holm over two languages
    assert table.differences["mad-x", MEAN].test == "bootstrap"


def test_with_several_trainings_the_test_is_a_bootstrap(tmp_path: Path):
    found = [
        stored(tmp_path, "a", "fi", BETTER, BETTER, BETTER),
        stored(tmp_path, "b", "fi", WORSE, WORSE, BETTER),
    ]
    table = table_of(found, against="b")
    assert table.trainings == 3
    assert table.differences["a", "fi"].test == "bootstrap"
    assert table.cells["b", "fi"].measured.value == pytest.approx((2 * 0.72 + 0.88) / 3)
    assert "3 seeds" in "\n".join(transfer_lines([table]))


def test_scores_of_other_examples_are_not_compared(two: list[Evaluated]):
    place = next(iter(two[-1].results.values())) / "scores.json"
    values = {**json.loads(place.read_text()), "data_digest": "other"}
    ScoresFile.model_validate(values).write(place)
    with pytest.raises(RecipeError, match="scored on different examples"):
        _ = table_of(two).differences


def test_unknown_and_missing_evaluations_are_told(two: list[Evaluated], tmp_path: Path):
    with pytest.raises(RecipeError, match="no composition 'mad-y' is evaluated; did you"):
        make_tables(two, against="mad-y", resamples=100)
    with pytest.raises(RecipeError, match="none is made yet; carry the recipe out"):
        make_tables([stored(tmp_path, "x", "en")])


def test_the_table_is_laid_out_for_a_terminal(two: list[Evaluated]):
    lines = list(transfer_lines([table_of(two)], resamples=500))
    assert re.split(" {2,}", lines[0]) == [
        "far: accuracy", "n", "mad-x", "mad-x.without-language", "majority",
    ]  # fmt: skip
    assert re.match(r"fi\* +50 +\.880 \[\.\d{3}, [.1]\d*\] +\.720 \[.*\] +\.600$", lines[2])
    assert lines[3].startswith("mean ")
    assert lines[4] == "* labels of this language were learnt by none of these"
    assert lines[5] == "in brackets 95 % of 500 resamples of the test examples"
    assert lines[7].startswith("far: difference  mad-x - mad-x.without-language")
    assert re.match(r"fi\* +\+0\.160 \[\+0\.\d{3}, \+0\.\d{3}\] p \.016$", lines[9])
    assert lines[-2].startswith("p of languages: McNemar's exact test, corrected by Holm over 2")


def test_markdown_is_a_table_whose_stars_are_stars(two: list[Evaluated]):
    lines = list(transfer_markdown([table_of(two)]))
    assert lines[0].startswith("| far: accuracy | n | mad-x |")
    assert lines[1] == "| --- | --- | --- | --- | --- |"
    assert lines[3].startswith("| fi\\* | 50 | .880 [")


def test_csv_and_json_hold_every_cell(two: list[Evaluated]):
    table = table_of(two)
    head, *rows = transfer_csv([table]).splitlines()
    (values,) = transfer_values([table])
    cells = values["cells"]
    assert isinstance(cells, list)
    assert len(rows) == len(cells) == 3 * 2 + 3  # means of three, none of the one unseen language
    assert head.startswith("evaluation,split,score,composition,language,unseen,trainings,n,value")
    row = next(one for one in rows if one.startswith("far,test,accuracy,mad-x,fi,"))
    assert row.startswith("far,test,accuracy,mad-x,fi,True,1,50,0.88,")
    assert row.endswith(",mad-x.without-language,0.16," + ",".join(row.split(",")[-4:]))


def test_the_same_results_give_the_same_picture(two: list[Evaluated], tmp_path: Path):
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "other.svg"):
        draw_heat_map(make_tables(two, resamples=100), tmp_path / name)
    one, other = ((tmp_path / name).read_bytes() for name in ("one.svg", "other.svg"))
    assert one == other
    assert one.startswith(b"<?xml")
    assert b"<dc:date>" not in one
