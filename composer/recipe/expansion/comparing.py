"""The stages of a comparison: trials, a choice, repeats with other seeds, and scores.

    compare: {main: {adapters: [thin], tasks: [cola], seeds: [1, 2],
                     grid: {learning_rate: [1.0e-4, 1.0e-3]}}}

    trial/main/thin/cola/learning_rate=0.0001    with seed 1
    trial/main/thin/cola/learning_rate=0.001     with seed 1
    choice/main/thin/cola                        the better one: also the result of seed 1
    repeat/main/thin/cola/2                      what was chosen, with seed 2
    evaluation/main/thin/cola/1/en
    evaluation/main/thin/cola/2/en

With one point there is nothing to choose, and every seed is a repeat.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from composer.recipe.expansion.proxies import bind_language
from composer.recipe.expansion.stages import (
    Choose,
    Evaluate,
    Setting,
    Stage,
    TrainTask,
    Trial,
)
from composer.recipe.expansion.trainings import data_use, task_settings, task_stage
from composer.recipe.grammar.composition import adapter_names
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.meaning import composition_of_task
from composer.recipe.grammar.schema import Methods, Recipe
from composer.recipe.grammar.training import Grid, Training, TrainingChanges


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One adapter on one task: a place in the table that a comparison ends with.

    Attributes:
        comparison: Its name.
        adapter: Name of the shape.
        task: Its name.
        seeds: In order; the trials have the first one.
        points: What is tried, by name; one: there is nothing to choose.
        languages: Where it is scored.
        split: Which part of the data is scored.
    """

    comparison: str
    adapter: str
    task: str
    seeds: tuple[int, ...]
    points: Mapping[str, Mapping[str, Setting]]
    languages: tuple[str, ...]
    split: Split

    @property
    def chooses(self) -> bool:
        """Say whether there is anything to choose."""
        return len(self.points) > 1

    @property
    def choice(self) -> str:
        """Name the stage that chooses, where one does."""
        return f"choice/{self._where}"

    def trial(self, point: str) -> str:
        """Name the stage that trains one point with the first seed."""
        return f"trial/{self._where}/{point}"

    def result(self, seed: int) -> str:
        """Name the stage whose weights are scored for one seed."""
        if self.chooses and seed == self.seeds[0]:
            return self.choice
        return f"repeat/{self._where}/{seed}"

    def score(self, seed: int, language: str) -> str:
        """Name the stage that scores one seed in one language."""
        return f"evaluation/{self._where}/{seed}/{language}"

    @property
    def stages(self) -> tuple[str, ...]:
        """Name all stages, needs first."""
        choosing = [*map(self.trial, self.points), self.choice] if self.chooses else []
        results = [self.result(seed) for seed in self.seeds]
        scores = [self.score(seed, tag) for seed in self.seeds for tag in self.languages]
        return tuple(dict.fromkeys([*choosing, *results, *scores]))

    @property
    def _where(self) -> str:
        return f"{self.comparison}/{self.adapter}/{self.task}"


def cells(recipe: Recipe) -> Iterator[Cell]:
    """List every adapter on every task of every comparison, in the order of the recipe."""
    for name, methods in recipe.compare.items():
        for adapter, task in product(methods.adapters, methods.tasks):
            yield Cell(
                comparison=name,
                adapter=adapter,
                task=task,
                seeds=methods.seeds,
                points=points_of(methods.grid),
                languages=methods.languages or recipe.tasks[task].languages,
                split=methods.split,
            )


def points_of(grid: Grid) -> dict[str, dict[str, Setting]]:
    """Name every combination of a grid's values.

    Fields vary in the order of `training`, the last one fastest, and values in the recipe's.

    >>> list(points_of(Grid(batch_examples=(8, 16), learning_rate=(1e-4,))))
    ['batch_examples=8,learning_rate=0.0001', 'batch_examples=16,learning_rate=0.0001']
    >>> points_of(Grid())
    {'': {}}
    """
    values: dict[str, tuple[Setting, ...]] = grid.model_dump(exclude_none=True)
    combined = [dict(zip(values, point, strict=True)) for point in product(*values.values())]
    return {",".join(f"{key}={_text(one)}" for key, one in point.items()): point
            for point in combined}  # fmt: skip


def compare_stages(recipe: Recipe) -> Iterator[Stage]:
    """Give the stages of all comparisons, needs first."""
    for cell in cells(recipe):
        methods = recipe.compare[cell.comparison]
        yield from _trainings(recipe, methods, cell)
        yield from _scores(recipe, cell)


def _trainings(recipe: Recipe, methods: Methods, cell: Cell) -> Iterator[Stage]:
    if not cell.chooses:
        for seed in cell.seeds:
            yield _training(recipe, methods, cell, name=cell.result(seed), seed=seed)
        return
    for point in cell.points:
        yield _training(recipe, methods, cell, name=cell.trial(point), point=point)
    yield Choose(
        name=cell.choice,
        score=task_settings(recipe.tasks[cell.task]).score,
        trials=tuple(
            Trial(name=point, settings=settings, stage=cell.trial(point))
            for point, settings in cell.points.items()
        ),
        training=Training(threads=recipe.training.threads),
    )
    for seed in cell.seeds[1:]:
        repeat = _training(recipe, methods, cell, name=cell.result(seed), seed=seed)
        yield replace(repeat, choice=cell.choice)


def _training(
    recipe: Recipe,
    methods: Methods,
    cell: Cell,
    *,
    name: str,
    point: str | None = None,
    seed: int | None = None,
) -> TrainTask:
    """Say what is trained at one point, left out the first, with one seed, left out the first."""
    settings = cell.points[next(iter(cell.points)) if point is None else point]
    given = {**settings, "seed": cell.seeds[0] if seed is None else seed}
    changes = (methods.training, TrainingChanges.model_validate(given))
    return task_stage(recipe, recipe.tasks[cell.task], *changes, name=name, adapter=cell.adapter)


def _scores(recipe: Recipe, cell: Cell) -> Iterator[Evaluate]:
    task = recipe.tasks[cell.task]
    training = Training(threads=recipe.training.threads, batch_tokens=recipe.training.batch_tokens)
    for seed, language in product(cell.seeds, cell.languages):
        composition = bind_language(recipe, composition_of_task(cell.task, task), language)
        others = [name for name in adapter_names(composition) if name != cell.task]
        result = cell.result(seed)
        yield Evaluate(
            name=cell.score(seed, language),
            composition=composition,
            parts={**{name: f"language/{name}" for name in others}, cell.task: result},
            owner=result,
            data=data_use(recipe, task.data, (language,)),
            split=cell.split,
            training=training,
        )


def _text(value: Setting) -> str:
    """Write a value that is tried, as in the recipe.

    >>> _text(1e-05), _text(True), _text("cosine")
    ('1e-05', 'true', 'cosine')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
