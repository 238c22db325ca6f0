import json
from dataclasses import replace
from typing import Any

import pytest

from composer.bundle.files import read_json
from composer.engine.running.events import RunResult
from composer.report.tables import read_report, report_lines, report_values
from composer.train.results import read_scores, read_training
from tests.cli.projects import STAGES
from tests.report.conftest import Run


def tables(run: Run) -> dict[str, list[str]]:
    """Give the lines of each table of a run, by the first word of its head."""
    text = "\n".join(report_lines(run.plan, run.result))
    return {part.split()[0]: part.splitlines() for part in text.split("\n\n")}


def values_of(run: Run, result: RunResult | None = None) -> Any:
    return report_values(run.plan, result or run.result)


def only(run: Run, *names: str) -> RunResult:
    return replace(run.result, results={name: run.result.results[name] for name in names})


def test_every_number_of_the_report_is_that_of_its_stage(run: Run):
    report = read_report(run.plan, run.result)
    assert len(report.scored) == 6
    for one in report.scored:
        name = f"evaluation/{one.evaluation}/{one.composition}/{one.language}"
        found = read_scores(run.result.results[name].folder)
        assert one.value == found.scores["accuracy"]
        assert one.found == found
        assert one.unseen == (one.language == "de")
    for name, (parameters, size) in report.trained.items():
        stored = run.result.results[name]
        assert parameters == read_training(stored.folder).trainable_parameters
        assert size == stored.manifest.bytes


def test_scores_stand_in_a_row_a_composition_and_a_column_a_language(run: Run):
    head, *rows, note = tables(run)["all:"]
    assert head.split() == ["all:", "accuracy", "en", "de*", "mean"]
    assert [row.split()[0] for row in rows] == ["intent", "few-shot", "mean", "examples"]
    assert rows[-1].split() == ["examples", "10", "3"]
    assert note == "* no labels of this language were learnt"
    for row in rows[:-1]:
        _, en, de, mean = row.split()
        assert float(mean) == pytest.approx((float(en) + float(de)) / 2, abs=1e-3)


def test_every_line_of_a_table_ends_at_the_same_place(run: Run):
    found = tables(run)
    head, *rows, _, _ = found["all:"]
    assert {len(row) for row in rows} == {len(head)}
    for name in ("trained", "bundle/home"):
        assert len({len(line) for line in found[name]}) == 1


def test_the_shares_of_a_fusion_add_to_one(run: Run):
    scores = values_of(run)["scores"]
    fused = [one for one in scores if one["composition"] == "few-shot"]
    assert len(fused) == 2
    for one in fused:
        (shares,) = one["shares"]
        assert list(shares) == ["intent", "domain", "none"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    lines = tables(run)["mean"]
    assert lines[0].split() == ["mean", "fusion", "weights", "language", "members"]
    for line in lines[1:]:
        printed = [float(cell) for cell in line.split()[3::2]]
        assert sum(printed) == pytest.approx(1, abs=0.011)


def test_what_mixes_nothing_has_no_shares(run: Run):
    result = only(run, "evaluation/all/intent/en")
    assert "mean fusion weights" not in "\n".join(report_lines(run.plan, result))
    (score,) = values_of(run, result)["scores"]
    assert score["shares"] == []


def test_the_bundle_weighs_what_its_files_weigh(run: Run):
    folder = run.result.results["bundle/home"].folder / "bundle"
    sizes = values_of(run)["bundles"]["bundle/home"]
    whole = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert sum(one["bytes"] for one in sizes.values()) == whole
    parts = read_json(folder / "manifest.json")["parts"]
    assert set(sizes) == {*parts, "backbone.json", "manifest.json", "tokenizer.json"}
    assert tables(run)["bundle/home"][-1].endswith(f"{whole / 1000:.1f} kB")


def test_the_report_as_json_is_complete(run: Run):
    values = json.loads(json.dumps(values_of(run), allow_nan=False))
    assert list(values["stages"]) == STAGES
    assert values["made"] == STAGES
    assert values["recipe"] == "home"
    for one in values["scores"]:
        assert set(one["scores"]) == {"accuracy", "macro-f1", "matthews"}
        assert one["n"] == {"en": 10, "de": 3}[one["language"]]
    assert set(values["trained"]) == set(STAGES[:3])


@pytest.mark.parametrize(
    ("made", "line"),
    [
        ((), "10 stages done before; nothing was made"),
        (tuple(STAGES), "10 stages: 10 made now, 0 done before"),
        (tuple(STAGES[:1]), "10 stages: 1 made now, 9 done before"),
    ],
)
def test_the_last_line_says_what_was_made(run: Run, made: tuple[str, ...], line: str):
    result = replace(run.result, made=made)
    assert list(report_lines(run.plan, result))[-1] == line


def test_a_run_of_one_training_has_one_table(run: Run):
    lines = list(report_lines(run.plan, replace(only(run, "task/intent"), made=())))
    assert [line.split()[0] for line in lines if line] == ["trained", "task/intent", "1"]
    assert lines[-1] == "1 stage done before; nothing was made"
