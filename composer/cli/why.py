"""`composer why`: why a stage would run, and what it rests on."""

from pathlib import Path

import click

from composer.cli.completing import stages
from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import print_json


@click.command()
@recipe_options
@click.argument("stage", shell_complete=stages)
@store_option
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    stage: str,
    store_folder: Path,
    as_json: bool,
) -> None:
    """Tell why a stage would run, down to the edit.

    STAGE is the name of a stage in the plan, such as task/intent, or its last word where that is
    clear. Keys of the recipe are told with their line.

    \b
    Example:
      composer why recipes/assistant/quickstart.yaml bundle/phone
      composer why home.yaml few-shot --set training.epochs=4 --json
    """
    from composer.engine.planning.plan import make_plan
    from composer.engine.planning.reasons import Reason
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.storage.store import open_store
    from composer.recipe.reading.reader import read_recipe
    from composer.report.causes import why_lines, why_values

    loaded = read_recipe(recipe, profile=profile, changes=changes)

    def place(reason: Reason) -> str:
        found = reason.kind in ("setting", "data")
        return loaded.place(tuple(reason.what.split("."))) if found else ""

    plan = make_plan(wanted_of(loaded), open_store(store_folder))
    if as_json:
        print_json(why_values(plan, stage, place))
        return
    for line in why_lines(plan, stage, place):
        click.echo(line)
