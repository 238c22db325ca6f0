"""`composer run`: carry out a recipe, then show what it reached."""

from pathlib import Path

import click

from composer.cli.options import (
    command_line,
    json_option,
    recipe_options,
    store_option,
    tracker_option,
)
from composer.cli.texts import print_json, print_warnings


@click.command()
@recipe_options
@store_option
@tracker_option
@click.option("--only", multiple=True, metavar="STAGE", help="This stage, and what it needs.")
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the lock file is written; left out, beside the recipe.",
)
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    store_folder: Path,
    trackers: tuple[str, ...],
    only: tuple[str, ...],
    lock_file: Path | None,
    as_json: bool,
) -> None:
    """Carry out a recipe.

    Stages that are done are not done again; a run that was stopped goes on where it was. Ends
    with a table of scores, the mean weights of fusions, and sizes.

    \b
    Example:
      composer run recipes/assistant/quickstart.yaml
      composer run home.yaml --profile smoke --only task/intent
    """
    from composer.cli.progress import ProgressLine
    from composer.engine.events import RunOptions
    from composer.engine.lock import lock_path
    from composer.engine.plan import make_plan
    from composer.engine.run import run_stages
    from composer.engine.store import Store
    from composer.engine.wanted import wanted_of
    from composer.recipe.advice import warnings
    from composer.recipe.reader import read_recipe
    from composer.report.tables import report_lines, report_values

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    print_warnings(warnings(loaded.recipe, loaded.place))
    store = Store(store_folder)
    plan = make_plan(wanted_of(loaded), store, fetch=True)
    with ProgressLine() as progress:
        options = RunOptions(
            only=only,
            lock_file=lock_file or lock_path(recipe, profile=profile),
            command=command_line(),
            trackers=trackers,
            on_event=progress,
        )
        result = run_stages(plan, store, options)
    if as_json:
        print_json(report_values(plan, result))
        return
    for line in report_lines(plan, result):
        click.echo(line)
