"""Scores against parameters: of what each composition needs, and of a comparison's methods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from composer.recipe.expansion.stages import Evaluate
from composer.report.comparison import Comparison, Scores
from composer.report.evaluated import Evaluated
from composer.report.layout import count
from composer.report.page.charts import Dot, ScatterChart, scatter_chart
from composer.report.page.facts import Facts
from composer.report.page.matrix import fraction
from composer.report.transfer import MEAN, Cell, Table

_BESIDE = "trained parameters that act"
_COMPARED = "trained parameters, without norms and heads"


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """A chart, and the same as a table.

    Attributes:
        chart: Of two points or more.
        rows: Name, parameters, score.
        score: Which one.
    """

    chart: ScatterChart
    rows: tuple[tuple[str, str, str], ...]
    score: str


def scatters(facts: Facts) -> Iterator[Scatter]:
    """Draw every table of scores, then every comparison, as far as there are two points."""
    for table in facts.tables:
        dots = list(_compositions(facts, table))
        title = f"{table.evaluation}: {table.score}"
        yield from _scatter(title, dots, table.score, _BESIDE)
    for comparison in facts.comparisons:
        for panel in (*comparison.tasks, *(["mean"] if len(comparison.tasks) > 1 else [])):
            score = "score"
            if panel in comparison.tasks:
                score = comparison.measured[comparison.methods[0].name, panel].score
            title = f"{comparison.name}: {panel}, {score}"
            yield from _scatter(title, list(_methods(comparison, panel)), score, _COMPARED)


def _scatter(title: str, dots: Sequence[Dot], score: str, x_label: str) -> Iterator[Scatter]:
    chart = scatter_chart(title, dots, x_label=x_label)
    if chart is not None:
        rows = tuple((one.name, count(round(one.x)), one.said) for one in dots)
        yield Scatter(chart=chart, rows=rows, score=score)


def _compositions(facts: Facts, table: Table) -> Iterator[Dot]:
    for name in table.compositions:
        cell = table.means.get((name, MEAN))
        if cell is None and len(table.languages) == 1:
            cell = table.cells.get((name, table.languages[0]))
        sizes = [
            size
            for one in facts.evaluated
            if (one.evaluation, one.composition) == (table.evaluation, name) and one.results
            if (size := _acting(facts, one)) is not None
        ]
        if cell is not None and sizes:
            yield _dot(name, sum(sizes) / len(sizes), cell)


def _dot(name: str, parameters: float, cell: Cell) -> Dot:
    low, high = cell.measured.interval
    value = cell.measured.value
    said = f"{fraction(value)} [{fraction(low)}, {fraction(high)}]"
    return Dot(name=name, x=parameters, y=value, low=low, high=high, said=said)


def _acting(facts: Facts, one: Evaluated) -> int | None:
    """Count what acts beside the backbone: adapters with norms, and what the owner trained."""
    stage: Evaluate = one.stage
    total = 0
    for need in dict.fromkeys(stage.needs):
        cost = facts.plan.by_name[need].cost
        if need == stage.owner:
            number = cost.parameters
        else:
            trained = cost.trained
            number = None if trained is None or trained.adapter is None else (
                trained.adapter + trained.norms
            )  # fmt: skip
        if number is None:
            return None
        total += number
    return total


def _methods(comparison: Comparison, panel: str) -> Iterator[Dot]:
    for method in comparison.methods:
        found: Scores = comparison.average(method.name)
        if panel in comparison.tasks:
            found = comparison.measured[method.name, panel].scores
        if method.parameters and found.mean is not None:
            spread = found.deviation
            said = fraction(found.mean) + ("" if spread is None else f" ± {fraction(spread)}")
            low, high = (None, None) if spread is None else (found.mean - spread,
                                                             found.mean + spread)  # fmt: skip
            yield Dot(name=method.name, x=float(method.parameters), y=found.mean,
                      low=low, high=high, said=said)  # fmt: skip
