"""The JSON schema of recipes: what is valid passes, what is not does not, and all is described."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from composer.recipe.document.documents import read_document
from composer.recipe.document.tree import values
from composer.recipe.grammar.editors import block_texts, recipe_schema
from composer.recipe.grammar.tasks import Task
from tests.recipe.recipes import SOUND

ROOT = Path(__file__).parent.parent.parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*/*.yaml"))  # not the parts that they include
WHOLE, PART = (Draft202012Validator(recipe_schema(part=part)) for part in (False, True))


def plain(text: str) -> Any:
    return json.loads(json.dumps(values(read_document(text.encode(), "home.yaml").root)))


def errors(text: str, validator: Draft202012Validator = WHOLE) -> list[str]:
    return [one.json_path for one in validator.iter_errors(plain(text))]


@pytest.mark.parametrize("part", [False, True])
def test_it_is_a_schema_with_an_identity(part: bool):
    schema = recipe_schema(part=part)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert str(schema["$id"]).startswith("urn:adapter-composer:recipe:1")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_here_is_valid(path: Path):
    text = path.read_text(encoding="utf-8")
    assert errors(text) == []
    assert errors(text, PART) == []


def test_the_sound_recipe_is_valid():
    assert errors(SOUND) == []
    assert errors("include: [a.yaml]\n" + SOUND) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("composer: 1", "composer: 2"),
        ("name: home\n", ""),
        ("width: 32", "widht: 32"),
        ("width: 32", "width: 0"),
        ("width: 32", "width: wide"),
        ("kind: madapter", "kind: madaptr"),
        ("source: sample, name: assistant/text", "source: sampel, name: assistant/text"),
        ("epochs: 8", "epochs: 1.5"),
        ("epochs: 8", f"epochs: {10**30}"),
        ("members: [en, de, ru]", "members: [english]"),
        ("  domain: {type", "  2nd: {type"),
        ("domain: {type: text-classification, data: domain, ", "domain: {data: domain, "),
        ("languages: [en, ru]", "languages: []"),
        ("smoke: {training: {epochs: 1}}", "smoke: {training: {epoch: 1}}"),
        ("smoke: {training: {epochs: 1}}", "smoke: {profiles: {}}"),
    ],
)
def test_what_is_wrong_is_not_valid(old: str, new: str):
    assert old in SOUND
    assert errors(SOUND.replace(old, new, 1))


def test_a_profile_may_say_a_part_of_anything_and_take_keys_away():
    smoke = "smoke: {tasks: {domain: {adapter: task}}, bundles: {box: null}, name: other}"
    assert errors(SOUND.replace("smoke: {training: {epochs: 1}}", smoke)) == []


def test_what_a_recipe_needs_may_stand_in_what_it_includes():
    assert errors("composer: 1\nname: home\n") != []
    assert errors("composer: 1\nname: home\ninclude: [parts/home.yaml]\n") == []


def test_in_a_file_that_is_included_nothing_is_needed_and_all_is_checked():
    assert errors("tasks: {intent: {data: other}}\ninclude: [more.yaml]\n", PART) == []
    assert errors("tasks: {intent: {dta: other}}\n", PART)


def keys_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    blocks = {"Recipe": schema, **schema["$defs"]}
    for name, block in blocks.items():
        for key, value in block.get("properties", {}).items():
            if not name.endswith("Changed"):
                yield name, key, value


def test_every_key_is_described_in_the_words_of_its_docstring():
    schema: Mapping[str, Any] = recipe_schema()
    found = list(keys_of(schema))
    assert len(found) > 100
    for name, key, value in found:
        assert value.get("description"), f"{name}.{key} says nothing"
        assert not value["description"].startswith("See `training`"), f"{name}.{key}"
    (told,) = (one["description"] for name, key, one in found if (name, key) == ("Task", "over"))
    assert told == block_texts(Task)[1]["over"]
