"""What is told of comparisons, from results that nothing was trained for."""

import csv
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from composer.recipe.expansion.comparing import Cell
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter, Full, MAdapter
from composer.report.comparison import Comparison, Measured, Method, Scores, without_norms
from composer.report.comparison_tables import (
    comparison_lines,
    comparison_values,
    csv_lines,
    markdown_lines,
)
from composer.report.pictures import draw_comparisons, pictures_of

SEEDS = (1, 2, 3)
THIN = BottleneckAdapter(kind="bottleneck", width=8)


def method(name: str, shape: AdapterShape = THIN, parameters: int = 1000) -> Method:
    return Method(name=name, shape=shape, parameters=parameters, norms=64, share=parameters / 1e6)


def measured(name: str, task: str, scores: Mapping[int, float], *, open: int = 0) -> Measured:
    cell = Cell(
        comparison="main",
        adapter=name,
        task=task,
        seeds=SEEDS,
        points={"": {}},
        languages=("en",),
        split="test",
    )
    return Measured(
        cell=cell,
        score="accuracy",
        scores=Scores(by_seed=scores),
        choice=None,
        head=99,
        open=open,
    )


def compared(*methods: Method, scores: Mapping[tuple[str, str], Any]) -> Comparison:
    tasks = tuple(dict.fromkeys(task for _, task in scores))
    return Comparison(
        name="main",
        split="test",
        methods=methods,
        tasks=tasks,
        measured={
            key: measured(*key, dict(zip(SEEDS, values, strict=False)), open=3 - len(values))
            for key, values in scores.items()
        },
    )


WHOLE = compared(
    method("thin"),
    method("wide", parameters=2000),
    scores={
        ("thin", "cola"): (0.1, 0.2, 0.3),
        ("thin", "sts"): (0.8, 0.7, 0.6),
        ("wide", "cola"): (0.5, 0.5, 0.5),
        ("wide", "sts"): (0.9, 0.8, 0.7),
    },
)


def test_the_average_is_taken_seed_by_seed():
    average = WHOLE.average("thin")
    assert average.by_seed == {seed: pytest.approx(0.45) for seed in SEEDS}
    assert average.deviation == pytest.approx(0.0)
    wide = WHOLE.average("wide")
    assert wide.mean == pytest.approx(0.65)
    assert wide.deviation == pytest.approx(statistics.stdev([0.7, 0.65, 0.6]))


def test_a_method_has_no_average_until_every_task_is_measured():
    part = compared(
        method("thin"), scores={("thin", "cola"): (0.1, 0.2, 0.3), ("thin", "sts"): (0.8, 0.7)}
    )
    assert part.average("thin").mean is None
    table = list(comparison_lines([part]))
    assert "0.200 ± 0.100  0.750 ± 0.071 (1 stage open)  -" in table[1]
    assert table[-1].endswith("1 of 12 stages are open")


def test_a_table_has_a_row_a_method_and_says_what_its_numbers_are():
    assert list(comparison_lines([WHOLE])) == [
        "main: test  cola accuracy  sts accuracy   mean              #P   share  norms",
        "thin        0.200 ± 0.100  0.700 ± 0.100  0.450 ± 0.000  1,000  0.10 %     64",
        "wide        0.500 ± 0.000  0.800 ± 0.100  0.650 ± 0.050  2,000  0.20 %     64",
        "",
        "mean and sample standard deviation of 3 seeds; #P: trainable parameters without norms "
        "and heads; share: of the backbone's",
    ]


def test_one_task_has_no_column_of_means():
    one = compared(method("thin"), scores={("thin", "cola"): (0.1, 0.2, 0.3)})
    assert "mean  " not in next(comparison_lines([one]))


def test_what_is_not_known_of_the_backbone_is_unknown():
    unknown = replace(method("thin"), parameters=None, norms=None, share=None)
    one = compared(unknown, scores={("thin", "cola"): ()})
    row = list(comparison_lines([one]))[1]
    assert row.split()[:1] + row.split()[-3:] == ["thin", "unknown", "unknown", "unknown"]


def test_in_markdown_numbers_stand_on_the_right():
    lines = list(markdown_lines([WHOLE]))
    assert lines[1] == "| --- | --- | --- | --- | ---: | ---: | ---: |"
    assert lines[2].startswith("| thin | 0.200 ± 0.100 | 0.700 ± 0.100 | 0.450 ± 0.000 | 1,000 |")


def test_csv_has_a_line_for_every_seed():
    rows = list(csv.DictReader(csv_lines([WHOLE])))
    assert len(rows) == 12
    assert [float(row["value"]) for row in rows[:3]] == [0.1, 0.2, 0.3]
    assert rows[0] == {
        "comparison": "main", "split": "test", "method": "thin", "task": "cola",
        "score": "accuracy", "seed": "1", "value": "0.1", "chosen": "", "parameters": "1000",
        "share": "0.001", "norms": "64", "head": "99",
    }  # fmt: skip


def test_json_has_every_seed_and_its_own_count_of_open_stages():
    (found,) = comparison_values([WHOLE])
    methods: Any = found["methods"]
    assert methods["wide"]["tasks"]["sts"]["seeds"] == {"1": 0.9, "2": 0.8, "3": 0.7}
    assert methods["thin"]["mean"]["mean"] == pytest.approx(0.45)


def test_norms_are_left_out_of_kinds_that_have_them():
    assert without_norms(THIN.model_copy(update={"train_norm": True})) == THIN
    full = Full(kind="full")
    assert without_norms(full) is full


def deep(width: int, layers: int, **more: Any) -> MAdapter:
    return MAdapter(kind="madapter", width=width, middle_layers=layers, **more)


def pictures(*methods: Method) -> dict[str, dict[str, list[float]]]:
    scores = {(one.name, "cola"): (0.1, 0.2, 0.3) for one in methods}
    return {
        picture.name: {one.label: list(one.points) for one in picture.series}
        for picture in pictures_of(compared(*methods, scores=scores))
    }


def test_a_line_joins_methods_that_differ_in_one_thing_only():
    found = pictures(
        method("a", THIN, 1),
        method("b", deep(8, 2), 3),
        method("c", deep(8, 1), 2),
        method("d", deep(16, 1), 4),
        method("e", deep(32, 3, dropout=0.5), 5),
        method("f", Full(kind="full"), 6),
    )
    assert found["middle_layers"] == {"width 8": [0.0, 1.0, 2.0]}
    assert found["width"] == {"madapter": [8.0, 16.0]}
    assert found["parameters"] == {
        "madapter": [2.0, 4.0], "a": [1.0], "b": [3.0], "e": [5.0], "f": [6.0]
    }  # fmt: skip


def test_what_has_nothing_to_compare_is_not_drawn():
    assert pictures(method("a")) == {}
    assert list(pictures(method("a", THIN, 1), method("b", Full(kind="full"), 2))) == ["parameters"]
    unmeasured = compared(
        method("a", THIN, 1), method("b", THIN, 2), scores={("a", "x"): (), ("b", "x"): ()}
    )
    assert pictures_of(unmeasured) == []


def test_a_picture_has_the_same_bytes_each_time_and_no_ground(tmp_path: Path):
    drawn = [
        path.read_bytes()
        for folder in ("one", "two")
        for path in draw_comparisons([WHOLE], tmp_path / folder)
    ]
    assert len(drawn) == 2
    assert drawn[0] == drawn[1]
    text = drawn[0].decode()
    assert "#ffffff" not in text
    assert "#000000" not in text
    assert "date" not in text
