"""What the comparisons of a recipe have measured so far, read from the store.

    comparison -> methods (adapter shapes) x tasks -> a score a seed, its mean and deviation

What is not measured yet is None, with the number of stages that are open.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunResult
from composer.engine.storage.store import Store
from composer.recipe.expansion.comparing import Cell, cells
from composer.recipe.expansion.stages import TrainTask
from composer.recipe.expansion.trainings import task_settings
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.tasks import Score
from composer.recipe.sizes.fit import trainable_parameters
from composer.train.choosing import ChoiceFile, read_choice
from composer.train.results import read_scores, read_training

Found = Callable[[str], Path | None]  # folder of a stage's result, if it is done


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of several seeds.

    Attributes:
        by_seed: Of those that are measured.
    """

    by_seed: Mapping[int, float]

    @property
    def mean(self) -> float | None:
        """Give their mean; None: nothing is measured."""
        return statistics.fmean(self.by_seed.values()) if self.by_seed else None

    @property
    def deviation(self) -> float | None:
        """Give their sample standard deviation (n - 1); None: of fewer than two.

        >>> Scores(by_seed={1: 0.5, 2: 0.7}).deviation
        0.14142135623730948
        """
        values = list(self.by_seed.values())
        return statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One method on one task.

    Attributes:
        cell: The stages.
        score: Which score is compared.
        scores: Each the mean over the languages.
        choice: What was chosen from what; None: not yet, or nothing was to be chosen.
        head: Parameters of the head; None: not known yet.
        open: How many of the stages are to be made.
    """

    cell: Cell
    score: Score
    scores: Scores
    choice: ChoiceFile | None
    head: int | None
    open: int


@dataclass(frozen=True, kw_only=True)
class Method:
    """One adapter shape of a comparison.

    Attributes:
        name: Of the shape.
        shape: The adapter.
        parameters: That it trains, without norms and heads; None: the backbone is not known yet.
        norms: Parameters of trained norms, likewise.
        share: Of the backbone's parameters.
    """

    name: str
    shape: AdapterShape
    parameters: int | None
    norms: int | None
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One comparison, as far as it is measured.

    Attributes:
        name: In the recipe.
        split: Which part of the data is scored.
        methods: In the order of the recipe.
        tasks: In the order of the recipe.
        measured: Method and task -> what was measured.
    """

    name: str
    split: str
    methods: tuple[Method, ...]
    tasks: tuple[str, ...]
    measured: Mapping[tuple[str, str], Measured]

    @property
    def open(self) -> int:
        """Count the stages that are to be made."""
        return sum(one.open for one in self.measured.values())

    @property
    def stages(self) -> int:
        """Count all stages."""
        return sum(len(one.cell.stages) for one in self.measured.values())

    def average(self, method: str) -> Scores:
        """Average a method over the tasks, seed by seed; empty until all of them are measured."""
        rows = [self.measured[method, task] for task in self.tasks]
        seeds = rows[0].cell.seeds
        if any(len(one.scores.by_seed) < len(seeds) for one in rows):
            return Scores(by_seed={})
        return Scores(
            by_seed={
                seed: statistics.fmean(one.scores.by_seed[seed] for one in rows) for seed in seeds
            }
        )


def read_comparisons(
    recipe: Recipe, plan: Plan, store: Store, *, result: RunResult | None = None
) -> list[Comparison]:
    """Read all comparisons of a recipe.

    Args:
        recipe: That was planned.
        plan: Of all its stages.
        store: Of results.
        result: Of a run of the plan, whose results are newer than the plan.
    """

    def found(name: str) -> Path | None:
        if result is not None and name in result.results:
            return result.results[name].folder
        planned = plan.by_name[name]
        return store.find(planned.key) if planned.state == "done" and planned.key else None

    every = list(cells(recipe))
    return [
        _comparison(recipe, plan, [one for one in every if one.comparison == name], found)
        for name in recipe.compare
    ]


def _comparison(recipe: Recipe, plan: Plan, mine: list[Cell], found: Found) -> Comparison:
    names = dict.fromkeys(one.adapter for one in mine)
    methods = {
        name: _method(recipe, plan, next(one for one in mine if one.adapter == name))
        for name in names
    }
    return Comparison(
        name=mine[0].comparison,
        split=mine[0].split,
        methods=tuple(methods.values()),
        tasks=tuple(dict.fromkeys(one.task for one in mine)),
        measured={
            (one.adapter, one.task): _measured(recipe, one, methods[one.adapter], found)
            for one in mine
        },
    )


def _method(recipe: Recipe, plan: Plan, cell: Cell) -> Method:
    shape = recipe.adapters[cell.adapter]
    whole, bare = _parameters(plan, cell, shape), _parameters(plan, cell, without_norms(shape))
    return Method(
        name=cell.adapter,
        shape=shape,
        parameters=bare,
        norms=None if whole is None or bare is None else whole - bare,
        share=None if bare is None or not plan.parameters else bare / plan.parameters,
    )


def without_norms(shape: AdapterShape) -> AdapterShape:
    """Give the same adapter without norms of its own, where its kind can have them."""
    if "train_norm" not in type(shape).model_fields:
        return shape
    return shape.model_copy(update={"train_norm": False})


def _parameters(plan: Plan, cell: Cell, shape: AdapterShape) -> int | None:
    """Count what is trained apart from the head, as the plan counts it."""
    stage = plan.by_name[next(iter(cell.stages))].stage
    if not isinstance(stage, TrainTask) or plan.shape is None:
        return None
    stage = replace(stage, shape=shape)
    return trainable_parameters(stage, backbone=plan.shape, shapes={stage.name: shape})


def _measured(recipe: Recipe, cell: Cell, method: Method, found: Found) -> Measured:
    score = task_settings(recipe.tasks[cell.task]).score
    by_seed: dict[int, float] = {}
    for seed in cell.seeds:
        folders = [found(cell.score(seed, tag)) for tag in cell.languages]
        values = [read_scores(one).scores[score] for one in folders if one]
        if len(values) == len(folders):
            by_seed[seed] = statistics.fmean(values)
    choice = found(cell.choice) if cell.chooses else None
    return Measured(
        cell=cell,
        score=score,
        scores=Scores(by_seed=by_seed),
        choice=read_choice(choice) if choice else None,
        head=_head(cell, method, found),
        open=sum(found(name) is None for name in cell.stages),
    )


def _head(cell: Cell, method: Method, found: Found) -> int | None:
    """Count the head: what a training counted itself, without the adapter and its norms."""
    folder = next((at for seed in cell.seeds if (at := found(cell.result(seed)))), None)
    if folder is None or method.parameters is None or method.norms is None:
        return None
    return read_training(folder).trainable_parameters - method.parameters - method.norms
