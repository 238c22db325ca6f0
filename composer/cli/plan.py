"""`composer plan`: what a run would do and why, without torch."""

from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import fault_values, print_json, print_warnings


@click.command()
@recipe_options
@store_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "mermaid"]),
    default="table",
    show_default=True,
    help="How the plan is printed; mermaid is a graph.",
)
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    store_folder: Path,
    form: str,
    as_json: bool,
) -> None:
    """Show what a run would do, and why.

    Each stage is done, stale (something it depends on changed) or to be run; with the parameters
    that it trains and those in all, memory, bytes, and the time it took or is expected to take.

    \b
    Example:
      composer plan recipes/assistant/quickstart.yaml
      composer plan home.yaml --set training.learning_rate=5e-4 --json
      composer plan home.yaml --format mermaid > plan.mmd
    """
    from composer.engine.planning.plan import make_plan
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.storage.store import open_store
    from composer.recipe.checking.advice import warnings
    from composer.recipe.reading.reader import read_recipe
    from composer.report.graph import mermaid_lines
    from composer.report.planned import plan_lines, plan_values

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    found = warnings(loaded.recipe, loaded.place)
    plan = make_plan(wanted_of(loaded), open_store(store_folder))
    if as_json or form == "json":
        print_json({**plan_values(plan), "warnings": fault_values(found)})
        return
    print_warnings(found)
    for line in mermaid_lines(plan) if form == "mermaid" else plan_lines(plan):
        click.echo(line)
