"""`composer report`: one HTML file of a run, that opens without a network."""

from pathlib import Path

import click

from composer.cli.options import recipe_options, store_option


@click.command()
@recipe_options
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The file; one that is there is replaced.",
)
@store_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    output: Path,
    store_folder: Path | str,
) -> None:
    """Write one HTML file about a run.

    Shows scores with intervals, what fusions listen to, loss curves, stages, costs and bundles.
    Reads the store, and carries nothing out; what is not made yet is shown as missing, with the
    command that makes it. The file opens offline, and asks nobody for anything.

    \b
    Example:
      composer report recipes/assistant/quickstart.yaml
      composer report home.yaml --profile smoke --output smoke.html
    """
    from composer.api.recipes import run_words
    from composer.bundle.files import write_bytes
    from composer.engine.storage.store import open_store
    from composer.errors import Fault, RecipeError
    from composer.recipe.reading.reader import read_recipe
    from composer.report.layout import number_of, size
    from composer.report.page.page import make_page

    if not output.parent.is_dir():
        raise RecipeError([Fault("--output", f"{output.parent} is not a folder; make it first")])
    loaded = read_recipe(recipe, profile=profile, changes=changes)
    words = run_words(recipe, profile=profile, changes=changes, store=store_folder)
    page = make_page(loaded, open_store(store_folder), command=words)
    data = page.html.encode()
    write_bytes(output, data)
    missing = f", {page.missing} not done" if page.missing else ""
    click.echo(f"{output}: {size(len(data))}, {number_of(page.stages, 'stage')}{missing}")
