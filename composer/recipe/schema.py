"""What a recipe may say: one frozen model a block, each field with its unit and default.

    composer: 1
    name: home-assistant
    backbone: {source: sample, name: multilingual-e5-small}
    adapters: {task: {kind: madapter, width: 32}}
    data:     {intent: {source: sample, name: assistant/intent}}
    tasks:    {intent: {type: text-classification, data: intent, languages: [en], adapter: task}}

Only shapes and ranges are checked here. Names that must exist elsewhere in the recipe are
checked in `composer.recipe.checks`, values that depend on the backbone in
`composer.recipe.fit`.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from composer.recipe.adapters import AdapterShape
from composer.recipe.block import (
    BatchTokens,
    Block,
    Clip,
    Count,
    Epochs,
    LanguageTag,
    MaxTokens,
    Name,
    Processes,
    ProxyWeight,
    Rate,
    Seed,
    Share,
    Temperature,
    Threads,
    Warmup,
    Weight,
    Width,
)

Precision = Literal["float32", "bfloat16", "auto"]
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
Split = Literal["train", "validation", "test"]
Tracker = Literal["tensorboard", "trackio", "wandb"]
Decay = Literal["linear", "cosine", "constant"]
HeadRate = Rate | Literal["same"]


class SampleBackbone(Block):
    """A backbone out of an installed package.

    Attributes:
        source: Always "sample".
        name: "multilingual-e5-small" or "all-MiniLM-L6-v2".
        precision: Of the operands of frozen matrix products, and of those of an adapter, fusion or
            gate while it learns. "auto" is bfloat16 where the processor multiplies it natively,
            else float32; the choice is written to the lock.
        max_tokens: Longest input, in tokens with the special ones. Left out: what it takes.
    """

    source: Literal["sample"]
    name: str
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None


class FolderBackbone(Block):
    """A backbone in a folder: `config.json`, `tokenizer.json`, safetensors weights.

    Attributes:
        source: Always "folder".
        path: Relative to the recipe.
        precision: See the sample backbone.
        max_tokens: See the sample backbone.
    """

    source: Literal["folder"]
    path: str
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None


class HubShape(Block):
    """The numbers of a backbone that is not fetched yet, to check and count by until it is.

    Attributes:
        hidden_size: Units of a hidden state.
        layers: Transformer blocks.
        max_tokens: Longest input, in tokens with the special ones.
        intermediate_size: Width of the feed-forward block; left out: what needs it is unknown.
        embedding_rows: Tokens, positions and types that have a vector, all together; left out:
            what needs them is unknown.
        architecture: Its `model_type`, as "bert"; left out: what needs it is unknown.
        parameters: Of the backbone in all; left out: totals and shares of it are unknown.
    """

    hidden_size: Width
    layers: Count
    max_tokens: MaxTokens
    intermediate_size: Width | None = None
    embedding_rows: Count | None = None
    architecture: str | None = None
    parameters: Annotated[int, Field(ge=1, le=10**13)] | None = None


class HubBackbone(Block):
    """A backbone on the Hugging Face Hub.

    Attributes:
        source: Always "hub".
        name: "owner/name".
        revision: A full commit (40 hex digits); a branch may move, so it is refused.
        precision: See the sample backbone.
        max_tokens: See the sample backbone.
        shape: Its numbers, so that a recipe is checked and its parameters are counted where no
            hub is reached; once it is fetched they are held to what its config says.
    """

    source: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None
    shape: HubShape | None = None


Backbone = Annotated[SampleBackbone | FolderBackbone | HubBackbone, Field(discriminator="source")]


class Columns(Block):
    """Which column of a file holds what; left out, the column of the same name is read.

    Attributes:
        text: The input, or for token classification the untokenised sentence.
        pair: The second input of a pair.
        label: The label of a classification, the number of a regression.
        spans: For token classification: a list of {start, end, label}, in characters.
        words: For token classification: a list of words, instead of text and spans.
        tags: A BIO tag a word.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    spans: str | None = None
    words: str | None = None
    tags: str | None = None


class SplitPaths(Block):
    """One file a split; a split left out is held out of `train`.

    Attributes:
        train: Path to learn from.
        validation: Path to choose the best checkpoint on.
        test: Path to score on.
    """

    train: str
    validation: str | None = None
    test: str | None = None


class FileData(Block):
    """Files of the user's: CSV, JSON lines, Parquet, or plain text for a language.

    Attributes:
        source: Always "files".
        path: Relative to the recipe; `$language` in it is replaced. One path is split
            80 / 10 / 10 by a hash of the text, so equal texts share a split.
        columns: Names of the columns.
        truncate: Cut texts that are longer than the backbone takes, instead of refusing.
        label: Learn this one label alone, yes or no: the task is text-classification, and the
            data are those of a multi-label (or any) classification.
    """

    source: Literal["files"]
    path: str | SplitPaths
    columns: Columns = Columns()
    truncate: bool = False
    label: str | None = None


class SampleData(Block):
    """Data sampled out of an installed package; see `composer samples list`.

    Attributes:
        source: Always "sample".
        name: For example "assistant/intent".
        label: Learn this one label alone, yes or no: the task is text-classification, and the
            data are those of a multi-label (or any) classification.
    """

    source: Literal["sample"]
    name: str
    label: str | None = None


