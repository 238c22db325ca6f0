"""What the layers below the first adapter give, computed once instead of in every epoch.

    text -> embeddings, frozen layers  |  first site where a weight acts -> ... -> head
                     once              |        in every step

Nothing below that site moves while adapters learn, and without dropout inside the backbone a text
arrives there the same in every epoch: a 24th of a step of a backbone of 12 layers with adapters in
all of them, more where `leave_out` spares the lowest layers, nearly all of it for a head alone.

What arrives lies in a file without a name, so that it is gone when the training ends, however that
ends. A training that is resumed computes it again, in the same batches.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composer.data.batches import batch_plan, collate
from composer.data.encode import Encoded
from composer.model.adapters import Site
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.encoder import Arrived
from composer.recipe.schema import Training

logger = logging.getLogger(__name__)

MOST = 2**31
"""Bytes on disk; where more would arrive, nothing is kept."""

_VALUES = 2  # vectors a token: the sub-layer's output, and the residual
_WIDE = np.dtype(np.float32)


class Arrivals:
    """What arrives at one site, of every text.

    Args:
        backbone: Whose layers lie below the site.
        site: The first where anything acts.
        rows: The texts, encoded.
        batch_tokens: Most tokens that are computed together.
        folder: On the disk that has room for it.
    """

    def __init__(
        self,
        backbone: Backbone,
        site: Site,
        rows: Sequence[Encoded],
        *,
        batch_tokens: int,
        folder: Path,
    ) -> None:
        self._site = site
        self._begins: dict[int, int] = {}  # number of a text -> its first token in the file
        self._lengths = [len(row.ids) for row in rows]
        with tempfile.TemporaryFile(dir=folder) as file:
            for numbers in batch_plan(self._lengths, batch_tokens=batch_tokens, shuffle=False):
                self._write(file, backbone, numbers, [rows[number] for number in numbers])
            file.flush()
            shape = (sum(self._lengths), _VALUES, backbone.size)
            self._tokens = np.memmap(file, dtype=_WIDE, mode="r", shape=shape)

    def of(self, numbers: Tensor) -> Arrived:
        """Give what arrives of these texts, by their numbers, on the device where those are."""
        places = np.concatenate([self._places(number) for number in numbers.tolist()])
        hidden, residual = (
            torch.from_numpy(self._tokens[places, value]).to(numbers.device)
            for value in range(_VALUES)
        )
        return Arrived(site=self._site, hidden=hidden, residual=residual)

    def _places(self, number: int) -> NDArray[np.int64]:
        return np.arange(self._lengths[number], dtype=np.int64) + self._begins[number]

    def _write(
        self, file: BinaryIO, backbone: Backbone, numbers: Sequence[int], rows: Sequence[Encoded]
    ) -> None:
        device = backbone.word_embeddings.weight.device
        arrays = collate(rows, pad_id=backbone.pad_id)
        batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        with torch.no_grad():
            found = backbone.encoder.arrive(batch, self._site)  # type: ignore[union-attr]
        place = file.tell() // _bytes_a_token(backbone)
        for number in numbers:
            self._begins[number] = place
            place += self._lengths[number]
        file.write(torch.stack([found.hidden, found.residual], dim=1).cpu().numpy().tobytes())


def arrivals_of(
    model: ComposedModel, rows: Sequence[Encoded], training: Training, *, folder: Path
) -> Arrivals | None:
    """Compute what can be kept over the epochs of a training; None: nothing.

    Args:
        model: That learns.
        rows: What it learns from.
        training: Whether there are several epochs, and dropout inside the backbone.
        folder: On the disk that has room for it.
    """
    site, backbone = model.first_site, model.backbone
    if site is None or training.dropout or training.epochs == 1:
        return None
    needed = sum(len(row.ids) for row in rows) * _bytes_a_token(backbone)
    if needed > MOST:
        logger.info(
            "layers below %s run in every epoch: what they give is %d MiB, and %d are kept at most",
            site,
            needed >> 20,
            MOST >> 20,
        )
        return None
    tokens = training.batch_tokens
    return Arrivals(backbone, site, rows, batch_tokens=tokens, folder=folder)


def _bytes_a_token(backbone: Backbone) -> int:
    return _VALUES * backbone.size * _WIDE.itemsize
