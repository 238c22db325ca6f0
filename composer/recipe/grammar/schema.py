"""What a recipe may say: one frozen model a block, each field with its unit and default.

    composer: 1
    name: home-assistant
    backbone: {source: sample, name: multilingual-e5-small}
    adapters: {task: {kind: madapter, width: 32}}
    data:     {intent: {source: sample, name: assistant/intent}}
    tasks:    {intent: {type: text-classification, data: intent, languages: [en], adapter: task}}

Only shapes and ranges are checked here. Names that must exist elsewhere in the recipe are
checked in `composer.recipe.checking.checks`, values that depend on the backbone in
`composer.recipe.sizes.fit`.
"""

from typing import Annotated, Literal

from pydantic import Field

from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.backbones import Backbone
from composer.recipe.grammar.block import Block, LanguageTag, Name, Seed
from composer.recipe.grammar.bundles import Bundle
from composer.recipe.grammar.data import DataSource
from composer.recipe.grammar.languages import Languages
from composer.recipe.grammar.tasks import ComposedOf, Evaluation, Task
from composer.recipe.grammar.training import Grid, Training, TrainingChanges

Tracker = Literal["tensorboard", "trackio", "wandb"]


class Methods(Block):
    """A comparison: every adapter on every task, under one protocol.

    Every point of the grid is trained with the first seed; the one with the best validation
    score is trained with the others too, and all of them are scored.

    Attributes:
        adapters: Names of adapter shapes.
        tasks: Names of tasks.
        seeds: Of the trainings that are scored.
        grid: Values of training fields to choose from; left out: there is nothing to choose.
        training: Changed fields, of all trainings of the comparison.
        languages: Where to score; left out: the languages of each task.
        split: Which part of the data is scored.
    """

    adapters: Annotated[tuple[Name, ...], Field(min_length=1)]
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (13,)
    grid: Grid = Grid()
    training: TrainingChanges = TrainingChanges()
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    split: Literal["validation", "test"] = "test"


class Leakage(Block):
    """How much test text may stand in what is learnt from, before a run is refused.

    Attributes:
        exact: Share of the test texts of a language that stand there, but for case and punctuation.
        near: Share that stands there, or nearly: with almost the same letters, whatever the
            numbers in it.
    """

    exact: Annotated[float, Field(ge=0, le=1)] = 0.05
    near: Annotated[float, Field(ge=0, le=1)] = 0.3


class Recipe(Block):
    """A whole recipe.

    Attributes:
        composer: Version of the grammar; 1.
        name: Of the recipe; results are named `name/stage` in the store.
        backbone: The frozen transformer.
        adapters: Shapes, used by name.
        data: Sources, used by name.
        training: What holds where nothing else is said.
        languages: Language adapters.
        tasks: Task adapters.
        compositions: An expression, or what says more.
        evaluations: What is scored where.
        bundles: What is exported.
        compare: Comparisons of methods.
        leakage: How much test text may stand in what is learnt from.
        trackers: Log loss, learning rate and scores to these as well, while a run goes on:
            "tensorboard" (files), "trackio" (a file) or "wandb" (offline).
        include: Files in the recipe's folder, merged under it; a later one over an earlier.
        profiles: Named changes, merged over the recipe with `--profile`.
    """

    composer: Literal[1]
    name: Name
    backbone: Backbone
    adapters: dict[Name, AdapterShape] = {}
    data: dict[Name, DataSource] = {}
    training: Training = Training()
    languages: Languages | None = None
    tasks: dict[Name, Task] = {}
    compositions: dict[Name, str | ComposedOf] = {}
    evaluations: dict[Name, Evaluation] = {}
    bundles: dict[Name, Bundle] = {}
    compare: dict[Name, Methods] = {}
    leakage: Leakage = Leakage()
    trackers: Annotated[tuple[Tracker, ...], Field(exclude=True)] = ()  # they decide no result
    include: Annotated[tuple[str, ...], Field(exclude=True)] = ()  # merged when it is read
    profiles: dict[Name, dict[str, object]] = {}
