"""`composer debug-data`: what may be wrong with the data of a recipe."""

from pathlib import Path

import click

from composer.cli.completing import tasks
from composer.cli.options import json_option, recipe_options
from composer.cli.texts import print_json, print_warnings


@click.command()
@recipe_options
@click.option("--task", metavar="NAME", help="Only this task.", shell_complete=tasks)
@json_option
def command(
    recipe: Path, profile: str | None, changes: tuple[str, ...], task: str | None, as_json: bool
) -> None:
    """Look through data for what may be wrong.

    For each task of a recipe: examples by split and language, how often each label is there,
    lengths in tokens and what of them is cut, texts that are there twice, in two splits or with two
    labels, labels that are rare or hardly told apart, texts in another script than their
    language's, characters that nobody sees. So, too, the text of languages. Warnings end well;
    what a run would refuse is a fault. Nothing is trained, and torch is not needed.

    \b
    Example:
      composer debug-data home.yaml
      composer debug-data home.yaml --task intent --json
    """
    from composer.engine.looking.datalook import look_at_data
    from composer.errors import DataError
    from composer.recipe.reading.reader import read_recipe
    from composer.report.datalook import look_lines, look_values

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    look = look_at_data(loaded, task=task)
    if as_json:
        print_json(look_values(look))
    else:
        for line in look_lines(look):
            click.echo(line)
        print_warnings(dict.fromkeys(w for one in look.inspections for w in one.warnings))
    faults = dict.fromkeys(fault for one in look.inspections for fault in one.faults)
    if faults:
        raise DataError(faults)
