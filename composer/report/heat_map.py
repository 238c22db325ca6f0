"""The transfer matrix as a picture: compositions x languages, each cell with its number.

One colour from pale to dark says a score; the number is on it, and a star where no labels of the
language were learnt. The means stand behind a gap. The same tables give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composer.errors import MissingExtraError
from composer.report.pictures import STYLE
from composer.report.transfer import MAJORITY, MEAN, UNSEEN, Cell, Table

Axes = Any  # matplotlib's, which tests and type checks do without

_CELL = (0.46, 0.34)  # inches
_MARGIN = (1.9, 1.0)  # inches, for names and titles
_COLOURS = "cividis"  # read alike by those who see no red or no green
_NAMES = {MEAN: "mean", UNSEEN: "mean of *"}


def draw_heat_map(tables: Sequence[Table], path: Path) -> None:
    """Draw all tables under each other into an SVG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            library="matplotlib", needed_for="drawing a heat map", extra="pictures"
        ) from error
    columns = max(len(_columns(table)) for table in tables)
    rows = [len(table.compositions) + 1 for table in tables]
    size = (_MARGIN[0] + _CELL[0] * columns, sum(_MARGIN[1] + _CELL[1] * one for one in rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(tables), 1, squeeze=False, height_ratios=rows)
        for table, at in zip(tables, axes.flat, strict=True):
            _draw(at, table)
        figure.savefig(
            path, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )


def _columns(table: Table) -> list[str]:
    """List what stands side by side: the languages, and behind a gap the means."""
    means = [what for what in (MEAN, UNSEEN) if any(one == what for _, one in table.means)]
    if UNSEEN in means and len(table.unseen) == len(table.languages):
        means.remove(UNSEEN)
    return [*table.languages, *(["", *means] if means else [])]


def _draw(at: Axes, table: Table) -> None:
    names, columns = (*table.compositions, MAJORITY), _columns(table)
    cells = {**table.cells, **table.means}
    values = [[_value(cells.get((name, column))) for column in columns] for name in names]
    image = at.pcolormesh(values, cmap=_COLOURS, vmin=0.0, vmax=1.0, edgecolors="none")
    for y, name in enumerate(names):
        for x, column in enumerate(columns):
            cell = cells.get((name, column))
            if cell is not None:
                _write(
                    at,
                    x,
                    y,
                    cell,
                    starred=cell.unseen and name != MAJORITY and column in table.languages,
                )
    marked = [f"{one}*" if one in table.unseen else _NAMES.get(one, one) for one in columns]
    slanted = {"rotation": 90} if max(map(len, marked)) > 5 or len(marked) > 12 else {}
    at.set_xticks([x + 0.5 for x in range(len(columns))], marked, **slanted)
    at.set_yticks([y + 0.5 for y in range(len(names))], names)
    at.invert_yaxis()
    at.tick_params(length=0)
    at.spines[:].set_visible(False)
    at.set_title(f"{table.evaluation}: {table.score}", fontsize=9)
    at.figure.colorbar(image, ax=at, shrink=0.8, pad=0.01).outline.set_visible(False)


def _value(cell: Cell | None) -> float:
    return float("nan") if cell is None else cell.measured.value


def _write(at: Axes, x: int, y: int, cell: Cell, *, starred: bool) -> None:
    value = cell.measured.value
    said = f"{value:.2f}".replace("0.", ".", 1) + ("*" if starred else "")
    ink = "black" if value > 0.55 else "white"
    at.text(x + 0.5, y + 0.5, said, ha="center", va="center", fontsize=7, color=ink)
