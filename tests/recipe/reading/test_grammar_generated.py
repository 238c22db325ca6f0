"""Whole recipes, drawn from the grammar: printed, read back, shuffled, and broken at random."""

import copy
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from composer.errors import RecipeError
from composer.recipe.expansion.expand import expand
from composer.recipe.grammar.schema import Recipe
from composer.recipe.reading.reader import read_recipe
from tests.recipe.drawn import Values, recipes
from tests.recipe.expansion.test_keys import keys

# Each example writes its own file, so the folder may be shared.
DRAWN = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def as_json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1)


def as_yaml(values: object) -> str:
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(values, text)
    return text.getvalue()


def read(folder: Path, text: str, *changes: str, profile: str | None = None) -> Recipe:
    path = folder / "home.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return read_recipe(path, profile=profile, changes=changes).recipe


def check_round_trip(folder: Path, values: Values) -> None:
    recipe = read(folder, as_json(values))
    plain = recipe.model_dump(mode="json")
    assert read(folder, as_json(plain)) == recipe
    assert read(folder, as_yaml(plain)) == recipe
    assert read(folder, as_yaml(values)) == recipe


@settings(DRAWN, max_examples=15)
@given(values=recipes())
def test_every_recipe_prints_and_reads_back_the_same(tmp_path: Path, values: Values):
    check_round_trip(tmp_path, values)


@settings(DRAWN, max_examples=15)
@given(values=recipes(), random=st.randoms(use_true_random=False))
def test_the_order_of_entries_decides_nothing(tmp_path: Path, values: Values, random: object):
    def shuffled(value: object) -> object:
        if not isinstance(value, dict):
            return value
        entries = [(key, shuffled(one)) for key, one in value.items()]
        random.shuffle(entries)  # type: ignore[attr-defined]
        return dict(entries)

    first, second = read(tmp_path, as_json(values)), read(tmp_path, as_json(shuffled(values)))
    assert {one.name for one in expand(first)} == {one.name for one in expand(second)}
    assert keys(first) == keys(second)


@settings(DRAWN, max_examples=15)
@given(values=recipes(), epochs=st.integers(1, 99), rate=st.floats(0, 1, exclude_min=True))
def test_a_profile_and_changes_say_the_same_as_the_recipe_would(
    tmp_path: Path, values: Values, epochs: int, rate: float
):
    changed = {"epochs": epochs, "learning_rate": rate}
    profiles = {**values["profiles"], "mine": {"training": changed}}  # type: ignore[dict-item]
    text = as_json({**values, "profiles": profiles})
    training = {**values["training"], **changed}  # type: ignore[dict-item]
    written = read(tmp_path, as_json({**values, "profiles": profiles, "training": training}))
    assert read(tmp_path, text, profile="mine") == written
    changes = (f"training.epochs={epochs}", f"training.learning_rate={rate!r}")
    assert read(tmp_path, text, *changes) == written


_others = st.sampled_from(
    [None, True, 0, -1, 10**30, 0.5, "", "x", "none", "$language", "../x", [], ["x"], [[]], {}]
    + [{"x": 1}, "\u202e", "\x1b[31m", "\ud800", "\u0085", "a\nb", "fuse(", "de", 1e300]
)


@st.composite
def broken(draw: st.DrawFn) -> Values:
    """Draw a recipe, then rename, exchange or take out one to three of its entries."""
    values = copy.deepcopy(draw(recipes()))  # parts of it are shared between examples
    for _ in range(draw(st.integers(1, 3))):
        at: dict[str, object] = values
        while True:
            key = draw(st.sampled_from(sorted(at))) if at else ""
            inner = at.get(key)
            if not isinstance(inner, dict) or not inner or draw(st.booleans()):
                break
            at = inner
        what = draw(st.sampled_from(["rename", "exchange", "take out"]))
        value = at.pop(key, None)
        if what == "rename":
            at[draw(st.sampled_from(["x", key + "s", "", "1", "de", "fuse", "\ud800"]))] = value
        elif what == "exchange":
            at[key] = copy.deepcopy(draw(_others))
    return values


def check_places(folder: Path, text: str) -> None:
    """Read what may be broken: no other error, and each fault has a line and column of the text."""
    lines = re.split(r"\r\n|\r|\n", text)
    try:
        read(folder, text)
    except RecipeError as error:
        assert error.faults  # noqa: PT017
        for fault in error.faults:
            found = re.fullmatch(r".*home\.yaml:(\d+):(\d+)", fault.place)
            assert found, fault.place
            line, column = map(int, found.groups())
            assert 1 <= line <= len(lines) + 1
            assert 1 <= column <= max(map(len, lines)) + 1
            assert fault.message.isprintable()
            assert len(fault.message) < 1000


@settings(DRAWN, max_examples=60)
@given(values=broken())
def test_a_broken_recipe_is_refused_with_places_or_read(tmp_path: Path, values: Values):
    check_places(tmp_path, json.dumps(values, indent=1))


@settings(DRAWN, max_examples=60)
@given(values=recipes(), data=st.data())
def test_a_recipe_with_other_characters_in_it_is_refused_with_places_or_read(
    tmp_path: Path, values: Values, data: st.DataObject
):
    text = as_yaml(values)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 3))
        piece = data.draw(
            st.text(
                st.sampled_from("{}[]&*!|>'\"%@`#,:-?<=~ \t\n\r\\UuxN0\x85\u2028\ufeff"), max_size=9
            )
        )
        text = text[:start] + piece + text[end:]
    check_places(tmp_path, text)


@pytest.mark.slow
@settings(DRAWN, max_examples=500)
@given(values=recipes())
def test_five_hundred_recipes_print_and_read_back_the_same(tmp_path: Path, values: Values):
    check_round_trip(tmp_path, values)


@pytest.mark.slow
@settings(DRAWN, max_examples=1500)
@given(values=broken())
def test_fifteen_hundred_broken_recipes_are_refused_or_read(tmp_path: Path, values: Values):
    check_places(tmp_path, json.dumps(values, indent=1))
