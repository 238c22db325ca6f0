"""`composer compare`: what the comparisons of a recipe have measured so far, without torch."""

from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import print_json


@click.command()
@recipe_options
@store_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="How it is printed; csv has a line for each seed, json every trial.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Also draw scores against parameters, widths and middle layers, as SVG.",
)
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    store_folder: Path,
    form: str,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Show what the comparisons of a recipe have measured.

    Reads the store, and carries nothing out. What is not measured yet prints as "-", with how
    many stages are open; `composer run` makes them.

    \b
    Example:
      composer compare recipes/madapter/offline.yaml
      composer compare home.yaml --format markdown > table.md
      composer compare home.yaml --pictures pictures/
    """
    from composer.engine.planning.plan import make_plan
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.storage.store import open_store
    from composer.recipe.reading.reader import read_recipe
    from composer.report.comparison import read_comparisons
    from composer.report.comparison_tables import WRITERS, comparison_values
    from composer.report.pictures import draw_comparisons

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    store = open_store(store_folder)
    plan = make_plan(wanted_of(loaded), store)
    found = read_comparisons(loaded.recipe, plan, store)
    for path in draw_comparisons(found, pictures) if pictures else ():
        click.echo(f"drawn: {path}", err=True)
    if as_json or form == "json":
        print_json({"recipe": loaded.recipe.name, "comparisons": comparison_values(found)})
        return
    for line in WRITERS[form](found):
        click.echo(line)
