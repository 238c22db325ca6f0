"""How the command line writes: results on stdout, warnings and progress on stderr."""

import json
from collections.abc import Iterable, Sequence

import click

from composer.errors import Fault
from composer.report.layout import table_lines


def print_json(value: object) -> None:
    """Print a value for machines: sorted keys, UTF-8."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


def fault_values(found: Iterable[Fault]) -> list[dict[str, str]]:
    """Give faults as JSON has them."""
    return [{"place": one.place, "message": one.message} for one in found]


def print_warnings(found: Iterable[Fault]) -> None:
    """Print what is probably not meant, on stderr."""
    for one in found:
        click.echo(f"warning: {one}", err=True)


def print_table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> None:
    """Print rows in columns, the first row as their heads.

    Args:
        rows: Of equal length.
        right: Columns that are aligned to the right, counted from 0.
    """
    for line in table_lines(rows, right=right):
        click.echo(line)