class HubSplits(Block):
    """Which split of a data set on the hub serves as which of composer's.

    Attributes:
        train: A split of the data set.
        validation: A split of the data set, or the share of `train` that is held out. Left out:
            the split of this name, and where there is none a tenth of `train`.
        test: As `validation`.
    """

    train: str = "train"
    validation: Share | str | None = None
    test: Share | str | None = None

    @model_validator(mode="after")
    def _leaves_some(self) -> "HubSplits":
        shares = [one for one in (self.validation, self.test) if isinstance(one, float)]
        if sum(shares) >= 1:
            raise ValueError("the shares that are held out leave nothing to train on")
        return self


class HubData(Block):
    """A data set on the Hugging Face Hub.

    Attributes:
        source: Always "hub".
        name: "owner/name".
        revision: A full commit (40 hex digits).
        config: The data set's configuration; `$language` in it is replaced.
        splits: Which of its splits are read; left out: those called train, validation and test.
        columns: Names of the columns.
        truncate: Cut texts that are longer than the backbone takes, instead of refusing.
        label: Learn this one label alone, yes or no: the task is text-classification, and the
            data are those of a multi-label (or any) classification.
    """

    source: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    config: str | None = None
    splits: HubSplits | None = None
    columns: Columns = Columns()
    truncate: bool = False
    label: str | None = None


DataSource = Annotated[FileData | SampleData | HubData, Field(discriminator="source")]


class Training(Block):
    """How weights are trained.

    Attributes:
        epochs: Passes over the training examples.
        batch_tokens: Tokens a batch at most, padding included; batches are about even.
        batch_examples: Examples a batch, instead of tokens; only one batch may be smaller.
        learning_rate: The highest, after warm-up.
        head_learning_rate: The same for the head, or "same" as `learning_rate`; left out: ten
            times that.
        warmup: Share of all steps in which the rate rises from 0.
        decay: How it falls after that.
        weight_decay: AdamW's, on matrices only.
        clip: Largest norm of the gradient.
        patience: Evaluations without a better score before training ends; left out: none.
        dropout: Whether the backbone's own dropout acts while an adapter trains. Without it, what
            lies below the first adapter is computed once for all epochs.
        fusion_regularizer: Weight of |V - I|^2 in a fusion's loss.
        checkpoint_steps: Steps between checkpoints.
        seed: Of everything random.
        threads: Of the processor; part of the result, as sums are ordered by it.
        processes: That share each batch of a training, with so many threads or a GPU each;
            part of the result likewise.
        prepack: Lay the layers' weights out beforehand for products in bfloat16 on a processor: the
            same result in 5 to 10 % less time, and weights lie in memory three times.
    """

    epochs: Epochs = 8
    batch_tokens: BatchTokens = 1024
    batch_examples: Count | None = None
    learning_rate: Rate = 1e-3
    head_learning_rate: HeadRate | None = None
    warmup: Warmup = 0.1
    decay: Decay = "linear"
    weight_decay: Weight = 0.01
    clip: Clip = 1.0
    patience: Count | None = None
    dropout: bool = True
    fusion_regularizer: Weight = 0.01
    checkpoint_steps: Count = 100
    seed: Seed = 13
    threads: Threads = 2
    processes: Processes = 1
    prepack: bool = False


class TrainingChanges(Block):
    """Some fields of `training`, changed for one task, language or composition.

    Attributes:
        epochs: See `training`; so are the rest.
        batch_tokens: See `training`.
        batch_examples: See `training`.
        learning_rate: See `training`.
        head_learning_rate: See `training`.
        warmup: See `training`.
        decay: See `training`.
        weight_decay: See `training`.
        clip: See `training`.
        patience: See `training`.
        dropout: See `training`.
        fusion_regularizer: See `training`.
        checkpoint_steps: See `training`.
        seed: See `training`.
        threads: See `training`.
        processes: See `training`.
        prepack: See `training`.
    """

    epochs: Epochs | None = None
    batch_tokens: BatchTokens | None = None
    batch_examples: Count | None = None
    learning_rate: Rate | None = None
    head_learning_rate: HeadRate | None = None
    warmup: Warmup | None = None
    decay: Decay | None = None
    weight_decay: Weight | None = None
    clip: Clip | None = None
    patience: Count | None = None
    dropout: bool | None = None
    fusion_regularizer: Weight | None = None
    checkpoint_steps: Count | None = None
    seed: Seed | None = None
    threads: Threads | None = None
    processes: Processes | None = None
    prepack: bool | None = None


class Member(Block):
    """What one language changes of what its block gives.

    Attributes:
        data: Name of a data source.
        adapter: Name of an adapter shape.
        training: Changed fields.
    """

    data: Name | None = None
    adapter: Name | None = None
    training: TrainingChanges = TrainingChanges()


