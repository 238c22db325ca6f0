"""What the engine hands to the function that carries out a stage.

    def train_task(stage: TrainTask, *, context: StageContext) -> None:
        adapters = {need: context.inputs[need] for need in stage.needs}
        ...
        write_json(context.out / "training.json", ...)

A stage writes its result into `context.out` and what it needs to go on after an interruption
into `context.checkpoint`; it writes nowhere else. This module imports nothing heavy, so that
the engine can make a context before torch is there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.fingerprint import Fingerprints
from composer.recipe.grammar.backbones import Backbone


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a stage is.

    Attributes:
        done: Steps that are done, those before an interruption included.
        total: Steps in all.
        loss: Of the last step.
        rate: Learning rate of the last step.
        score: On the validation split, where it was just taken.
    """

    done: int
    total: int
    loss: float | None = None
    rate: float | None = None
    score: float | None = None


class StopRequest:
    """Whether the user asked to stop.

    A stage is stopped wherever it is, as it would be killed, except where it says that it has
    something to save first:

        with context.stop.held():
            for ...:            # look at `requested` between steps

    Attributes:
        requested: Set by the first SIGINT or SIGTERM, never unset.
        waits: Whether a block that is `held` is being carried out.
    """

    def __init__(self) -> None:
        self.requested = self.waits = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a stop wait for the end of a block.

        Raises:
            KeyboardInterrupt: At the end, if a stop was asked for.
        """
        self.waits = True
        try:
            yield
        finally:
            self.waits = False
        if self.requested:
            raise KeyboardInterrupt


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """Everything a stage is given besides its own description.

    Attributes:
        out: Empty folder for the result; published when the stage returns.
        checkpoint: Folder for training state, kept until the result is published.
        inputs: Stage name -> folder of its published result, for every need.
        needs: Stage name -> key, for every need.
        key: The stage's own key.
        backbone: The recipe's block.
        backbone_folder: Gives the backbone's folder, fetched or unpacked at the first call.
        fingerprints: What the backbone must have; the key was made with them.
        precision: "float32" or "bfloat16"; "auto" is resolved.
        folder: The recipe's folder, which relative paths of data start from.
        outside: Whether data may lie outside that folder, as what the user types may.
        report: Call it with the progress.
        stop: Look at it between steps that are `held`; when requested, write a checkpoint and
            raise `StoppedError`.
        mapped: Folder of weights that processes share (see `composer.model.mapped`); None: the
            backbone's weights are read into this process's own memory.
        recipe: The recipe as plain values, for an export; empty where there is none.
        lock: What the lock file says of the stages that this one rests on, for an export.
    """

    out: Path
    checkpoint: Path
    inputs: Mapping[str, Path]
    needs: Mapping[str, str]
    key: str
    backbone: Backbone
    backbone_folder: Callable[[], Path]
    fingerprints: Fingerprints
    precision: str
    folder: Path
    outside: bool = False
    report: Callable[[Progress], None]
    stop: StopRequest
    mapped: Path | None = None
    recipe: Mapping[str, object]
    lock: Mapping[str, object]
