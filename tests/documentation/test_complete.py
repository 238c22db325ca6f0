"""Nothing of the command line, of recipes or of the environment is without documentation."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import click
import pytest

from composer.recipe.grammar.editors import block_texts, block_types
from composer.recipe.grammar.schema import Recipe
from tests.documentation.blocks import PAGES, ROOT
from tests.test_docs import COMMANDS, GENERATOR

CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")


def blocks_of_recipes() -> Mapping[str, Any]:
    """Give the JSON schema of each block: its name -> what stands in it."""
    root = Recipe.model_json_schema()
    return {"Recipe": root, **root["$defs"]}


def sections(page: str) -> dict[str, str]:
    """Cut a page at its headings of the third level."""
    parts = re.split(r"^### (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def undocumented(name: str, command: click.Command, section: str) -> Iterator[str]:
    """Name the parameters of a command that its help, or its section, says nothing of."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            if parameter.hidden or not (parameter.help or "").strip():
                yield f"{name} {parameter.opts[0]}: no help"
            yield from (
                f"{name} {one}: not on the page" for one in parameter.opts if one not in section
            )
        else:
            said = parameter.make_metavar(click.Context(command)).strip("[].")
            if said not in (command.help or "") and said not in section:
                yield f"{name} {said}: not on the page"


def test_there_is_something_to_document():
    assert len(COMMANDS) > 20
    assert sum(len(command.params) for command in COMMANDS.values()) > 100
    assert len(blocks_of_recipes()) > 20


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_command_has_help_and_is_on_the_page(name: str):
    command, section = COMMANDS[name], sections(CLI).get(name, "")
    assert (command.help or "").strip()
    assert list(undocumented(name, command, section)) == []


def test_a_parameter_without_help_is_found():
    command = click.Command("x", params=[click.Option(["--odd"]), click.Argument(["file"])])
    assert list(undocumented("x", command, "Usage: x FILE")) == [
        "x --odd: no help",
        "x --odd: not on the page",
    ]
    assert list(undocumented("x", command, "--odd")) == [
        "x --odd: no help",
        "x FILE: not on the page",
    ]


@pytest.mark.parametrize("name", blocks_of_recipes())
def test_every_key_of_a_recipe_has_a_meaning_and_is_on_the_page(name: str):
    summary, meanings = block_texts(block_types()[name])
    keys = set(blocks_of_recipes()[name].get("properties", {}))
    assert summary.strip()
    assert meanings.keys() == keys
    assert all(meaning.strip() for meaning in meanings.values())
    if not all(text.startswith("See `") for text in meanings.values()):
        rows = {key for text in sections(RECIPE).values() for key in rows_of(text, summary)}
        assert keys <= rows


def rows_of(section: str, summary: str) -> set[str]:
    """List the keys in the table of a section, if it is the one of that summary."""
    if not section.strip().startswith(summary.strip()):
        return set()
    return set(re.findall(r"^\| `([\w-]+)` \|.*\| .*\S \|$", section, re.MULTILINE))


def test_every_environment_variable_is_on_a_page():
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "composer").rglob("*.py"))
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\"(COMPOSER_[A-Z_]+)\"", code))
    assert {"COMPOSER_STORE", "COMPOSER_CACHE"} <= named
    assert {name for name in named if f"`{name}`" not in pages} == set()


def test_the_generator_knows_every_command():
    assert {f"composer {name}" for name in GENERATOR.group.list_commands(None)} <= COMMANDS.keys()
