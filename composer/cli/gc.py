"""`composer gc`: show, and with --yes remove, what nobody wants any more."""

import re
from pathlib import Path

import click

from composer.cli.options import json_option, store_option
from composer.cli.texts import print_json, print_table
from composer.report.layout import age, number_of, size

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])?")


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Read a time like 7d, 12h or 30m."""
    found = _AGE.fullmatch(value)
    if found is None or (found[2] is None and float(found[1]) != 0):
        raise click.BadParameter(f"{value!r} is no age; write 30m, 12h, 7d, 2w or 0")
    return float(found[1]) * _UNITS[found[2] or "s"]


@click.command()
@store_option
@click.option(
    "--lock",
    "lock_files",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep what this lock file names as well; may be repeated.",
)
@click.option(
    "--older-than",
    callback=_seconds,
    metavar="AGE",
    default="1d",
    show_default=True,
    help="Leave alone what was written to later: 30m, 12h, 7d, 2w or 0.",
)
@click.option("--yes", is_flag=True, help="Remove it; left out, it is only shown.")
@json_option
def command(
    store_folder: Path | str,
    lock_files: tuple[Path, ...],
    older_than: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove results that nothing names.

    Kept is what labels and lock files name, and all that these results rest on; lock files are
    looked for in the working folder and beside the recipes that were run. What is young, or
    being worked on, is left alone. Without --yes nothing is removed.

    \b
    Example:
      composer gc
      composer gc --older-than 7d --yes
      composer gc --store s3://bucket/team --lock release/home.lock
    """
    from composer.engine.storage.store import open_store
    from composer.engine.upkeep.garbage import find_leftovers, remove_leftovers

    store = open_store(store_folder)
    found = find_leftovers(store, lock_files=lock_files, older_than=older_than)
    removed = remove_leftovers(store, found, lock_files=lock_files) if yes else []
    if as_json:
        shown = [
            {"kind": one.kind, "place": one.place, "bytes": one.bytes, "seconds": round(one.age)}
            for one in (removed if yes else found)
        ]
        print_json({"removed": yes, "leftovers": shown})
        return
    told = removed if yes else found
    if told:
        rows = [["what", "where", "size", "age"]]
        rows += [[one.kind, one.place, size(one.bytes), age(one.age)] for one in told]
        print_table(rows, right=(2, 3))
    total = f"{number_of(len(told), 'thing')}, {size(sum(one.bytes for one in told))}"
    if yes:
        click.echo(f"removed {total}")
    elif told:
        click.echo(f"{total}; nothing was removed, add --yes to remove it")
    else:
        click.echo("nothing to remove")
