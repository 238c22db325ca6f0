"""Training state to go on from, in one file; private to a stage, never published.

    5f1c…          SHA-256 of all that follows, which is safetensors:
    weight:NAME     what is trained          best:NAME      the best of it so far
    moment:NAME:S   the optimiser's state    random:DEVICE  state of torch's generators
    decided:NAME    what was decided before the first step: masks
    numbers         epoch, batch, history: JSON

All in one file, so that state and numbers can never be of two different steps. Written beside
and renamed, so that a torn write leaves the last one. A file with one byte changed is not used.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from composer.bundle.files import write_hashed
from composer.bundle.header import TensorType, header_bytes
from composer.errors import StoreError

logger = logging.getLogger(__name__)


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
        random: State of torch's generators, by kind of device; "cpu:1" is the second process's.
        decided: What was decided before the first step and stays so, by name.
    """

    epoch: int
    batch: int
    stale_epochs: int
    losses: list[float]
    trained: Trained
    weights: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: dict[str, Tensor]
    random: dict[str, Tensor]
    decided: dict[str, Tensor] = field(default_factory=dict)


_NUMBERS = ("epoch", "batch", "stale_epochs", "losses")
_TENSORS = {
    "weight": "weights",
    "best": "best",
    "moment": "moments",
    "random": "random",
    "decided": "decided",
}
_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.bool: "BOOL",
    torch.uint8: "U8",
}


def write_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in one step; tensors are written from where they lie, not copied."""
    tensors = {
        f"{prefix}:{name}": tensor.detach().cpu().contiguous()
        for prefix, field in _TENSORS.items()
        for name, tensor in getattr(checkpoint, field).items()
    }
    numbers = {name: getattr(checkpoint, name) for name in _NUMBERS}
    text = json.dumps({**numbers, "trained": asdict(checkpoint.trained)})
    tensors["numbers"] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    unfinished = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as handle:
            write_hashed(handle, _pieces(tensors))
            handle.flush()
            os.fsync(handle.fileno())
        unfinished.replace(file)
    except OSError as error:
        raise StoreError(f"{file}: the checkpoint cannot be written: {error.strerror}") from error


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Spell a safetensors file, the longest numbers first so that each lies at a multiple of it."""
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    types = {name: TensorType(_DTYPES[tensors[name].dtype], tensors[name].shape) for name in names}
    yield header_bytes(types)
    for name in names:
        yield tensors[name].reshape(-1).view(torch.uint8).numpy().data


def read_checkpoint(file: Path) -> Checkpoint | None:
    """Read what `write_checkpoint` wrote; None if there is nothing, or it is damaged.

    What is damaged is told, and left for the next checkpoint to replace.

    Raises:
        StoreError: The file is there and cannot be read.
    """
    try:
        if not file.exists():
            return None
        digest, _, data = file.read_bytes().partition(b"\n")
    except OSError as error:
        raise StoreError(f"{file}: the checkpoint cannot be read: {error.strerror}") from error
    if digest != hashlib.sha256(data).hexdigest().encode():
        logger.warning("%s is damaged; it is not used, and this stage starts anew", file)
        return None
    fields: dict[str, dict[str, Tensor]] = {field: {} for field in _TENSORS.values()}
    tensors = load(data)
    numbers = json.loads(bytes(tensors.pop("numbers").tolist()))
    for key, tensor in tensors.items():
        prefix, name = key.split(":", 1)
        fields[_TENSORS[prefix]][name] = tensor
    return Checkpoint(
        **{name: numbers[name] for name in _NUMBERS},
        trained=Trained(**numbers["trained"]),
        weights=fields["weights"],
        best=fields["best"],
        moments=fields["moments"],
        random=fields["random"],
        decided=fields["decided"],
    )
