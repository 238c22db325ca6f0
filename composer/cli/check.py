"""`composer check`: name every fault of a recipe, without torch."""

from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options
from composer.cli.texts import fault_values, print_json, print_warnings
from composer.report.layout import number_of


@click.command()
@recipe_options
@json_option
def command(recipe: Path, profile: str | None, changes: tuple[str, ...], as_json: bool) -> None:
    """Check a recipe and name every fault.

    Grammar, names, ranges, whether adapters fit the backbone, and whether its data is there.
    Exit status 2 and one line a fault, each with file, line and column, if anything is wrong.

    \b
    Example:
      composer check recipes/assistant/quickstart.yaml
      composer check home.yaml --profile smoke --set training.epochs=1
    """
    from composer.data.samples.backbones import default_cache
    from composer.engine.planning.ready import check_ready
    from composer.engine.planning.wanted import wanted_of
    from composer.recipe.checking.advice import warnings
    from composer.recipe.reading.reader import read_recipe

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    found = warnings(loaded.recipe, loaded.place)
    wanted = wanted_of(loaded)
    check_ready(wanted, cache=default_cache())
    if as_json:
        print_json(
            {
                "recipe": loaded.recipe.name,
                "stages": len(wanted.stages),
                "warnings": fault_values(found),
            }
        )
        return
    print_warnings(found)
    click.echo(f"{recipe}: no faults; {number_of(len(wanted.stages), 'stage')}")
