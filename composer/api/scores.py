"""Scores of compositions, one row a composition and language."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from composer.api.showing import table_html
from composer.recipe.expansion.stages import Evaluate
from composer.report.layout import count, table_lines
from composer.report.shares import ShareRow, members_of, share_values
from composer.report.tables import Scored
from composer.train.results import ScoresFile


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one composition reached in one language.

    Attributes:
        composition: Its name.
        language: Of the examples.
        split: Which part of the data.
        n: How many examples.
        scores: By name, as "accuracy" and "macro-f1"; all that the task's type has.
        evaluation: Of the recipe; empty: of none.
        unseen: Whether no labels of this language were learnt; None: nobody asked.
        shares: For each fusion or gate, how much each member weighs on average.
    """

    composition: str
    language: str
    split: str
    n: int
    scores: Mapping[str, float]
    evaluation: str = ""
    unseen: bool | None = None
    shares: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True, repr=False)
class Scores(Sequence[Score]):
    """Scores in the order in which they were asked for; shows itself as a table.

    Attributes:
        rows: A score each.
    """

    rows: tuple[Score, ...]

    @overload
    def __getitem__(self, index: int) -> Score: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Score, ...]: ...
    def __getitem__(self, index: int | slice) -> Score | tuple[Score, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> list[dict[str, object]]:
        """Give a dictionary a row, flat, as `pandas.DataFrame` takes them."""
        return [
            {
                "evaluation": one.evaluation,
                "composition": one.composition,
                "language": one.language,
                "split": one.split,
                "unseen": one.unseen,
                **one.scores,
                "n": one.n,
            }
            for one in self.rows
        ]

    def __repr__(self) -> str:
        rows = list(self._table())
        return "\n".join(table_lines(rows, right=_right(rows))) if self.rows else "no scores"

    def _repr_html_(self) -> str:
        rows = list(self._table())
        return table_html(rows, right=_right(rows))

    def _table(self) -> Iterator[list[str]]:
        """Lay out rows, heads first; nothing is said of evaluations where there are none."""
        names = list(dict.fromkeys(name for one in self.rows for name in one.scores))
        of = ["evaluation"] if any(one.evaluation for one in self.rows) else []
        yield [*of, "composition", "language", *names, "n"]
        for one in self.rows:
            found = (one.scores.get(name) for name in names)
            cells = ["-" if value is None else f"{value:.3f}" for value in found]
            yield [
                *([one.evaluation] if of else []),
                one.composition,
                one.language + ("*" if one.unseen else ""),
                *cells,
                count(one.n),
            ]


def _right(rows: Sequence[Sequence[str]]) -> range:
    return range(rows[0].index("language") + 1, len(rows[0]))


def scores_of_run(scored: Iterable[Scored]) -> Scores:
    """Take what a run's report has read."""
    return Scores(
        tuple(
            _score(one.found, one.shares, evaluation=one.evaluation, unseen=one.unseen)
            for one in scored
        )
    )


def scores_of_stages(name: str, found: Iterable[tuple[Evaluate, ScoresFile]]) -> Scores:
    """Take what stages that score one composition have measured."""
    return Scores(
        tuple(
            _score(
                scores,
                ShareRow(
                    composition=name,
                    language=scores.language,
                    members=members_of(stage.composition),
                    found=scores.shares,
                ),
            )
            for stage, scores in found
        )
    )


def _score(
    found: ScoresFile, shares: ShareRow, *, evaluation: str = "", unseen: bool | None = None
) -> Score:
    return Score(
        composition=shares.composition,
        language=found.language,
        split=found.split,
        n=found.n,
        scores={str(name): value for name, value in found.scores.items()},
        evaluation=evaluation,
        unseen=unseen,
        shares=share_values(shares),
    )
