"""What a recipe may say of tasks, of what is composed of them, and of their scores."""

from typing import Annotated, Literal

from pydantic import Field

from composer.recipe.grammar.block import Block, Count, LanguageTag, Name, Temperature
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.training import TrainingChanges

TaskType = Literal[
    "text-classification", "regression", "token-classification", "multi-label-classification"
]
Score = Literal[
    "accuracy",
    "macro-f1",
    "matthews",
    "pearson",
    "spearman",
    "span-f1",
    "micro-f1",
    "exact-match",
]


class Task(Block):
    """A problem with labels, and the adapter that learns it.

    Attributes:
        type: What is predicted.
        data: Name of a data source.
        languages: Source languages: where the labels are.
        adapter: Name of an adapter shape. Left out: the task trains nothing itself, and says what
            comparisons or compositions learn.
        over: Train on frozen language adapters: "$language" takes each batch's own.
        cycle: Instead of `over`: train on these languages' adapters in turn, another one each
            batch; no labels of them are needed (TLR, Parovic et al., 2023).
        temperature: How even several source languages are in an epoch: one of n examples gets a
            share like n^(1 / temperature). 1: as many of each as there are.
        labels: The label set, in order. Left out: the sorted labels of the training split.
        examples: Learn from so many examples only, drawn over all languages.
        pooling: How a sentence becomes one vector: the mean of its tokens, or the first.
        score: What the best checkpoint is chosen by; left out: by type.
        training: Changed fields.
    """

    type: TaskType
    data: Name
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)]
    adapter: Name | None = None
    over: Literal["$language"] | None = None
    cycle: tuple[LanguageTag, ...] = ()
    temperature: Temperature = 1.0
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    examples: Count | None = None
    pooling: Literal["mean", "first"] = "mean"
    score: Score | None = None
    training: TrainingChanges = TrainingChanges()


class CompositionTraining(Block):
    """What a composition learns itself: its fusion, its norms and its head.

    Attributes:
        task: The task whose labels are learnt.
        languages: Source languages; left out: the task's.
        examples: Learn from so many examples only, drawn over all languages.
        temperature: How even several languages are in an epoch; see tasks.
        train_norm: Train an own copy of the norms; left out: if any member has one.
        training: Changed fields.
    """

    task: Name
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    examples: Count | None = None
    temperature: Temperature = 1.0
    train_norm: bool | None = None
    training: TrainingChanges = TrainingChanges()


class ComposedOf(Block):
    """A composition with more to say than its expression.

    Attributes:
        expression: For example "$language > fuse(intent, domain)".
        task: Whose head is used, where the expression does not say.
        train: Learn the fusion and a head of the composition's own.
    """

    expression: str
    task: Name | None = None
    train: CompositionTraining | None = None


class Evaluation(Block):
    """Scores of compositions on languages.

    Attributes:
        compositions: Names of compositions or tasks.
        languages: Target languages.
        split: Which part of the data.
        data: Name of a data source, where it is not the task's.
        without_language: Score what stands on a language's adapter without it as well: a baseline
            that says what the language adapters bring.
    """

    compositions: Annotated[tuple[Name, ...], Field(min_length=1)]
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)]
    split: Split = "test"
    data: Name | None = None
    without_language: bool = False
