"""What a recipe may say: one frozen model a block, each field with its unit and default.

    composer: 1
    name: home-assistant
    backbone: {source: sample, name: multilingual-e5-small}
    adapters: {task: {kind: madapter, width: 32}}
    data:     {intent: {source: sample, name: assistant/intent}}
    tasks:    {intent: {type: text-classification, data: intent, languages: [en], adapter: task}}

Only shapes and ranges are checked here. Names that must exist elsewhere in the recipe are
checked in `composer.recipe.checks`, values that depend on the backbone in
`composer.recipe.fit`. The grammar is read whole; what this version does not do yet parses,
and is answered with "not yet" by `composer.recipe.checks`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
LanguageTag = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Share = Annotated[float, Field(gt=0, lt=1)]

# A whole number that could only be a slip, or that fits no counter further down, is refused.
Count = Annotated[int, Field(ge=1, le=10**9)]
Epochs = Annotated[int, Field(ge=1, le=10**6)]
BatchTokens = Annotated[int, Field(ge=16, le=2**24)]
MaxTokens = Annotated[int, Field(ge=8, le=2**20)]
Rate = Annotated[float, Field(gt=0, le=1)]
Warmup = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
Clip = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Threads = Annotated[int, Field(ge=1, le=256)]
Width = Annotated[int, Field(ge=1, le=2**16)]
Layer = Annotated[int, Field(ge=0, lt=2**16)]

Precision = Literal["float32", "bfloat16", "auto"]
Placement = Literal["houlsby", "pfeiffer"]
NonLinearity = Literal["relu", "gelu", "swish", "tanh"]
TaskType = Literal[
    "text-classification", "regression", "token-classification", "multi-label-classification"
]
Score = Literal["accuracy", "macro-f1", "matthews", "pearson", "spearman", "span-f1"]
Split = Literal["train", "validation", "test"]


class Block(BaseModel):
    """A block of a recipe: immutable, and every key it does not know is a fault."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )


