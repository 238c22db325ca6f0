import pytest

from composer.recipe.document.findings import Finding, dotted, show
from composer.recipe.document.tree import Mark, faults_of, merged, node_of, place_of, values

BASE = node_of({"a": {"b": 1, "c": [1, 2]}, "d": {"e": None}}, Mark("base", 1, 1))


@pytest.mark.parametrize(
    ("over", "result"),
    [
        ({}, {"a": {"b": 1, "c": (1, 2)}, "d": {"e": None}}),
        ({"a": {"b": 2}}, {"a": {"b": 2, "c": (1, 2)}, "d": {"e": None}}),
        ({"a": {"c": [3]}}, {"a": {"b": 1, "c": (3,)}, "d": {"e": None}}),
        ({"a": {"f": {"g": 1}}}, {"a": {"b": 1, "c": (1, 2), "f": {"g": 1}}, "d": {"e": None}}),
        ({"a": None, "d": {"e": 5}}, {"d": {"e": 5}}),
        ({"a": 5, "d": {}}, {"a": 5, "d": {"e": None}}),
        ({"new": None}, {"a": {"b": 1, "c": (1, 2)}, "d": {"e": None}, "new": None}),
    ],
)
def test_a_document_is_merged_over_another(over: dict[str, object], result: object):
    assert values(merged(BASE, node_of(over, Mark("over")))) == result


def test_what_is_merged_keeps_the_place_it_came_from():
    both = merged(BASE, node_of({"a": {"b": 2}}, Mark("over", 7, 7)))
    assert str(place_of(both, ("a", "b"))) == "over:7:7"
    assert str(place_of(both, ("a", "b"), on_key=True)) == "base:1:1"
    assert str(place_of(both, ("a", "c"))) == "base:1:1"


def test_merging_changes_neither_document():
    before = values(BASE)
    merged(BASE, node_of({"a": {"b": 2}, "d": None}, Mark("over")))
    assert values(BASE) == before


def test_faults_are_in_the_order_of_the_document_each_once():
    root = node_of({"x": 1}, Mark("file", 9, 1))
    over = node_of({"y": 1}, Mark("file", 2, 5))
    findings = [Finding(("x",), "second"), Finding(("y",), "first"), Finding(("x",), "second")]
    found = faults_of(merged(root, over), findings)
    assert list(map(str, found)) == ["file:2:5: y: first", "file:9:1: x: second"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a", "b-c", 0, "d"), "a.b-c[0].d"),
        (("a", "two words"), "a.'two words'"),
        (("a", "\n"), "a.'\\n'"),
    ],
)
def test_a_path_is_written_with_dots(path: tuple[str | int, ...], text: str):
    assert dotted(path) == text


def test_a_long_value_is_shown_shortened():
    assert len(show("x" * 1000)) == 60
    assert show("x" * 1000).endswith("...")
