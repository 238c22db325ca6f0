"""What a recipe may say of training: for all stages, for one, and what a comparison tries."""

from typing import Annotated, Literal

from pydantic import Field

from composer.recipe.grammar.block import (
    BatchTokens,
    Block,
    Clip,
    Count,
    Epochs,
    Processes,
    Rate,
    Seed,
    Threads,
    Warmup,
    Weight,
)

Decay = Literal["linear", "cosine", "constant"]
HeadRate = Rate | Literal["same"]


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
