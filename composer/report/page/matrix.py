"""Heat maps as tables: each cell has a colour and its number, so that it can be read and copied.

             en            de            fi*          mean
intent   .931           .480           .310           .574
         .90 to .96     .45 to .51     .27 to .35     .55 to .60
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from composer.recipe.expansion.languages import NO_ADAPTER
from composer.report.evaluated import Evaluated
from composer.report.language_losses import Loss, lowest
from composer.report.layout import count
from composer.report.page.facts import Facts
from composer.report.page.palette import level
from composer.report.transfer import MAJORITY, MEAN, UNSEEN, Cell, Table

ACROSS = 8  # languages that stand side by side; more stand under each other
_ROWS, _LONG = 22, 30  # of a block, and of a table that is cut into blocks
_LEAST_SPAN = 0.2  # of scores from pale to dark, so that chance looks like chance
_NAMES = {MEAN: "mean", UNSEEN: "mean of *", MAJORITY: "majority"}


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """One cell.

    Attributes:
        said: Its number.
        level: Of its colour; None: without one.
        under: What is said below, smaller.
        strong: Whether it stands out.
        missing: Whether it is to be measured yet.
    """

    said: str
    level: int | None = None
    under: str = ""
    strong: bool = False
    missing: bool = False


Rows = tuple[tuple[str, tuple[HeatCell, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A heat map.

    Attributes:
        title: What is shown.
        corner: What rows are and columns are.
        columns: Heads.
        rows: Head -> cells, one a column.
        low: What the palest colour stands for.
        high: What the strongest one stands for.
        notes: Sentences below.
        missing: Stages that open cells wait for.
    """

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: Rows
    low: str
    high: str
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    spans: tuple[tuple[str, int], ...] = ()

    @property
    def blocks(self) -> tuple[Rows, ...]:
        """Cut many rows into blocks of about the same height, which stand side by side."""
        number = -(-len(self.rows) // _ROWS) if len(self.rows) > _LONG else 1
        high = -(-len(self.rows) // number) if self.rows else 1
        return tuple(self.rows[at : at + high] for at in range(0, len(self.rows), high))


def fraction(value: float) -> str:
    """Write a score or a share as tables of scores do.

    >>> fraction(0.6394), fraction(1.0), fraction(-0.12), fraction(-0.0001)
    ('.639', '1.000', '-.120', '.000')
    """
    said = f"{value:.3f}".replace("0.", ".", 1)
    return said.removeprefix("-") if said == "-.000" else said


def score_matrices(facts: Facts) -> Iterator[Matrix]:
    """Lay out the scores of every table, and what is still open of it."""
    planned: dict[tuple[str, ...], list[Evaluated]] = {}
    for one in facts.evaluated:
        planned.setdefault(one.same_data, []).append(one)
    stored = dict.fromkeys(one.same_data for one in facts.evaluated if one.results)
    for table, same in zip(facts.tables, stored, strict=True):
        yield _score_matrix(table, planned[same])


def unscored(facts: Facts) -> list[str]:
    """List the evaluations of tables of which nothing is stored."""
    stored = {one.same_data for one in facts.evaluated if one.results}
    return [one.stage.name for one in facts.evaluated if one.same_data not in stored]


def _score_matrix(table: Table, planned: Sequence[Evaluated]) -> Matrix:
    cells = {**table.cells, **table.means}
    low, high = score_span(cell.measured.value for cell in cells.values())
    names = (*dict.fromkeys(one.composition for one in planned), MAJORITY)
    tags = tuple(dict.fromkeys(one.language for one in planned))
    columns = (*tags, *_means(table))
    best = {tag: _best(table, cells, tag) for tag in columns}

    def cell(name: str, tag: str) -> HeatCell:
        return _score_cell(cells.get((name, tag)), low, high, strong=best[tag] == name)

    seen = {one.language for one in planned if not one.unseen}
    heads = {tag: _NAMES.get(tag, tag if tag in seen else f"{tag}*") for tag in columns}
    said = {name: _NAMES.get(name, name) for name in names}
    by_language = len(tags) > ACROSS
    if by_language:  # of many rows, the means come first
        order = (*columns[len(tags) :], *tags)
        rows = tuple((heads[tag], tuple(cell(name, tag) for name in names)) for tag in order)
    else:
        rows = tuple((said[name], tuple(cell(name, tag) for tag in columns)) for name in names)
    return Matrix(
        title=f"{table.evaluation}: {table.score} on the {table.split} split",
        corner="language" if by_language else "composition",
        columns=tuple((said if by_language else heads).values()),
        rows=rows,
        low=fraction(low),
        high=fraction(high),
        notes=tuple(_score_notes(table, starred=seen < set(tags), whole=len(tags))),
        missing=tuple(one.stage.name for one in planned if not one.results),
    )


def _means(table: Table) -> list[str]:
    """List the means that say something: that of unseen languages may be that of all."""
    means = [what for what in (MEAN, UNSEEN) if any(one == what for _, one in table.means)]
    if len(table.unseen) == len(table.languages):
        means = [one for one in means if one != UNSEEN]
    return means


def score_span(values: Iterable[float]) -> tuple[float, float]:
    """Say from where to where colours go: tenths around the scores.

    >>> score_span([0.31, 0.58]), score_span([0.97, 0.98])
    ((0.3, 0.6), (0.8, 1.0))
    """
    known = [one for one in values if math.isfinite(one)] or [0.0, 1.0]
    low, high = math.floor(10 * min(known) + 1e-9) / 10, math.ceil(10 * max(known) - 1e-9) / 10
    if high - low < _LEAST_SPAN:
        high = min(max(1.0, high), low + _LEAST_SPAN)
        low = round(min(low, high - _LEAST_SPAN), 1)
    return low, high


def _best(table: Table, cells: Mapping[tuple[str, str], Cell], tag: str) -> str | None:
    """Name the composition with the highest score in a column; None: there is but one."""
    found = {name: cells[name, tag].measured.value for name in table.compositions
             if (name, tag) in cells}  # fmt: skip
    return max(found, key=lambda name: found[name]) if len(found) > 1 else None


def _score_cell(cell: Cell | None, low: float, high: float, *, strong: bool) -> HeatCell:
    if cell is None:
        return HeatCell(said="-", missing=True)
    value = cell.measured.value
    least, most = (f"{one:.2f}".replace("0.", ".", 1) for one in cell.measured.interval)
    return HeatCell(
        said=fraction(value),
        level=level(value, low, high),
        under=f"{least}\N{EN DASH}{most}",
        strong=strong,
    )


def _score_notes(table: Table, *, starred: bool, whole: int) -> Iterator[str]:
    seeds = f" and {table.trainings} trainings" if table.trainings > 1 else ""
    yield f"Below each score: 95 % bootstrap interval over its examples{seeds}."
    yield "Bold: the highest of its language. Majority: always the commonest answer."
    if starred:
        yield "* No labels of this language were learnt by any of these."
    if len(table.languages) < whole and table.means:
        yield f"Means are over the {len(table.languages)} of {whole} languages that are scored."
    sizes = sorted({cell.n for (_, tag), cell in table.cells.items() if tag in table.languages})
    span = count(sizes[0]) if len(sizes) == 1 else f"{count(sizes[0])} to {count(sizes[-1])}"
    yield f"Examples a language: {span}."


def loss_matrix(losses: Sequence[Loss]) -> Matrix | None:
    """Lay out masked-LM losses, adapters by languages; None: there are none."""
    if not losses:
        return None
    best = lowest(losses)
    values = [one.found.loss for one in losses if math.isfinite(one.found.loss)] or [0.0]
    low, high = min(values), max(values)
    by = {(one.adapter, one.found.language): one.found.loss for one in losses}
    tags = tuple(dict.fromkeys(one.found.language for one in losses))

    def cell(adapter: str, tag: str) -> HeatCell:
        if (adapter, tag) not in by:
            return HeatCell(said="-", missing=True)
        loss = by[adapter, tag]
        return HeatCell(
            said=f"{loss:.3f}", level=level(-loss, -high, -low), strong=best[tag] == adapter
        )

    adapters = dict.fromkeys(one.adapter for one in losses)
    return Matrix(
        title=f"Masked-LM loss on the {losses[0].found.split} text, in nats a hidden piece",
        corner="adapter",
        columns=tags,
        rows=tuple(
            ("no adapter" if name == NO_ADAPTER else name, tuple(cell(name, tag) for tag in tags))
            for name in adapters
        ),
        low=f"{high:.3f}",  # as of scores, what is better is stronger
        high=f"{low:.3f}",
        notes=("Lower is better. Bold: the lowest of its language.",),
    )
