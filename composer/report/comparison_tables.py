"""Comparisons as people and machines read them: a table, Markdown, CSV and JSON.

main: test  cola matthews          sts pearson        mean           #P         share   norms
thin        0.512 ± 0.011          0.861 ± 0.002      0.687 ± 0.006  2,379,264  2.17 %  36,864
deep        0.530 (3 stages open)  - (9 stages open)  -              1,224,192  1.12 %  36,864
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence

from composer.report.comparison import Comparison, Measured, Method, Scores
from composer.report.layout import count, number_of, table_lines
from composer.train.choosing import ChoiceFile

Rows = list[list[str]]
_NUMBERS = ["#P", "share", "norms"]  # the last columns, aligned to the right


def comparison_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Lay out comparisons for a terminal."""
    return _laid_out(comparisons, _plain_table)


def markdown_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Write comparisons as Markdown."""
    return _laid_out(comparisons, _markdown_table)


def csv_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Write a line for every method, task and seed that is measured."""
    head = ["comparison", "split", "method", "task", "score", "seed", "value", "chosen",
            "parameters", "share", "norms", "head"]  # fmt: skip
    rows: list[list[object]] = [[*head]]
    for comparison in comparisons:
        for (method, task), one in comparison.measured.items():
            about = next(each for each in comparison.methods if each.name == method)
            for seed, value in one.scores.by_seed.items():
                chosen = one.choice.chosen if one.choice else ""
                rows.append([comparison.name, comparison.split, method, task, one.score, seed,
                             value, chosen, about.parameters, about.share, about.norms,
                             one.head])  # fmt: skip
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return iter(text.getvalue().splitlines())


WRITERS: Mapping[str, Callable[[Sequence[Comparison]], Iterator[str]]] = {
    "table": comparison_lines,
    "markdown": markdown_lines,
    "csv": csv_lines,
}


def comparison_values(comparisons: Sequence[Comparison]) -> list[dict[str, object]]:
    """Give comparisons as JSON has them."""
    return [
        {
            "name": one.name,
            "split": one.split,
            "open": one.open,
            "stages": one.stages,
            "methods": {method.name: _method_values(one, method) for method in one.methods},
        }
        for one in comparisons
    ]


def _method_values(comparison: Comparison, method: Method) -> dict[str, object]:
    return {
        "parameters": method.parameters,
        "norms": method.norms,
        "share": method.share,
        "mean": _scores_values(comparison.average(method.name)),
        "tasks": {
            task: {
                "score": one.score,
                **_scores_values(one.scores),
                "seeds": {str(seed): value for seed, value in one.scores.by_seed.items()},
                "head": one.head,
                "open": one.open,
                "choice": one.choice.model_dump(mode="json") if one.choice else None,
            }
            for task in comparison.tasks
            for one in [comparison.measured[method.name, task]]
        },
    }


def _scores_values(scores: Scores) -> dict[str, float | None]:
    return {"mean": scores.mean, "deviation": scores.deviation}


def _laid_out(
    comparisons: Sequence[Comparison], table: Callable[[Rows], Iterator[str]]
) -> Iterator[str]:
    for number, one in enumerate(comparisons):
        if number:
            yield ""
        yield from table(score_rows(one))
        yield ""
        yield told_of(one)
        if chosen := _chosen_rows(one):
            yield ""
            yield from table(chosen)


def _plain_table(rows: Rows) -> Iterator[str]:
    yield from table_lines(rows, right=_numbers(rows))


def _markdown_table(rows: Rows) -> Iterator[str]:
    head, *others = rows
    yield f"| {' | '.join(head)} |"
    numbers = _numbers(rows)
    yield f"|{'|'.join(' ---: ' if at in numbers else ' --- ' for at in range(len(head)))}|"
    for row in others:
        yield f"| {' | '.join(row)} |"


def _numbers(rows: Rows) -> range:
    head = rows[0]
    return range(
        len(head) - (len(_NUMBERS) if head[-len(_NUMBERS) :] == _NUMBERS else 0), len(head)
    )


def score_rows(comparison: Comparison) -> Rows:
    """Give the scores as cells, a row a method; the first row are the heads."""
    one = comparison.methods[0].name
    tasks = [f"{task} {comparison.measured[one, task].score}" for task in comparison.tasks]
    mean = ["mean"] if len(tasks) > 1 else []
    rows = [[f"{comparison.name}: {comparison.split}", *tasks, *mean, *_NUMBERS]]
    for method in comparison.methods:
        cells = [_cell(comparison.measured[method.name, task]) for task in comparison.tasks]
        average = [_score(comparison.average(method.name))] if mean else []
        share = "unknown" if method.share is None else f"{method.share:.2%}".replace("%", " %")
        norms = "-" if method.norms == 0 else count(method.norms)
        rows.append([method.name, *cells, *average, count(method.parameters), share, norms])
    return rows


def _cell(one: Measured) -> str:
    left = f" ({number_of(one.open, 'stage')} open)" if one.open else ""
    return f"{_score(one.scores)}{left}"


def _score(scores: Scores) -> str:
    """Write a mean and its deviation.

    >>> _score(Scores(by_seed={1: 0.5, 2: 0.7})), _score(Scores(by_seed={})), _score(
    ...     Scores(by_seed={1: 0.5}))
    ('0.600 ± 0.141', '-', '0.500')
    """
    if scores.mean is None:
        return "-"
    spread = "" if scores.deviation is None else f" ± {scores.deviation:.3f}"
    return f"{scores.mean:.3f}{spread}"


def told_of(comparison: Comparison) -> str:
    """Say what the numbers are."""
    cell = next(iter(comparison.measured.values())).cell
    several = len(cell.seeds) > 1
    said = [
        f"mean and sample standard deviation of {len(cell.seeds)} seeds" if several else "one seed",
        "#P: trainable parameters without norms and heads; share: of the backbone's",
    ]
    if cell.chooses:
        said.insert(1, f"settings chosen from {len(cell.points)} by validation score")
    if comparison.open:
        said.append(f"{comparison.open} of {number_of(comparison.stages, 'stage')} are open")
    return "; ".join(said)


def _chosen_rows(comparison: Comparison) -> Rows:
    """List what was chosen; empty where nothing was, or is not yet."""
    if not any(one.choice for one in comparison.measured.values()):
        return []
    rows = [[f"{comparison.name}: chosen", *comparison.tasks]]
    for method in comparison.methods:
        found = [comparison.measured[method.name, task].choice for task in comparison.tasks]
        rows.append([method.name, *(_chosen(one) if one else "-" for one in found)])
    return rows


def _chosen(choice: ChoiceFile) -> str:
    """Write what was chosen, as far as there was another value of it."""
    tried = [one.settings for one in choice.trials]
    return ", ".join(
        f"{name} {value}"
        for name, value in choice.settings.items()
        if any(other[name] != value for other in tried)
    )
