"""How tables, numbers and times are written."""

import re
from collections.abc import Iterable, Sequence

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def table_lines(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    r"""Lay out rows in columns; East Asian characters take two places.

    What would move the cursor, as a line break in a text, is written as in Python.

    >>> table_lines([["name", "n"], ["in\ntent", "7"]], right=[1])
    ['name      n', 'in\\ntent  7']
    """
    from rich.cells import cell_len

    right = set(right)
    rows = [[_CONTROL.sub(_escaped, cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            " " * (width - cell_len(cell)) + cell
            if column in right
            else cell + " " * (width - cell_len(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def count(number: int | None) -> str:
    """Write a number of things with its thousands apart; None is unknown.

    >>> count(1234567), count(None)
    ('1,234,567', 'unknown')
    """
    return "unknown" if number is None else f"{number:,}"


def size(number: int | None) -> str:
    """Write a number of bytes in a unit that is easy to read.

    >>> size(1_190_040), size(812), size(None)
    ('1.2 MB', '812 B', 'unknown')
    """
    if number is None:
        return "unknown"
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number} B"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def number_of(number: int, noun: str) -> str:
    """Write a number of things with their name.

    >>> number_of(1, "stage"), number_of(1200, "example")
    ('1 stage', '1,200 examples')
    """
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def duration(seconds: float | None) -> str:
    """Write a time.

    >>> duration(7.26), duration(130), duration(None)
    ('7.3 s', '2 min 10 s', 'unknown')
    """
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def age(seconds: float | None) -> str:
    """Write how long ago something was, in its largest unit.

    >>> age(42), age(7300), age(200_000), age(None)
    ('42 s', '2 h', '2 d', '-')
    """
    if seconds is None:
        return "-"
    for unit, scale in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= scale:
            return f"{int(seconds // scale)} {unit}"
    return f"{int(seconds)} s"
