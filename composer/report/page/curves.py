"""Loss and validation score, epoch by epoch, of every training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.report.page.charts import LineChart, line_chart
from composer.report.page.facts import Facts
from composer.report.page.groups import group_title, grouped, kind_of, short_name
from composer.train.results import TrainingFile

_FROM_TEXT = ("language", "language-head")  # their score is minus the held-out loss


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The trainings of a group.

    Attributes:
        title: What they are.
        charts: Those that have something to show.
        number: Of trainings.
        missing: Stages of it that are not done.
    """

    title: str
    charts: tuple[LineChart, ...]
    number: int
    missing: tuple[str, ...]


def curves(facts: Facts) -> Iterator[Curves]:
    """Draw the trainings, group by group."""
    for title, names in grouped(facts.plan.by_name).items():
        found = {name: facts.trainings[name] for name in names if name in facts.trainings}
        if found:
            drawn = (_losses(found), _scores(found))
            yield Curves(
                title=title,
                charts=tuple(one for one in drawn if one is not None),
                number=len(found),
                missing=tuple(name for name in names if name not in facts.folders),
            )


def _losses(found: Mapping[str, TrainingFile]) -> LineChart | None:
    series = {_label(name): _values(one, "loss") for name, one in found.items()}
    return line_chart("Training loss", series, x_label="epoch")


def _scores(found: Mapping[str, TrainingFile]) -> LineChart | None:
    from_text = any(kind_of(name) in _FROM_TEXT for name in found)
    series = {
        _label(name): _values(one, "score", sign=-1.0 if from_text else 1.0)
        for name, one in found.items()
    }
    title = "Held-out loss" if from_text else "Validation score"
    return line_chart(title, series, x_label="epoch")


def _label(stage: str) -> str:
    """Name a line; of a comparison's, its own name stands above.

    >>> _label("task/intent"), _label("repeat/main/thin/cola/2")
    ('intent', 'thin/cola/2')
    """
    name = short_name(stage)
    return name.partition("/")[2] if group_title(stage).startswith("Comparison") else name


def _values(one: TrainingFile, name: str, *, sign: float = 1.0) -> list[tuple[float, float]]:
    return [
        (float(epoch), sign * value)
        for epoch, entry in enumerate(one.history, start=1)
        if (value := entry.get(name)) is not None
    ]
