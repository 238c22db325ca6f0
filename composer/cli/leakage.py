"""`composer leakage`: which test texts stand in what is learnt from."""

from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import print_json


@click.command()
@recipe_options
@store_option
@json_option
def command(
    recipe: Path, profile: str | None, changes: tuple[str, ...], store_folder: Path, as_json: bool
) -> None:
    """Show how much test text stands in what is learnt from.

    For each language of each evaluation: test texts that its compositions learn from as well, in
    any language, in the labelled data or in the text of language adapters; the same but for case
    and punctuation, or nearly the same. A run makes this check first, and refuses more than the
    recipe's `leakage` allows; so does this command.

    \b
    Example:
      composer leakage home.yaml
      composer leakage home.yaml --set leakage.exact=0 --json
    """
    from composer.engine.planning.plan import make_plan
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.running.leakage import find_overlaps
    from composer.engine.storage.store import open_store
    from composer.errors import DataError
    from composer.recipe.reading.reader import read_recipe
    from composer.report.overlaps import overlap_lines, refused

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    store = open_store(store_folder)
    overlaps = find_overlaps(make_plan(wanted_of(loaded), store), store)
    if as_json:
        print_json([one.model_dump(mode="json") for one in overlaps])
    else:
        for line in overlap_lines(overlaps):
            click.echo(line)
    faults = refused(overlaps, loaded.recipe.leakage, loaded.place)
    if faults:
        raise DataError(faults)
