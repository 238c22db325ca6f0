"""Batches of more rows than fit in memory, planned a window of rows at a time.

    rows       0 1 2 3 ... 17,000,000
    blocks     128 rows that follow each other
    windows    256 blocks, drawn anew each epoch; the batches of one are planned together

A text of up to 32,768 rows is one window, and its batches are those of `batch_plan`. Of a longer
one the blocks are shuffled and the rows of each window: what is near in the text is seldom near in
an epoch. What is held is one window and a number a block.
"""

import numpy as np
from numpy.typing import NDArray

from composer.data.batches import batch_plan
from composer.data.tokens import TokenFile

BLOCK = 128  # rows
WINDOW = 256 * BLOCK  # rows


class WindowedPlan:
    """The batches of one epoch: lists of row numbers, each row in exactly one.

    Args:
        rows: Whose lengths decide what fits.
        batch_tokens: Most tokens of a batch, padding included.
        batch_examples: So many rows a batch, however many tokens those are.
        seed: Of the order; the same seed and epoch give the same plan.
        epoch: Another one, another order.
        shuffle: False, to evaluate: windows in the order of the text, whatever seed and epoch.
    """

    def __init__(
        self,
        rows: TokenFile,
        *,
        batch_tokens: int,
        batch_examples: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> None:
        self._rows, self._seed, self._epoch, self._shuffle = rows, seed, epoch, shuffle
        self._batch_tokens, self._batch_examples = batch_tokens, batch_examples
        self._blocks = np.arange(-(-len(rows) // BLOCK))
        if shuffle and len(rows) > WINDOW:
            rng = np.random.Generator(np.random.PCG64([seed, epoch]))
            self._blocks = np.argsort(rng.random(len(self._blocks)), kind="stable")
        self._planned: tuple[int, list[list[int]]] = (-1, [])
        windows = range(-(-len(self._blocks) * BLOCK // WINDOW))
        self._ends = np.cumsum([len(self._window(number)) for number in windows])

    def __len__(self) -> int:
        """Count the batches."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, number: int) -> list[int]:
        """Give the numbers of a batch's rows."""
        window = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[window - 1]) if window else 0
        return self._window(window)[number - before]

    def _window(self, number: int) -> list[list[int]]:
        """Plan the batches of a window; the last one planned is kept."""
        if self._planned[0] != number:
            rows, lengths = self._read(number)
            plan = batch_plan(
                lengths.tolist(),
                batch_tokens=self._batch_tokens,
                batch_examples=self._batch_examples,
                seed=self._seed,
                epoch=self._epoch + (number << 32),
                shuffle=self._shuffle,
            )
            self._planned = (number, [rows[batch].tolist() for batch in plan])
        return self._planned[1]

    def _read(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the numbers and the lengths of a window's rows."""
        blocks = self._blocks[number * WINDOW // BLOCK : (number + 1) * WINDOW // BLOCK]
        starts = np.sort(blocks) * BLOCK
        stops = np.minimum(starts + BLOCK, len(self._rows))
        pairs = [*zip(starts.tolist(), stops.tolist(), strict=True)]
        return (
            np.concatenate([np.arange(start, stop) for start, stop in pairs]),
            self._rows.lengths(pairs),
        )
