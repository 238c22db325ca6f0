"""Charts and the graph: places in a drawing."""

import itertools
import re
from pathlib import Path

import pytest

from composer.report.page import page as page_module
from composer.report.page.axes import Axis, axis_over, spread
from composer.report.page.charts import Dot, Point, line_chart, scatter_chart
from composer.report.page.facts import Facts
from composer.report.page.layered import lay_out
from composer.report.page.palette import contrast
from composer.report.page.stage_graph import NODES, draw_stages

STYLE = (Path(page_module.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")


@pytest.mark.parametrize("logarithmic", [False, True])
def test_ticks_are_round_and_within_the_axis(logarithmic: bool):
    axis = axis_over([1300.0, 13_000_000.0], 40.0, 320.0, logarithmic=logarithmic)
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 8
    assert all(40 <= place <= 320 for place, _ in ticks)
    assert len({said for _, said in ticks}) == len(ticks)


def test_a_value_alone_still_has_an_axis():
    axis = axis_over([0.5], 100.0, 0.0)
    assert axis.at(0.5) == pytest.approx(50.0)
    assert axis.ticks()


def test_ends_of_an_axis_are_where_they_are_said_to_be():
    axis = Axis(low=1.0, high=100.0, start=0.0, end=200.0, logarithmic=True)
    assert (axis.at(1.0), axis.at(10.0), axis.at(100.0)) == (0.0, 100.0, 200.0)


@pytest.mark.parametrize(
    "places", [[5.0] * 8, [100.0] * 8, [10.0, 10.0, 12.0, 90.0, 91.0], [50.0], []]
)
def test_labels_are_moved_apart_and_stay_within(places: list[float]):
    found = spread(places, gap=13, low=0, high=100)
    assert all(0 <= one <= 100 for one in found)
    order = sorted(found)
    gaps = [after - before for before, after in itertools.pairwise(order)]
    assert all(gap >= min(13, 100 / max(1, len(places) - 1)) - 0.2 for gap in gaps)


def test_labels_keep_their_order():
    found = spread([30.0, 10.0, 31.0, 29.0], gap=13, low=0, high=100)
    assert sorted(range(4), key=lambda at: found[at]) == [1, 3, 0, 2]


def test_of_many_lines_the_lowest_middle_and_highest_are_named():
    series = {f"l{n}": [(1.0, 5.0), (2.0, float(n))] for n in range(21)}
    chart = line_chart("loss", series, x_label="epoch")
    assert chart is not None
    assert [one.name for one in chart.lines if one.label] == ["l0", "l10", "l20"]
    assert [one.name for one in chart.lines[-3:]] == ["l0", "l10", "l20"]
    assert chart.note.startswith("21 trainings")


def test_of_very_many_lines_some_are_drawn():
    series = {f"l{n}": [(1.0, 5.0), (2.0, float(n))] for n in range(5000)}
    chart = line_chart("loss", series, x_label="epoch")
    assert chart is not None
    assert len(chart.lines) <= 303
    assert {"l0", "l2500", "l4999"} <= {one.name for one in chart.lines}


def test_long_histories_are_thinned_and_keep_their_end():
    chart = line_chart("loss", {"a": [(float(n), 1.0 / (n + 1)) for n in range(50_000)]},
                       x_label="epoch")  # fmt: skip
    assert chart is not None
    (line,) = chart.lines
    assert line.path.count("L") <= 310
    assert line.path.endswith(f"{line.end[0]:g} {line.end[1]:g}")
    assert line.end[0] == pytest.approx(chart.right, abs=15)


def test_values_that_are_no_numbers_are_left_out():
    series = {"a": [(1.0, float("nan")), (2.0, 3.0)], "b": [(1.0, float("inf"))]}
    chart = line_chart("loss", series, x_label="epoch")
    assert chart is not None
    assert [one.name for one in chart.lines] == ["a"]
    assert line_chart("loss", {"b": series["b"]}, x_label="epoch") is None


def boxes(points: tuple[Point, ...]) -> list[tuple[float, float, float, float]]:
    found = []
    for one in points:
        if one.label:
            wide = 6.6 * len(one.label)
            left = one.label_x - {"start": 0, "middle": wide / 2, "end": wide}[one.anchor]
            found.append((left, one.label_y - 10, left + wide, one.label_y + 3))
    return found


def test_names_in_a_scatter_chart_cover_no_other_name():
    near = [Dot(name=f"method-{n}", x=1000.0 + 40 * n, y=0.5 + 0.012 * n) for n in range(6)]
    dots = [*near, Dot(name="far", x=2000.0, y=0.9), Dot(name="low", x=1500.0, y=0.1)]
    chart = scatter_chart("score", dots, x_label="parameters")
    assert chart is not None
    found = boxes(chart.points)
    assert len(found) >= len(dots) - 1  # where there is no room, the table has the name
    for one, other in itertools.combinations(found, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert all(one[0] >= 40 and one[2] <= 341 for one in found)


def test_a_scatter_of_one_point_is_not_drawn():
    assert scatter_chart("score", [Dot(name="a", x=1.0, y=1.0)], x_label="x") is None


def test_what_needs_something_stands_to_its_right_and_alone_in_its_slot():
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"], "e": []}
    laid = lay_out(needs)
    assert [laid.column[name] for name in "abcde"] == [0, 1, 2, 3, 0]
    assert len(laid.arrows["a", "d"]) == 4  # its ends, and a bend in each column between
    places = [(laid.column[name], laid.slot[name]) for name in needs]
    bends = [place for way in laid.arrows.values() for place in way[1:-1]]
    assert len({*places, *bends}) == len(places) + len(bends)
    assert all(0 <= slot <= laid.rows - 1 for _, slot in [*places, *bends])


def test_arrows_that_can_be_parallel_do_not_cross():
    needs = {"a": [], "b": [], "x": ["b"], "y": ["a"]}
    laid = lay_out(needs)
    assert (laid.slot["a"] < laid.slot["b"]) == (laid.slot["y"] < laid.slot["x"])


def test_hundreds_of_stages_are_a_graph_that_can_be_read(sixty: Facts):
    drawing = draw_stages(sixty)
    assert len(sixty.plan.stages) > 200
    assert 8 <= len(drawing.nodes) <= NODES
    assert drawing.width <= 1250
    said = {one.name: one.lines[1] for one in drawing.nodes}
    assert said["language"] == "60 languages"
    assert said["evaluation/far/intent"] == "evaluation, 60 languages"
    needs = {one.name: one.needs for one in drawing.nodes}
    assert needs["evaluation/far/few-shot"] == ("composition/few-shot",)  # and language, by it
    corners = {(one.x, one.y) for one in drawing.nodes}
    assert len(corners) == len(drawing.nodes)


def test_arrows_of_the_graph_are_the_needs_that_follow_from_no_others(facts: Facts):
    needs = {one.name: set(one.needs) for one in draw_stages(facts).nodes}
    assert needs["composition/few-shot"] == {"task/intent", "task/domain"}
    assert needs["evaluation/all/few-shot"] == {"composition/few-shot"}
    assert needs["bundle/home"] == {"evaluation/all/few-shot", "evaluation/all/intent"}


def colours(theme: str) -> dict[str, str]:
    light, dark = re.findall(r":root\{(.*?)\}", STYLE)
    found = re.findall(r"--([\w-]+):(#[0-9a-f]+)", light if theme == "light" else dark)
    return {name: f"#{value[1] * 2}{value[2] * 2}{value[3] * 2}" if len(value) == 4 else value
            for name, value in found}  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_lines_are_told_from_the_ground(theme: str):
    found = colours(theme)
    grounds = [found[name] for name in ("ground", "card", "notice", "bad")]
    assert min(contrast(found["ink"], ground) for ground in grounds) >= 7
    for name in ("soft", "link"):
        assert min(contrast(found[name], ground) for ground in grounds[:2]) >= 4.5, name
    for name in (*(f"c{n}" for n in range(1, 9)), "done", "bad-rule"):
        assert contrast(found[name], found["ground"]) >= 3, name