class SampleBackbone(Block):
    """A backbone out of an installed package.

    Attributes:
        source: Always "sample".
        name: "multilingual-e5-small" or "all-MiniLM-L6-v2".
        precision: Of the operands of frozen matrix products. "auto" is bfloat16 where the
            processor multiplies it natively, else float32; the choice is written to the lock.
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


class HubBackbone(Block):
    """A backbone on the Hugging Face Hub.

    Attributes:
        source: Always "hub".
        name: "owner/name".
        revision: A full commit (40 hex digits); a branch may move, so it is refused.
        precision: See the sample backbone.
        max_tokens: See the sample backbone.
    """

    source: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None


Backbone = Annotated[SampleBackbone | FolderBackbone | HubBackbone, Field(discriminator="source")]


class Sparsity(Block):
    """Weights masked once at initialisation (SparseAdapter, He et al., 2022).

    Attributes:
        method: How weights are scored.
        ratio: Share of the weights that is masked.
    """

    method: Literal["random", "magnitude", "erdos-renyi", "snip", "grasp"]
    ratio: Share = 0.4


class _Bottleneck(Block):
    placement: Placement = "houlsby"
    form: Literal["sequential", "parallel"] = "sequential"
    width: Width | None = None
    reduction_factor: Annotated[float, Field(ge=1, le=2**16)] | dict[str, float] | None = None
    non_linearity: NonLinearity = "relu"
    bias: bool = True
    init: Literal["normal", "near-identity", "xavier", "truncated-normal"] = "normal"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scaling: float | Literal["learned"] = 1.0
    leave_out: tuple[Layer, ...] = ()
    invertible: bool = False
    train_norm: bool = False
    sparsity: Sparsity | None = None

    @model_validator(mode="after")
    def _one_width(self) -> "_Bottleneck":
        if self.width is not None and self.reduction_factor is not None:
            raise ValueError("give `width` or `reduction_factor`, not both")
        return self


class BottleneckAdapter(_Bottleneck):
    """A bottleneck adapter: project down, apply a non-linearity, project up, add.

    Attributes:
        kind: Always "bottleneck".
        placement: "houlsby": after attention and after feed-forward (Houlsby et al., 2019).
            "pfeiffer": after feed-forward only (Pfeiffer et al., 2021).
        form: "sequential" reads the sub-layer's output; "parallel" the block's input.
        width: Units of the bottleneck.
        reduction_factor: Hidden size divided by width; 16 where neither is given.
        non_linearity: Between the projections.
        bias: Whether the projections have one.
        init: How weights start; "normal" is N(0, 0.02) with zero biases.
        dropout: On the non-linearity's output, in training.
        scaling: Factor on what the bottleneck adds.
        leave_out: Layers without an adapter, counted from 0 (AdapterDrop).
        invertible: Also learn an invertible adapter on the embeddings (MAD-X).
        train_norm: Train an own copy of the layer norm at each site.
        sparsity: Mask weights at initialisation.
    """

    kind: Literal["bottleneck"]


class MAdapter(_Bottleneck):
    """An MAdapter (Kim and Kim): a bottleneck with middle layers of its own width.

    Attributes:
        kind: Always "madapter".
        middle_layers: Square layers between the projections, 1 to 3.
        placement: See the bottleneck adapter; so are the rest.
        form: See the bottleneck adapter.
        width: Units of the bottleneck.
        reduction_factor: Hidden size divided by width; 32 where neither is given.
        non_linearity: After every projection but the last.
        bias: See the bottleneck adapter.
        init: See the bottleneck adapter; middle layers start with N(0, sqrt(2 / width)).
        dropout: See the bottleneck adapter.
        scaling: See the bottleneck adapter.
        leave_out: See the bottleneck adapter.
        invertible: See the bottleneck adapter.
        train_norm: See the bottleneck adapter.
        sparsity: See the bottleneck adapter.
    """

    kind: Literal["madapter"]
    middle_layers: Annotated[int, Field(ge=1, le=3)] = 1


class OtherAdapter(Block):
    """A kind of adapter that the grammar knows and this version does not train yet.

    Attributes:
        kind: Its name.
        rank: LoRA's.
        alpha: LoRA's.
        targets: LoRA's matrices.
        length: Of a prefix or a prompt, in positions.
        width: AdaMix's bottlenecks.
        experts: AdaMix's number of bottlenecks.
        train_norm: Train an own copy of the layer norms.
    """

    kind: Literal["lora", "prefix", "prompt", "bitfit", "adamix", "full"]
    rank: Width | None = None
    alpha: float | None = None
    targets: tuple[str, ...] = ()
    length: Width | None = None
    width: Width | None = None
    experts: Annotated[int, Field(ge=2, le=1024)] | None = None
    train_norm: bool = False


AdapterShape = Annotated[BottleneckAdapter | MAdapter | OtherAdapter, Field(discriminator="kind")]


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
    """

    source: Literal["files"]
    path: str | SplitPaths
    columns: Columns = Columns()
    truncate: bool = False


class SampleData(Block):
    """Data sampled out of an installed package; see `composer samples list`.

    Attributes:
        source: Always "sample".
        name: For example "assistant/intent".
    """

    source: Literal["sample"]
    name: str


class HubData(Block):
    """A data set on the Hugging Face Hub.

    Attributes:
        source: Always "hub".
        name: "owner/name".
        revision: A full commit (40 hex digits).
        config: The data set's configuration; `$language` in it is replaced.
        columns: Names of the columns.
        truncate: Cut texts that are longer than the backbone takes, instead of refusing.
    """

    source: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    config: str | None = None
    columns: Columns = Columns()
    truncate: bool = False


DataSource = Annotated[FileData | SampleData | HubData, Field(discriminator="source")]


