"""`composer export`: make a bundle for devices."""

from pathlib import Path
from typing import Any

import click

from composer.cli.bundles import stored_bundle
from composer.cli.options import json_option, store_option
from composer.cli.single import read_command, set_option
from composer.cli.texts import print_json


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the bundle, or a file that ends in .zip.",
)
@click.option("--language", "languages", multiple=True, help="What $language is bound to.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8", "weight-int8"]),
    help="Put the backbone in, in this precision, for devices without torch.",
)
@click.option(
    "--part-precision",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    help="Of what was trained; float16 halves it.",
)
@set_option
@store_option
@json_option
def command(**given: Any) -> None:
    """Make a bundle for devices.

    NAMES are tasks or compositions in the store, or the bundle of a recipe that was run
    (`bundle/NAME`). Fusions are folded. Without `--precision` the backbone is not in it; with it
    the bundle is all that a device needs. The bundle is opened and its self-test run before it
    is given out; a bundle that is at the target already is replaced.

    \b
    Example:
      composer export few-shot --to bundle/
      composer export intent few-shot --to home.zip --precision int8
      composer export mad-x --language de --language fi --to nordic/
    """
    from composer.bundle.reader import open_bundle
    from composer.bundle.sizes import size_report
    from composer.report.tables import size_lines, size_values

    found = stored_bundle(
        read_command(given),
        given["names"],
        languages=given["languages"],
        precision=given["precision"],
        part_precision=given["part_precision"],
    )
    target: Path = given["target"]
    place_bundle(found.folder, target)
    manifest = open_bundle(target).manifest
    report = size_report(manifest)
    if given["as_json"]:
        print_json(
            {
                "bundle": str(target),
                "key": found.key,
                "digest": manifest.digest,
                "compositions": list(manifest.compositions),
                "files": size_values(report),
            }
        )
        return
    for line in size_lines(report, head="part"):
        click.echo(line)
    click.echo(f"{target} holds {', '.join(manifest.compositions)}; its self-test passed")


def place_bundle(bundle: Path, target: Path) -> None:
    """Copy a bundle out of the store, checked; a name that ends in .zip makes a zip."""
    from composer.bundle.writer import copy_bundle, pack_bundle

    place = pack_bundle if target.suffix == ".zip" else copy_bundle
    place(bundle, target)
