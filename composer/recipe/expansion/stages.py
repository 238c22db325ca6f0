"""The stages of a recipe: what each one does, what it needs, and what decides its result.

    language-head/shared     train the masked-LM head that all languages share
    language/de              train a language adapter
    language-loss/en/de      masked-LM loss of one adapter on text of one language
    task/intent              train a task adapter and its head
    composition/few-shot     train a fusion, or a head alone, over frozen adapters
    evaluation/zero-shot/few-shot/de   score one composition in one language
    bundle/home              export
    trial/main/thin/cola/learning_rate=0.001   train one point of a comparison's grid
    choice/main/thin/cola                      choose the best of the trials
    repeat/main/thin/cola/2                    train what was chosen with another seed

A stage says everything that its result depends on, apart from the bytes of data and backbone:
`composer.recipe.expansion.keys` adds those.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.bundles import GraphPrecision, PartPrecision, StaticShape
from composer.recipe.grammar.composition import Composition
from composer.recipe.grammar.data import DataSource, Split
from composer.recipe.grammar.tasks import Score, TaskType
from composer.recipe.grammar.training import Training

# Behind a composition's name: it is scored without the language's adapter. No name has a dot.
WITHOUT_LANGUAGE = ".without-language"


@dataclass(frozen=True, kw_only=True)
class DataUse:
    """Which examples a stage reads.

    Attributes:
        source: Where they come from.
        languages: In this order.
        examples: At most so many of the training split, drawn over all languages; None: all.
        temperature: How even the languages are in an epoch of training; 1: as they come.
        max_tokens: Longest input that the recipe allows; None: what the backbone takes.
    """

    source: DataSource
    languages: tuple[str, ...]
    examples: int | None = None
    max_tokens: int | None = None
    temperature: float = 1.0


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
class Rows:
    """How plain text becomes the rows of a batch, and what is hidden together.

    Attributes:
        pack_tokens: Sentences are joined up to so many tokens; None: one sentence a row.
        whole_words: Whether all pieces of a word are hidden together.
    """

    pack_tokens: int | None = None
    whole_words: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainHead:
    """Train the masked-LM head that all languages share, or take the backbone's own.

    Attributes:
        texts: What it learns from, a use a data source; empty where it is the backbone's.
        rows: How text is read.
        found: Digest of the backbone's own trained head, which is taken; None: it has none.
    """

    name: str  # "language-head/shared"
    texts: tuple[DataUse, ...]
    rows: Rows
    training: Training
    found: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return ()

    @property
    def data(self) -> DataUse | None:
        """The first of its texts, with the languages of all; None: it reads none."""
        if not self.texts:
            return None
        languages = tuple(tag for use in self.texts for tag in use.languages)
        return replace(self.texts[0], languages=languages)


@dataclass(frozen=True, kw_only=True)
class TrainLanguage:
    """Train a language adapter by masked language modelling on plain text.

    Attributes:
        rows: How text is read.
        head: Stage of the shared masked-LM head; None: the adapter learns an output layer.
    """

    name: str  # "language/de"
    shape: AdapterShape
    data: DataUse
    training: Training
    rows: Rows = Rows()
    head: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return (self.head,) if self.head else ()


@dataclass(frozen=True, kw_only=True)
class ScoreText:
    """Take the masked-LM loss of one language's adapter, or of none, on one language's text.

    Attributes:
        adapter: Stage of the language adapter; None: the bare backbone.
        head: Stage of the shared masked-LM head.
        rows: How text is read.
        split: Which part of the text.
    """

    name: str  # "language-loss/en/de": the adapter of en on text of de; "language-loss/none/de"
    adapter: str | None
    head: str
    data: DataUse
    split: Split
    rows: Rows
    training: Training  # threads and batch_tokens only

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return (*([self.adapter] if self.adapter else []), self.head)


def data_uses(stage: "Stage") -> tuple[DataUse, ...]:
    """List what a stage reads, a use a data source."""
    if isinstance(stage, TrainHead):
        return stage.texts
    return () if stage.data is None else (stage.data,)


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """Train a task adapter and its head, on the bare backbone or over language adapters.

    Attributes:
        over: Language tag -> stage of its language adapter; empty: on the bare backbone.
        cycle: The languages of `over` in the order that batches take them in turn; empty: each
            batch takes its own language's.
        choice: Stage whose choice is put over `training` when this one is carried out; None:
            nothing is left to choose.
    """

    name: str  # "task/intent"
    shape: AdapterShape
    task: TaskSettings
    data: DataUse
    over: Mapping[str, str]
    cycle: tuple[str, ...] = ()
    training: Training
    choice: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return (*self.over.values(), *([self.choice] if self.choice else []))


Setting = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A training with settings that others are tried beside.

    Attributes:
        settings: Field of `training` -> the value that is tried.
        stage: That trains with them.
    """

    name: str  # "learning_rate=0.001"
    settings: Mapping[str, Setting]
    stage: str


@dataclass(frozen=True, kw_only=True)
class Choose:
    """Choose the trial with the best validation score, and pass its files on.

    Attributes:
        score: What the trials were judged by.
        trials: Of equal scores the first one is chosen.
    """

    name: str  # "choice/main/thin/cola"
    score: Score
    trials: tuple[Trial, ...]
    training: Training  # threads only
    data: None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Name the stages whose results are used."""
        return tuple(trial.stage for trial in self.trials)


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


Stage = (
    TrainHead
    | TrainLanguage
    | TrainTask
    | TrainComposition
    | Choose
    | Evaluate
    | ScoreText
    | Export
)
