"""`composer transfer`: compositions x languages, with baselines, intervals and tests."""

from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import print_json

_FORMS = ("table", "markdown", "csv")


@click.command()
@recipe_options
@click.option(
    "--evaluation",
    "evaluations",
    multiple=True,
    metavar="NAME",
    help="Of the recipe; may be repeated. Left out, all.",
)
@click.option(
    "--seed",
    "seeds",
    type=int,
    multiple=True,
    help="Read what was run with --set training.seed=SEED; repeated, the mean over seeds.",
)
@click.option(
    "--against",
    metavar="NAME",
    help="Composition that the others are compared with. Left out, each one's own baseline "
    "without the language's adapter, where that was evaluated.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100, 100_000),
    default=1000,
    show_default=True,
    help="For intervals and tests.",
)
@click.option(
    "--format", "form", type=click.Choice(_FORMS), default="table", show_default=True,
    help="How it is printed.",
)  # fmt: skip
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw a heat map into this SVG as well.",
)
@store_option
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    evaluations: tuple[str, ...],
    seeds: tuple[int, ...],
    against: str | None,
    resamples: int,
    form: str,
    picture: Path | None,
    store_folder: Path,
    as_json: bool,
) -> None:
    """Show scores of all languages, and how sure they are.

    Reads the evaluations that a recipe has made, and makes none. Each score has a bootstrap
    interval over examples, and over seeds where there are several; two compositions are compared
    by a paired test. `majority` is the best that one and the same answer can do.

    \b
    Example:
      composer transfer home.yaml --evaluation zero-shot --against bare
      composer transfer home.yaml --seed 1 --seed 2 --seed 3 --picture transfer.svg
    """
    from composer.engine.planning.plan import make_plan
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.storage.store import open_store
    from composer.recipe.reading.reader import read_recipe
    from composer.report.evaluated import read_evaluated
    from composer.report.heat_map import draw_heat_map
    from composer.report.transfer import make_tables
    from composer.report.transfer_tables import (
        transfer_csv,
        transfer_lines,
        transfer_markdown,
        transfer_values,
    )

    store = open_store(store_folder)
    asked = [(*changes, f"training.seed={seed}") for seed in seeds] or [changes]
    plans = [
        make_plan(wanted_of(read_recipe(recipe, profile=profile, changes=one)), store)
        for one in asked
    ]
    found = read_evaluated(plans, store, evaluations=evaluations)
    tables = make_tables(found, against=against, resamples=resamples)
    missing = sum(not one.results for one in found)
    if missing:
        said = f"{missing} of {len(found)} evaluations are not made yet, and are left out"
        click.echo(f"warning: {said}", err=True)
    if picture is not None:
        draw_heat_map(tables, picture)
    if as_json:
        print_json({"resamples": resamples, "tables": transfer_values(tables)})
    elif form == "csv":
        click.echo(transfer_csv(tables), nl=False)
    else:
        lines = transfer_markdown if form == "markdown" else transfer_lines
        for line in lines(tables, resamples=resamples):
            click.echo(line)
