"""Training state to go on from, in one safetensors file; private to a stage, never published.

    weight:NAME     what is trained          best:NAME      the best of it so far
    moment:NAME:S   the optimiser's state    random         torch's generator

The numbers (epoch, batch, history) are JSON in the file's metadata, so that state and numbers
can never be of two different steps. Written beside and renamed: a torn write leaves the last one.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from composer.errors import StoreError


@dataclass
class Trained:
    """What a training did, as it is written to `training.json`.

    Attributes:
        steps: Optimiser updates.
        epochs: Passes that were completed.
        best_epoch: The pass whose weights were kept, counted from 1.
        best_score: Its validation score; None without validation.
        history: One entry an epoch: mean loss, score.
    """

    steps: int = 0
    epochs: int = 0
    best_epoch: int = 0
    best_score: float | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that the next step depends on, and what was reached so far.

    Attributes:
        epoch: To go on with, counted from 0.
        batch: To go on with, within the epoch.
        stale_epochs: Epochs since the best score.
        losses: Of the epoch so far.
        trained: What was done so far.
        weights: Name -> trained tensor.
        best: Name -> tensor of the best epoch; empty before the first.
        moments: "name:slot" -> the optimiser's tensor.
        random: State of torch's generator.
    """

    epoch: int
    batch: int
    stale_epochs: int
    losses: list[float]
    trained: Trained
    weights: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: dict[str, Tensor]
    random: Tensor


_NUMBERS = ("epoch", "batch", "stale_epochs", "losses")
_TENSORS = {"weight": "weights", "best": "best", "moment": "moments"}


def write_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in one step."""
    tensors = {
        f"{prefix}:{name}": tensor.detach().cpu().contiguous()
        for prefix, field in _TENSORS.items()
        for name, tensor in getattr(checkpoint, field).items()
    }
    tensors["random"] = checkpoint.random
    numbers = {name: getattr(checkpoint, name) for name in _NUMBERS}
    numbers["trained"] = asdict(checkpoint.trained)
    data = save(tensors, metadata={"numbers": json.dumps(numbers)})
    unfinished = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        unfinished.replace(file)
    except OSError as error:
        raise StoreError(f"{file}: the checkpoint cannot be written: {error.strerror}") from error


def read_checkpoint(file: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises:
        StoreError: The file is damaged; it may be deleted, the stage then starts anew.
    """
    fields: dict[str, dict[str, Tensor]] = {field: {} for field in _TENSORS.values()}
    try:
        with safe_open(file, framework="pt") as stored:
            numbers = json.loads(stored.metadata()["numbers"])
            trained = Trained(**numbers.pop("trained"))
            random = stored.get_tensor("random")
            for key in stored.keys():  # noqa: SIM118 (not a dict)
                if key != "random":
                    prefix, name = key.split(":", 1)
                    fields[_TENSORS[prefix]][name] = stored.get_tensor(key).clone()
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise StoreError(
            f"{file}: the checkpoint is damaged ({error}); delete it to start this stage anew"
        ) from error
    return Checkpoint(
        **numbers,
        trained=trained,
        weights=fields["weights"],
        best=fields["best"],
        moments=fields["moments"],
        random=torch.as_tensor(random),
    )