class Training(Block):
    """How weights are trained.

    Attributes:
        epochs: Passes over the training examples.
        batch_tokens: Tokens a batch, padding included.
        learning_rate: The highest, after warm-up.
        head_learning_rate: The same for the head; left out: ten times `learning_rate`.
        warmup: Share of all steps in which the rate rises from 0.
        decay: How it falls after that.
        weight_decay: AdamW's, on matrices only.
        clip: Largest norm of the gradient.
        patience: Evaluations without a better score before training ends; left out: none.
        dropout: Whether the backbone's own dropout acts while an adapter trains.
        fusion_regularizer: Weight of |V - I|^2 in a fusion's loss.
        checkpoint_steps: Steps between checkpoints.
        seed: Of everything random.
        threads: Of the processor; part of the result, as sums are ordered by it.
    """

    epochs: Epochs = 8
    batch_tokens: BatchTokens = 1024
    learning_rate: Rate = 1e-3
    head_learning_rate: Rate | None = None
    warmup: Warmup = 0.1
    decay: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: Weight = 0.01
    clip: Clip = 1.0
    patience: Count | None = None
    dropout: bool = True
    fusion_regularizer: Weight = 0.01
    checkpoint_steps: Count = 100
    seed: Seed = 13
    threads: Threads = 2


class TrainingChanges(Block):
    """Some fields of `training`, changed for one task, language or composition.

    Attributes:
        epochs: See `training`; so are the rest.
        batch_tokens: See `training`.
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
    """

    epochs: Epochs | None = None
    batch_tokens: BatchTokens | None = None
    learning_rate: Rate | None = None
    head_learning_rate: Rate | None = None
    warmup: Warmup | None = None
    decay: Literal["linear", "cosine", "constant"] | None = None
    weight_decay: Weight | None = None
    clip: Clip | None = None
    patience: Count | None = None
    dropout: bool | None = None
    fusion_regularizer: Weight | None = None
    checkpoint_steps: Count | None = None
    seed: Seed | None = None
    threads: Threads | None = None


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


class Languages(Block):
    """The languages that get an adapter of their own.

    Attributes:
        members: Language tags (BCP 47), or a mapping from tag to what it changes.
        data: Name of a data source of plain text.
        adapter: Name of an adapter shape.
        training: Changed fields.
    """

    members: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | dict[LanguageTag, Member]
    data: Name
    adapter: Name
    training: TrainingChanges = TrainingChanges()


class Task(Block):
    """A problem with labels, and the adapter that learns it.

    Attributes:
        type: What is predicted.
        data: Name of a data source.
        languages: Source languages: where the labels are.
        adapter: Name of an adapter shape.
        over: Train on frozen language adapters: "$language" takes each batch's own.
        cycle: Train on these languages' adapters in turn (TLR).
        labels: The label set, in order. Left out: the sorted labels of the training split.
        examples: Learn from so many examples only, drawn over all languages.
        pooling: How a sentence becomes one vector: the mean of its tokens, or the first.
        score: What the best checkpoint is chosen by; left out: by type.
        training: Changed fields.
    """

    type: TaskType
    data: Name
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)]
    adapter: Name
    over: Literal["$language"] | None = None
    cycle: tuple[LanguageTag, ...] = ()
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
        train_norm: Train an own copy of the norms; left out: if any member has one.
        training: Changed fields.
    """

    task: Name
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)] | None = None
    examples: Count | None = None
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
    """

    compositions: Annotated[tuple[Name, ...], Field(min_length=1)]
    languages: Annotated[tuple[LanguageTag, ...], Field(min_length=1)]
    split: Split = "test"
    data: Name | None = None


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


class Methods(Block):
    """A comparison: every adapter on every task with every seed and grid point.

    Attributes:
        adapters: Names of adapter shapes.
        tasks: Names of tasks.
        seeds: One run each.
        grid: Values of training fields.
    """

    adapters: tuple[Name, ...]
    tasks: tuple[Name, ...]
    seeds: tuple[Seed, ...] = (13,)
    grid: dict[str, tuple[float | int | str, ...]] = {}


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
    include: Annotated[tuple[str, ...], Field(exclude=True)] = ()  # merged when it is read
    profiles: dict[Name, dict[str, object]] = {}