class LanguageHead(Block):
    """The output layer of masked language modelling that all languages share.

    It is trained first, without adapters, and then frozen.

    Attributes:
        languages: Whose text it learns from, and whose pieces it scores. Left out: all members.
            Named, a language that is added later leaves it, and all other languages, as they are.
        training: Changed fields.
    """

    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    training: TrainingChanges = TrainingChanges()


class TextLosses(Block):
    """Held-out masked-LM loss: every language's adapter, and none, on every language's text.

    Attributes:
        languages: Whose text is scored. Left out: all members.
        adapters: Members whose adapters act. Left out: all.
        split: Which part of the text.
    """

    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    adapters: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    split: Split = "test"


Proxy = Annotated[dict[LanguageTag, ProxyWeight], Field(min_length=1)] | Literal["related"]


class Languages(Block):
    """The languages that get an adapter of their own.

    Attributes:
        members: Language tags (BCP 47), or a mapping from tag to what it changes.
        data: Name of a data source of plain text.
        adapter: Name of an adapter shape.
        training: Changed fields.
        head: What scores the hidden pieces. "shared": the backbone's own masked-LM head where it
            brings a trained one, else one that is trained first on the text of all members; a
            mapping says on which. "own": an output layer that each adapter learns beside it.
        pack_tokens: Join sentences, with separators between them, up to so many tokens. If it
            is left out: one sentence at a time.
        whole_words: Hide all pieces of a word together.
        losses: Score the adapters on held-out text, each on each language.
        proxies: What stands for a language without an adapter where compositions are evaluated
            or bundled: members' adapters, averaged with these weights, which add to 1; or
            "related": its nearest relatives among the members, by a table of genealogical
            relations, all of one weight.
    """

    members: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | dict[LanguageTag, Member]
    data: Name
    adapter: Name
    training: TrainingChanges = TrainingChanges()
    head: Literal["shared", "own"] | LanguageHead = "shared"
    pack_tokens: MaxTokens | None = None
    whole_words: bool = False
    losses: TextLosses | None = None
    proxies: dict[LanguageTag, Proxy] = {}


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


GraphPrecision = Literal["float32", "int8", "weight-int8"]
PartPrecision = Literal["float32", "float16"]


class Vocabulary(Block):
    """Fewer token embeddings: those that texts of some languages use.

    Attributes:
        data: Name of a data source. All of it but its test split says which pieces are kept; on
            the test split it is measured how many texts are cut into other pieces than before.
        languages: Of those texts.
        pieces: Fill up to so many with further pieces written in the same characters, the most
            frequent ones first; for texts that are few. Left out: those that occur.
    """

    data: Name
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)]
    pieces: Count | None = None


class StaticShape(Block):
    """One shape for every call, for compilers and accelerators that take no other.

    Attributes:
        batch: Texts at a time.
        tokens: Of each text, padding included; longer texts are refused, or cut.
    """

    batch: Annotated[int, Field(ge=1, le=1024)] = 1
    tokens: Annotated[int, Field(ge=8, le=2**16)]


class Bundle(Block):
    """What a device is given.

    Attributes:
        compositions: Names of compositions or tasks.
        languages: What `$language` is bound to; needed only where it occurs.
        precision: Put the backbone in, as a graph that devices run without torch: "float32";
            "int8", the fastest and a quarter of the size; "weight-int8", as small and nearly
            as exact as float32. Left out: parts only, for a device that has the backbone.
        part_precision: Of what was trained; "float16" halves the parts.
        vocabulary: Put a part of the token embeddings in: a multilingual backbone's are most of
            it. Needs `precision`.
        static: Fix the graph's shapes. Needs `precision`. Left out: any number of texts, of any
            length.
    """

    compositions: Annotated[tuple[Name, ...], Field(min_length=1)]
    languages: tuple[LanguageTag, ...] = ()
    precision: GraphPrecision | None = None
    part_precision: PartPrecision = "float32"
    vocabulary: Vocabulary | None = None
    static: StaticShape | None = None


class Grid(Block):
    """Values of training fields that are tried, in every combination.

    Attributes:
        epochs: See `training`; so are the rest.
        batch_tokens: See `training`.
        batch_examples: See `training`.
        learning_rate: See `training`.
        head_learning_rate: See `training`.
        warmup: See `training`.
        decay: See `training`.
        weight_decay: See `training`.
        clip: See `training`.
        patience: See `training`.
        dropout: See `training`.
    """

    epochs: Annotated[tuple[Epochs, ...], Field(min_length=1)] | None = None
    batch_tokens: Annotated[tuple[BatchTokens, ...], Field(min_length=1)] | None = None
    batch_examples: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    learning_rate: Annotated[tuple[Rate, ...], Field(min_length=1)] | None = None
    head_learning_rate: Annotated[tuple[HeadRate, ...], Field(min_length=1)] | None = None
    warmup: Annotated[tuple[Warmup, ...], Field(min_length=1)] | None = None
    decay: Annotated[tuple[Decay, ...], Field(min_length=1)] | None = None
    weight_decay: Annotated[tuple[Weight, ...], Field(min_length=1)] | None = None
    clip: Annotated[tuple[Clip, ...], Field(min_length=1)] | None = None
    patience: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    dropout: Annotated[tuple[bool, ...], Field(min_length=1)] | None = None


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
