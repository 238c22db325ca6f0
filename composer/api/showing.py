"""How results show themselves in a notebook, with everything in them escaped."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, repr=False)
class Findings:
    """What was found; shows itself as the command of that name prints it.

    Attributes:
        values: The same as plain values, a mapping each, as `--json` prints them.
    """

    values: Sequence[Mapping[str, object]]
    _lines: tuple[str, ...] = field(compare=False)

    def __repr__(self) -> str:
        return "\n".join(self._lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def table_html(rows: Rows, *, right: Iterable[int] = (), caption: str = "") -> str:
    """Lay out rows as an HTML table, the first row as its heads.

    Args:
        rows: Of equal length.
        right: Columns that are aligned to the right, counted from 0.
        caption: Above it.

    >>> table_html([["name"], ["<b>"]])
    '<table><thead><tr><th>name</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    aligned = frozenset(right)
    head, *body = [
        _row(row, "th" if not number else "td", aligned) for number, row in enumerate(rows)
    ]
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def lines_html(lines: Iterable[str]) -> str:
    """Lay out lines of text."""
    return "".join(f"<div>{escape(line)}</div>" for line in lines)


def _row(cells: Sequence[str], tag: str, right: Collection[int]) -> str:
    style = ' style="text-align: right"'
    said = (
        f"<{tag}{style if number in right else ''}>{escape(cell)}</{tag}>"
        for number, cell in enumerate(cells)
    )
    return f"<tr>{''.join(said)}</tr>"
