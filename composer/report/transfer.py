"""How well compositions do in each language, and how sure that is: from stored evaluations.

    Table("far", "accuracy")    composition x language -> value, interval, examples, trainings

Compositions of an evaluation that are scored alike on the same data make one table. Beside them
stands `majority`, the best that an answer can do that is always the same: the commonest label,
no span, any one number. What is not evaluated yet is left out, and counted as open.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from composer.data.predictions import Value
from composer.errors import Fault, RecipeError, did_you_mean
from composer.recipe.expansion.stages import WITHOUT_LANGUAGE
from composer.recipe.grammar.tasks import Score
from composer.report.evaluated import Evaluated, data_digest, read_judged

if TYPE_CHECKING:
    from composer.train.resampling import Difference, Judged, Measured

MAJORITY = "majority"
MEAN, UNSEEN = "mean", "unseen"  # in the place of a language: over all, over those without labels
SEED = 13  # of the resamples
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One composition in one language, or its mean over several.

    Attributes:
        measured: Its score, with what resampling says of it.
        n: Examples; of a mean, of all languages.
        unseen: Whether no labels of the language were learnt.
        trials: What each training predicted; none for a mean.
        digest: Of what was scored; empty for a mean.
    """

    measured: "Measured"
    n: int
    unseen: bool
    trials: tuple["Judged", ...] = ()
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One score of the compositions that are scored on the same data.

    Attributes:
        evaluation: Its name.
        score: Which score.
        split: Which part of the data.
        compositions: In the order of the recipe, a baseline behind its composition.
        languages: In the order of the recipe.
        cells: Composition and language -> what was measured; `majority` is a composition too.
        trainings: How many seeds there are, at most.
        against: Composition -> what it is compared with.
    """

    evaluation: str
    score: Score
    split: str
    compositions: tuple[str, ...]
    languages: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    trainings: int
    against: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def unseen(self) -> tuple[str, ...]:
        """List the languages that no composition here learnt labels of."""
        seen = {tag for (name, tag), cell in self.cells.items()
                if name != MAJORITY and not cell.unseen}  # fmt: skip
        return tuple(tag for tag in self.languages if tag not in seen)

    @cached_property
    def means(self) -> dict[tuple[str, str], Cell]:
        """Average what is scored in all languages, and in all unseen ones."""
        found = {}
        for name in (*self.compositions, MAJORITY):
            for what, tags in ((MEAN, self.languages), (UNSEEN, self.unseen)):
                rows = [self.cells[name, tag] for tag in tags if (name, tag) in self.cells]
                if len(rows) == len(tags) > 1:
                    found[name, what] = _mean(rows)
        return found

    @cached_property
    def differences(self) -> dict[tuple[str, str], "Difference"]:
        """Compare each composition with what it is compared with: by language, and the means.

        The p of languages are corrected by Holm's method, over the languages of a composition.
        """
        found: dict[tuple[str, str], Difference] = {}
        for name, other in self.against.items():
            ps = {}
            for tag in self.languages:
                pair = self.cells.get((name, tag)), self.cells.get((other, tag))
                if pair[0] is not None and pair[1] is not None:
                    found[name, tag] = _difference(self.score, pair[0], pair[1])
                    ps[tag] = found[name, tag].p
            from composer.train.resampling import difference, holm

            for tag, p in holm(ps).items():
                found[name, tag] = replace(found[name, tag], p=p)
            for what in (MEAN, UNSEEN):
                if (name, what) in self.means and (other, what) in self.means:
                    one, base = self.means[name, what], self.means[other, what]
                    found[name, what] = difference(one.measured, base.measured)
        return found


def make_tables(
    evaluated: Sequence[Evaluated], *, against: str | None = None, resamples: int = RESAMPLES
) -> list[Table]:
    """Measure what is evaluated.

    Args:
        evaluated: In the order of the recipe.
        against: The composition that others are compared with. None: each is compared with its
            own baseline without the language's adapter, where there is one.
        resamples: How many, for intervals and tests.

    Raises:
        RecipeError: Nothing is evaluated, or `against` is not.
    """
    groups: dict[tuple[str, ...], list[Evaluated]] = {}
    for one in evaluated:
        if one.results:
            groups.setdefault(one.same_data, []).append(one)
    if not groups:
        message = "none is made yet; carry the recipe out with `composer run` first"
        raise RecipeError([Fault("evaluations", message)])
    known = dict.fromkeys(one.composition for group in groups.values() for one in group)
    if against is not None and against not in known:
        message = f"no composition {against!r} is evaluated; {did_you_mean(against, known)}"
        raise RecipeError([Fault("--against", message)])
    return [_table(group, against, resamples) for group in groups.values()]


def _table(group: Sequence[Evaluated], against: str | None, resamples: int) -> Table:
    languages = tuple(dict.fromkeys(one.language for one in group))
    compositions = tuple(dict.fromkeys(one.composition for one in group))
    cells: dict[tuple[str, str], Cell] = {}
    for tag in languages:  # the draws of a language are made once
        for one in (one for one in group if one.language == tag):
            cells[one.composition, tag] = cell = _cell(one, resamples)
            if (MAJORITY, tag) not in cells:
                cells[MAJORITY, tag] = _majority(one, cell, resamples)
    return Table(
        evaluation=group[0].evaluation,
        score=group[0].score,
        split=group[0].stage.split,
        compositions=compositions,
        languages=languages,
        cells=cells,
        trainings=max(len(one.results) for one in group),
        against=_pairs(compositions, against),
    )


def _pairs(compositions: Sequence[str], against: str | None) -> dict[str, str]:
    """Say what each composition is compared with."""
    if against is not None:
        return {
            name: against for name in compositions if against in compositions and name != against
        }
    bare = {name: f"{name}{WITHOUT_LANGUAGE}" for name in compositions}
    return {name: other for name, other in bare.items() if other in compositions}


def _cell(one: Evaluated, resamples: int) -> Cell:
    from composer.train.resampling import measure

    trials = tuple(map(read_judged, one.results.values()))
    return Cell(
        measured=measure(one.score, trials, language=one.language, seed=SEED, resamples=resamples),
        n=len(trials[0].gold),
        unseen=one.unseen,
        trials=trials,
        digest=data_digest(next(iter(one.results.values()))),
    )


def _majority(one: Evaluated, cell: Cell, resamples: int) -> Cell:
    """Score the answer that is always the same and most often right."""
    from composer.train.resampling import Judged, measure

    gold: Sequence[Value] = cell.trials[0].gold  # type: ignore[assignment]
    answer: Value = ()
    if one.score != "span-f1":
        counts = Counter(gold)
        answer = min(counts, key=lambda value: (-counts[value], str(value)))
    trial = Judged(predictions=[answer] * len(gold), gold=cell.trials[0].gold)  # type: ignore[arg-type]
    found = measure(one.score, [trial], language=one.language, seed=SEED, resamples=resamples)
    return replace(cell, measured=found, trials=(trial,))


def _mean(rows: Sequence[Cell]) -> Cell:
    from composer.train.resampling import mean_of

    return Cell(
        measured=mean_of([one.measured for one in rows]),
        n=sum(one.n for one in rows),
        unseen=all(one.unseen for one in rows),
    )


def _difference(score: Score, one: Cell, other: Cell) -> "Difference":
    """Compare two in one language; McNemar's test says more than resamples where it fits."""
    from composer.train.resampling import difference, mcnemar

    if one.digest != other.digest:
        message = "two compositions were scored on different examples; evaluate both again"
        raise RecipeError([Fault("evaluations", message)])
    found = difference(one.measured, other.measured)
    if score in ("accuracy", "exact-match") and len(one.trials) == len(other.trials) == 1:
        return replace(found, p=mcnemar(one.trials[0], other.trials[0]), test="mcnemar")
    return found
