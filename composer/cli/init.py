"""`composer init`: a recipe to begin with, from a few questions or flags."""

import sys
from pathlib import Path
from typing import Any

import click

_TYPES = (
    "text-classification",
    "multi-label-classification",
    "token-classification",
    "regression",
)
_ASKED = {  # option -> question and default, in the order in which they are asked
    "name": ("Name of the recipe", "home"),
    "backbone": ("Backbone (sample:NAME, folder:PATH, hub:OWNER/NAME@COMMIT)",
                 "sample:multilingual-e5-small"),
    "task": ("Name of the task", "intent"),
    "type": ("What it predicts", _TYPES[0]),
    "data": ("Data (a file of the recipe's folder, or sample:NAME)", "sample:assistant/intent"),
    "languages": ("Languages that have labels", "en"),
    "scored": ("Languages to score in", ""),
}  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="recipe.yaml")
@click.option("--name", help="Of the recipe.")
@click.option("--backbone", metavar="SOURCE", help="sample:NAME, folder:PATH or hub:NAME@COMMIT.")
@click.option("--task", help="Name of the task.")
@click.option("--type", type=click.Choice(_TYPES), help="What it predicts.")
@click.option("--data", metavar="SOURCE", help="A file, sample:NAME or hub:OWNER/NAME@COMMIT.")
@click.option("--text", metavar="COLUMN", help="Column of the text, if it is not `text`.")
@click.option("--label", metavar="COLUMN", help="Column of the label, if it is not `label`.")
@click.option("--language", "languages", multiple=True, help="That has labels; may be repeated.")
@click.option("--score", "scored", multiple=True, help="Language to score in; may be repeated.")
@click.option("--bundle/--no-bundle", default=True, show_default=True, help="Also make a bundle.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def command(file: Path, force: bool, **given: Any) -> None:
    """Write a recipe to begin with.

    What no option says is asked for on a terminal; elsewhere the defaults are taken. The recipe
    has passed `composer check` when it is written. FILE is recipe.yaml if it is left out.

    \b
    Example:
      composer init
      composer init home.yaml --task intent --data train.csv --text utterance --language en
    """
    from composer.cli.texts import print_warnings
    from composer.data.samples.backbones import default_cache
    from composer.engine.commands.starting import write_checked
    from composer.recipe.grammar.starter import Starter

    _refuse_to_replace(file, force)  # before anything is asked
    answers = _answers(given)
    starter = Starter(
        name=answers["name"],
        backbone=_backbone(answers["backbone"]),
        task=answers["task"],
        type=answers["type"],
        data=_data(answers["data"], {"text": given["text"], "label": given["label"]}),
        languages=_tags(answers["languages"]),
        scored=_tags(answers["scored"]),
        bundle=given["bundle"],
        file=file.name,
    )
    print_warnings(write_checked(file, starter, force=force, cache=default_cache()))
    click.echo(f"{file} is written; see what it would do: composer plan {file}")


def _refuse_to_replace(file: Path, force: bool) -> None:
    from composer.engine.commands.starting import refuse_to_replace

    if not force:
        refuse_to_replace(file)


def _answers(given: dict[str, Any]) -> dict[str, Any]:
    """Ask what was not given, if there is somebody to ask."""
    asking = sys.stdin.isatty() and sys.stdout.isatty()
    answers: dict[str, Any] = {}
    for name, (question, default) in _ASKED.items():
        answers[name] = given[name]
        if given[name]:
            continue
        if name == "scored":
            default = " ".join(_tags(answers["languages"]))
        choices = click.Choice(_TYPES) if name == "type" else None
        answers[name] = (
            click.prompt(question, default=default, type=choices, err=True) if asking else default
        )
    return answers


def _tags(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(given.replace(",", " ").split()) if isinstance(given, str) else given


def _backbone(text: str) -> dict[str, object]:
    from composer.engine.commands.single import backbone_values

    return backbone_values(text)


def _data(source: str, columns: dict[str, str | None]) -> dict[str, object]:
    from composer.engine.commands.single import DataOptions, data_values

    named = {name: one for name, one in columns.items() if one}
    values = data_values(DataOptions(data=source, columns=named))
    return {key: one for key, one in values.items() if one}
