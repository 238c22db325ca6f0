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
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from composer.recipe.grammar.training import Training

logger = logging.getLogger(__name__)

MOST = 2**31
"""Bytes on disk; where more would arrive, nothing is kept."""

_VALUES = 2  # vectors a token: the sub-layer's output, and the residual
_BYTES = 4  # a number, in float32


class Arrivals:
    """What arrives at one site, of every text; read by the batch, so memory does not grow with it.

    Args:
        file: Empty, and open as long as it is asked. Of each text it takes the sub-layer's output
            and the residual, (2, tokens, size).
        backbone: Whose layers lie below the site.
        site: The first where anything acts.
        rows: The texts, encoded.
        batch_tokens: Most tokens that are computed together.
    """

    def __init__(
        self,
        file: BinaryIO,
        backbone: Backbone,
        site: Site,
        rows: Sequence[Encoded],
        *,
        batch_tokens: int,
    ) -> None:
        self._file, self._site, self._size = file, site, backbone.size
        self._lengths = [len(row.ids) for row in rows]
        self._begins: dict[int, int] = {}  # number of a text -> its first byte in the file
        for numbers in batch_plan(self._lengths, batch_tokens=batch_tokens, shuffle=False):
            self._write(backbone, numbers, [rows[number] for number in numbers])

    def of(self, numbers: Tensor) -> Arrived:
        """Give what arrives of these texts, by their numbers, on the device where those are."""
        texts = [self._read(number) for number in numbers.tolist()]
        hidden, residual = torch.from_numpy(np.concatenate(texts, axis=1)).to(numbers.device)
        return Arrived(site=self._site, hidden=hidden, residual=residual)

    def _read(self, number: int) -> NDArray[np.float32]:
        shape = (_VALUES, self._lengths[number], self._size)
        self._file.seek(self._begins[number])
        read = self._file.read(math.prod(shape) * _BYTES)
        return np.frombuffer(read, dtype=np.float32).reshape(shape)

    def _write(self, backbone: Backbone, numbers: Sequence[int], rows: Sequence[Encoded]) -> None:
        device = backbone.word_embeddings.weight.device
        arrays = collate(rows, pad_id=backbone.pad_id)
        batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        with torch.no_grad():
            found = backbone.encoder.arrive(batch, self._site)  # type: ignore[union-attr]
        tokens = torch.stack([found.hidden, found.residual]).cpu().numpy()
        end = 0
        for number in numbers:
            begin, end = end, end + self._lengths[number]
            self._begins[number] = self._file.tell()
            self._file.write(tokens[:, begin:end].tobytes())


@contextmanager
def arrivals_of(
    model: ComposedModel, rows: Sequence[Encoded], training: Training, *, folder: Path
) -> Iterator[Arrivals | None]:
    """Compute what can be kept over the epochs of a training; None: nothing.

    Args:
        model: That learns.
        rows: What it learns from.
        training: Whether there are several epochs, and dropout inside the backbone.
        folder: On the disk that has room for it.
    """
    site, backbone = model.first_site, model.backbone
    if site is None or training.dropout or training.epochs == 1 or not _fits(site, backbone, rows):
        yield None
    else:
        with tempfile.TemporaryFile(dir=folder) as file:
            yield Arrivals(file, backbone, site, rows, batch_tokens=training.batch_tokens)


def _fits(site: Site, backbone: Backbone, rows: Sequence[Encoded]) -> bool:
    """Say whether it is little enough.

    What is free on the disk is not asked: computed in other batches the last bits would be
    others, and what a stage learns must not depend on that.
    """
    needed = sum(len(row.ids) for row in rows) * _VALUES * backbone.size * _BYTES
    if needed > MOST:
        logger.info(
            "layers below %s run in every epoch: what they give is %d MiB, and %d are kept at most",
            site,
            needed >> 20,
            MOST >> 20,
        )
    return needed <= MOST
