"""`composer status`: how far a recipe is, without torch."""

from collections import Counter
from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import print_json, print_table

_STATES = {
    "done": "done",
    "running": "running",
    "stopped": "stopped with a checkpoint",
    "failed": "failed",
    "stale": "stale",
    "run": "to run",
}


@click.command()
@recipe_options
@store_option
@json_option
def command(
    recipe: Path, profile: str | None, changes: tuple[str, ...], store_folder: Path, as_json: bool
) -> None:
    """Show how far a recipe is: done, running, stopped, failed.

    A stage that was stopped has a checkpoint that a run goes on from; one that is stale or to be
    run was not begun. Ages are since it was made, begun, stopped or failed.

    \b
    Example:
      composer status recipes/assistant/quickstart.yaml
      composer status home.yaml --profile smoke --json
    """
    from dataclasses import asdict

    from composer.engine.looking.status import stage_statuses
    from composer.engine.planning.plan import make_plan
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.storage.store import open_store
    from composer.recipe.reading.reader import read_recipe
    from composer.report.layout import age, number_of

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    store = open_store(store_folder)
    found = list(stage_statuses(make_plan(wanted_of(loaded), store), store))
    if as_json:
        print_json({"recipe": loaded.recipe.name, "stages": [asdict(one) for one in found]})
        return
    rows = [["stage", "state", "age", ""]]
    for one in found:
        first, *more = one.said.splitlines() or [""]
        rows.append([one.stage, one.state, age(one.age), f"{first} ..." if more else first])
    print_table(rows, right=(2,))
    counts = Counter[str](one.state for one in found)
    said = ", ".join(
        f"{counts[state]} {words}" for state, words in _STATES.items() if counts[state]
    )
    click.echo(f"{number_of(len(found), 'stage')}: {said}")
