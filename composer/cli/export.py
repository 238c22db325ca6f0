"""`composer export`: make a bundle for devices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from composer.cli.bundles import stored_bundle
from composer.cli.options import json_option, store_option
from composer.cli.single import read_command, set_option
from composer.cli.texts import print_json

_LIBRARIES = {"adapterhub": "`adapters`", "peft": "PEFT"}


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to write; of a bundle, or a file that ends in .zip.",
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
@click.option(
    "--format",
    "format_",
    type=click.Choice(["bundle", "adapterhub", "peft"]),
    default="bundle",
    show_default=True,
    help="Write for another library instead: `adapters` (AdapterHub), or PEFT.",
)
@click.option("--without-head", is_flag=True, help="With --format: leave out the head of a task.")
@set_option
@store_option
@json_option
def command(**given: Any) -> None:
    """Make a bundle for devices.

    NAMES are tasks or compositions in the store, or the bundle of a recipe that was run
    (`bundle/NAME`). Fusions are folded. Without `--precision` the backbone is not in it; with it
    the bundle is all that a device needs. The bundle is opened and its self-test run before it
    is given out; a bundle that is at the target already is replaced.

    With `--format adapterhub` or `peft` one task, language or composition is written as that
    library saves it. What the library does not have is named, and nothing is written.

    \b
    Example:
      composer export few-shot --to bundle/
      composer export intent few-shot --to home.zip --precision int8
      composer export mad-x --language de --language fi --to nordic/
      composer export few-shot --format adapterhub --to few-shot-hub/
    """
    if given["format_"] != "bundle":
        _export_foreign(given)
        return
    if given["without_head"]:
        raise click.UsageError("--without-head: a bundle predicts, and needs its heads")
    from composer.bundle.reader import open_bundle
    from composer.bundle.sizes import size_report
    from composer.bundle.writer import place_bundle
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


def _export_foreign(given: Mapping[str, Any]) -> None:
    from composer.cli.exporting import export_foreign

    files = export_foreign(read_command(given), given)
    if given["as_json"]:
        print_json({"folder": str(given["target"]), "format": given["format_"], "files": files})
        return
    for name in files:
        click.echo(name)
    click.echo(f"{given['target']} is what {_LIBRARIES[given['format_']]} loads")
