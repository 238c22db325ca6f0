"""The stages of a recipe: what each one does, what it needs, and what decides its result.

    language/de              train a language adapter
    task/intent              train a task adapter and its head
    composition/few-shot     train a fusion, or a head alone, over frozen adapters
    evaluation/zero-shot/few-shot/de   score one composition in one language
    bundle/home              export

A stage says everything that its result depends on, apart from the bytes of data and backbone:
`composer.recipe.keys` adds those.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from composer.recipe.composition import Composition
from composer.recipe.schema import (
    AdapterShape,
    DataSource,
    GraphPrecision,
    PartPrecision,
    Score,
    Split,
    StaticShape,
    TaskType,
    Training,
)


@dataclass(frozen=True, kw_only=True)
class DataUse:
    """Which examples a stage reads.

    Attributes:
        source: Where they come from.
        languages: In this order.
        examples: At most so many of the training split, drawn over all languages; None: all.
        max_tokens: Longest input that the recipe allows; None: what the backbone takes.
    """

    source: DataSource
    languages: tuple[str, ...]
    examples: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What a task is, apart from its data.

    Attributes:
        type: What is predicted.
        labels: The label set in order, or None: the sorted labels of the training split.
        pooling: "mean" or "first".
        score: What the best checkpoint is chosen by.
    """

    type: TaskType
    labels: tuple[str, ...] | None
    pooling: str
    score: Score


@dataclass(frozen=True, kw_only=True)
class TrainLanguage:
    """Train a language adapter by masked language modelling on plain text."""

    name: str  # "language/de"
    shape: AdapterShape
    data: DataUse
    training: Training

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return ()


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """Train a task adapter and its head, on the bare backbone or over language adapters.

    Attributes:
        over: Language tag -> stage of its language adapter; empty: on the bare backbone.
    """

    name: str  # "task/intent"
    shape: AdapterShape
    task: TaskSettings
    data: DataUse
    over: Mapping[str, str]
    training: Training

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return tuple(self.over.values())


@dataclass(frozen=True, kw_only=True)
class TrainComposition:
    """Train what a composition owns: fusion weights, norm copies and a head.

    Attributes:
        composition: May hold "$language", bound to each batch's language.
        parts: Adapter name (a task's, or a language tag) -> stage that trains it.
        train_norm: None: if any member has a norm of its own.
    """

    name: str  # "composition/few-shot"
    composition: Composition
    parts: Mapping[str, str]
    task: TaskSettings
    data: DataUse
    train_norm: bool | None
    training: Training

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return tuple(dict.fromkeys(self.parts.values()))


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score one composition in one language, in float32.

    Attributes:
        composition: Bound: no "$language" in it.
        parts: Adapter name -> stage that trains it.
        owner: Stage whose head, and if it is a composition whose fusion, is used.
    """

    name: str  # "evaluation/zero-shot/few-shot/de"
    composition: Composition
    parts: Mapping[str, str]
    owner: str
    data: DataUse
    split: Split
    training: Training  # threads and batch_tokens only

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return tuple(dict.fromkeys([*self.parts.values(), self.owner]))


@dataclass(frozen=True, kw_only=True)
class BundledComposition:
    """One composition in a bundle.

    Attributes:
        composition: Bound.
        owner: Stage whose head, and if it is a composition whose fusion, is used.
        evaluations: Stages whose scores go into the manifest.
    """

    name: str  # as the device asks for it: "few-shot", or "mad-x:de" where bound to a language
    composition: Composition
    owner: str
    evaluations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Make a bundle of compositions and the parts that they are made of."""

    name: str  # "bundle/home"
    compositions: tuple[BundledComposition, ...]
    parts: Mapping[str, str]
    precision: GraphPrecision | None  # of the backbone in it; None: parts only
    part_precision: PartPrecision
    training: Training  # threads only
    data: DataUse | None = None  # whose pieces the vocabulary is trimmed to; None: it is whole
    pieces: int | None = None  # that it is filled up to
    static: StaticShape | None = None  # of every call; None: any

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        owners = [one.owner for one in self.compositions]
        scores = [name for one in self.compositions for name in one.evaluations]
        return tuple(dict.fromkeys([*self.parts.values(), *owners, *scores]))


Stage = TrainLanguage | TrainTask | TrainComposition | Evaluate | Export
