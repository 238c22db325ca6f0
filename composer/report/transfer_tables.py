"""The transfer matrix as text: for a terminal, as Markdown, as CSV, and as plain values.

far: accuracy      n  mad-x              mad-x.without-language  majority
de               312  .931 [.903, .958]  .924 [.894, .952]           .080
fi*              298  .360 [.306, .414]  .310 [.259, .362]           .081
mean                  .646 [.610, .681]  .617 [.580, .652]           .081
* labels of this language were learnt by none of these
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from composer.report.layout import count, number_of, table_lines
from composer.report.transfer import MAJORITY, MEAN, RESAMPLES, UNSEEN, Cell, Table

if TYPE_CHECKING:
    from composer.train.resampling import Difference

_COLUMNS = (
    *("evaluation", "split", "score", "composition", "language", "unseen", "trainings", "n"),
    *("value", "low", "high", "against", "difference", "difference_low", "difference_high"),
    *("p", "test"),
)
_MARK = "* labels of this language were learnt by none of these"


def transfer_lines(tables: Sequence[Table], *, resamples: int = RESAMPLES) -> Iterator[str]:
    """Lay the tables out for a terminal."""
    for table in tables:
        rows = list(_rows(table))
        yield from table_lines(rows, right=(1, len(rows[0]) - 1))
        yield from _notes(table, resamples)
        yield ""
        if table.against:
            yield from table_lines(list(difference_rows(table)))
            yield tests_told(table)
            yield ""


def transfer_markdown(tables: Sequence[Table], *, resamples: int = RESAMPLES) -> Iterator[str]:
    """Write the tables as Markdown."""
    for table in tables:
        yield from _markdown(list(_rows(table)))
        yield from ("", " ".join(f"{note}." for note in _notes(table, resamples)), "")
        if table.against:
            yield from _markdown(list(difference_rows(table)))
            yield from ("", f"{tests_told(table)}.", "")


def transfer_csv(tables: Sequence[Table]) -> str:
    """Write a line for each composition and language; what is a mean has no language's tag."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(row for table in tables for row in _values(table))
    return text.getvalue()


def transfer_values(tables: Sequence[Table]) -> list[dict[str, object]]:
    """Give the same as JSON has it."""
    return [
        {
            "evaluation": table.evaluation,
            "score": table.score,
            "split": table.split,
            "trainings": table.trainings,
            "languages": list(table.languages),
            "unseen": list(table.unseen),
            "cells": [
                {key: value for key, value in row.items()
                 if key not in ("evaluation", "score", "split")}
                for row in _values(table)
            ],
        }
        for table in tables
    ]  # fmt: skip


def _rows(table: Table) -> Iterator[list[str]]:
    columns = (*table.compositions, MAJORITY)
    yield [f"{table.evaluation}: {table.score}", "n", *columns]
    for tag in table.languages:
        cells = [table.cells.get((name, tag)) for name in columns]
        examples = next(cell.n for cell in cells if cell is not None)
        mark = "*" if tag in table.unseen else ""
        yield [f"{tag}{mark}", count(examples), *_scores(cells)]
    for what, name in ((MEAN, "mean"), (UNSEEN, "mean of *")):
        means = [table.means.get((one, what)) for one in columns]
        if any(means) and not (what == UNSEEN and len(table.unseen) == len(table.languages)):
            yield [name, "", *_scores(means)]


def _scores(cells: Sequence[Cell | None]) -> list[str]:
    *own, majority = cells
    shown = ["-" if cell is None else _score(cell) for cell in own]
    return [*shown, "-" if majority is None else _number(majority.measured.value)]


def _score(cell: Cell) -> str:
    low, high = cell.measured.interval
    return f"{_number(cell.measured.value)} [{_number(low)}, {_number(high)}]"


def difference_rows(table: Table) -> Iterator[list[str]]:
    """Give the differences as cells, a row a language; the first row are the heads."""
    yield [f"{table.evaluation}: difference",
           *(f"{name} - {other}" for name, other in table.against.items())]  # fmt: skip
    for tag in (*table.languages, MEAN, UNSEEN):
        found = [table.differences.get((name, tag)) for name in table.against]
        if any(found) and not (tag == UNSEEN and len(table.unseen) == len(table.languages)):
            mark = "*" if tag in table.unseen else ""
            name = {UNSEEN: "mean of *"}.get(tag, f"{tag}{mark}")
            yield [name, *("-" if one is None else _difference(one) for one in found)]


def _difference(one: "Difference") -> str:
    value, low, high = (f"{number:+.3f}" for number in (one.value, one.low, one.high))
    return f"{value} [{low}, {high}] p {'< .001' if one.p < 0.001 else _number(one.p)}"


def _notes(table: Table, resamples: int) -> Iterator[str]:
    if table.unseen:
        yield _MARK
    seeds = f", {number_of(table.trainings, 'seed')}" if table.trainings > 1 else ""
    yield f"in brackets 95 % of {count(resamples)} resamples of the {table.split} examples{seeds}"


def tests_told(table: Table) -> str:
    """Say how the p of a table's differences are found."""
    tests = {one.test for (_, tag), one in table.differences.items() if tag in table.languages}
    said = "McNemar's exact test" if tests == {"mcnemar"} else "paired bootstrap"
    also = "; of means, paired bootstrap" if tests == {"mcnemar"} and table.means else ""
    return f"p of languages: {said}, corrected by Holm over {len(table.languages)} languages{also}"


def _values(table: Table) -> Iterator[dict[str, object]]:
    cells = {**table.cells, **table.means}
    for (name, tag), cell in cells.items():
        low, high = cell.measured.interval
        row: dict[str, object] = {
            "evaluation": table.evaluation,
            "split": table.split,
            "score": table.score,
            "composition": name,
            "language": tag,
            "unseen": cell.unseen,
            "trainings": len(cell.trials) or table.trainings,
            "n": cell.n,
            "value": round(cell.measured.value, 6),
            "low": round(low, 6),
            "high": round(high, 6),
        }
        found = table.differences.get((name, tag))
        if found is not None:
            row |= {
                "against": table.against[name],
                "difference": round(found.value, 6),
                "difference_low": round(found.low, 6),
                "difference_high": round(found.high, 6),
                "p": round(found.p, 6),
                "test": found.test,
            }
        yield row


def _markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *body = ([cell.replace("|", "\\|").replace("*", "\\*") for cell in row] for row in rows)
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' --- |' * (len(head) - 1)}"
    for row in body:
        yield f"| {' | '.join(row)} |"


def _number(value: float) -> str:
    """Write a score as the field does.

    >>> _number(0.9312), _number(1.0), _number(-0.05)
    ('.931', '1.000', '-.050')
    """
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text
