"""`composer bundle verify`, `inspect` and `diff`: look at bundles, and change nothing."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from composer.cli.options import json_option
from composer.cli.texts import print_json
from composer.errors import ComposerError

if TYPE_CHECKING:
    from composer.bundle.difference import Change

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=_PATH)
@click.option(
    "--public-key",
    type=_PATH,
    help="PEM file of who is trusted; the bundle must be signed with it.",
)
@click.option("--signature", type=_PATH, help="Left out, home.sig beside home or home.zip.")
@json_option
def verify(bundle: Path, public_key: Path | None, signature: Path | None, as_json: bool) -> None:
    """Check every byte of a bundle, and run its self-test.

    The self-test is run by ONNX Runtime on this machine: inputs that the bundle holds must give
    the outputs that it holds. With a public key, the bundle must be signed with its private one.
    The exit status is 2 if anything is wrong.

    \b
    Example:
      composer bundle verify home/
      composer bundle verify home.zip --public-key who.pub.pem --json
    """
    from composer.device.verifying import verify_bundle

    found: dict[str, object] = {"bundle": str(bundle), "passed": False}
    try:
        found |= verify_bundle(bundle, public_key=public_key, signature=signature).figures
    except ComposerError as fault:
        if as_json:
            print_json({**found, "fault": str(fault)})
        raise
    found["passed"] = True
    if as_json:
        print_json(found)
        return
    for line in verified_lines(found):
        click.echo(line)
    click.echo(f"{bundle}: pass")


def verified_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Tell the figures of a bundle that was verified."""
    from composer.report.layout import number_of, size

    yield (
        f"{number_of(found['files'], 'file')}, {size(found['bytes'])}, every byte checked "
        f"({found['seconds']:.1f} s)"
    )
    if found["signed_by"]:
        yield f"signed by {found['signed_by']}"
    test = found["self_test"]
    if test is None:
        yield "self-test not run: the bundle holds parts only, and no graph of their backbone"
    elif not test["cases"]:
        yield "self-test: no cases; its compositions were loaded"
    else:
        yield (
            f"self-test: {number_of(test['cases'], 'case')} in {test['precision']}, largest "
            f"difference {test['largest_difference']:.1e} of the largest output, allowed "
            f"{test['allowed']:.0e} ({test['seconds']:.1f} s)"
        )


@click.command()
@click.argument("bundle", type=_PATH)
@json_option
def inspect(bundle: Path, as_json: bool) -> None:
    """Tell what a bundle holds, what it scored, and what it weighs.

    Sizes are told in float32 and as they are stored, scores in float32 and in the precision of
    the bundle's graph.

    \b
    Example:
      composer bundle inspect home/
      composer bundle inspect home.zip --json
    """
    from composer.bundle.reader import open_bundle
    from composer.report.bundles import inspect_lines, inspect_values

    opened = open_bundle(bundle)
    if as_json:
        print_json(inspect_values(opened))
        return
    for line in inspect_lines(opened):
        click.echo(line)


@click.command()
@click.argument("one", type=_PATH)
@click.argument("other", type=_PATH)
@json_option
def diff(one: Path, other: Path, as_json: bool) -> int:
    """Tell what changed from one bundle to another.

    Backbone, graphs, parts (which tensors), compositions, scores in points, licences, sizes. The
    exit status is 0 if they are the same, byte for byte, 1 if they differ, 2 if one of them is
    no bundle. A folder and its zip are the same.

    \b
    Example:
      composer bundle diff home/ newer.zip
      composer bundle diff home.zip newer.zip --json
    """
    from dataclasses import asdict

    from composer.bundle.difference import differences
    from composer.bundle.reader import open_bundle

    found = differences(open_bundle(one), open_bundle(other))
    if as_json:
        print_json({"equal": not found, "changes": [asdict(change) for change in found]})
    elif not found:
        click.echo(f"{one} and {other} are the same")
    else:
        _print_changes(found)
    return 1 if found else 0


def _print_changes(found: "list[Change]") -> None:
    from composer.cli.texts import print_table
    from composer.report.bundles import change_words

    rows = [["what", "which", "", "how"]]
    rows += [[one.section, one.name, one.what, change_words(one)] for one in found]
    print_table(rows)
