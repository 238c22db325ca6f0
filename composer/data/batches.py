"""Batches of like length, so that little is padded, and arrays of them.

    batch_plan([3, 9, 4, 8], batch_tokens=18, shuffle=False)     [[1, 3], [2, 0]]

A batch holds as many rows as fit when all are as long as its longest: rows * longest is at most
`batch_tokens`. An example that is longer than that is a batch of its own.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from composer.data.bio import IGNORED
from composer.data.encode import Encoded

Labels = Sequence[int] | Sequence[float] | Sequence[Sequence[int]]

_BLUR = 0.1  # of a length: examples that differ by less meet in another order each epoch


def batch_plan(
    lengths: Sequence[int],
    *,
    batch_tokens: int,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    groups: Sequence[str] | None = None,
) -> list[list[int]]:
    """Share out examples over batches; each index stands in exactly one.

    Args:
        lengths: Tokens of each example, with special ones.
        batch_tokens: Most tokens of a batch, padding included.
        seed: Of the order; the same seed and epoch give the same plan.
        epoch: Another one, another order and other companions.
        shuffle: False, to evaluate: longest first, whatever seed and epoch.
        groups: What each example belongs to (its language); a batch has one group only.

    >>> batch_plan([3, 9, 4, 8], batch_tokens=18, shuffle=False)
    [[1, 3], [2, 0]]
    """
    if min(lengths, default=1) < 1 or batch_tokens < 1:
        raise ValueError("lengths and batch_tokens must be at least 1")
    tags = groups if groups is not None else [""] * len(lengths)
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    sizes = np.asarray(lengths, dtype=np.float64)
    # Only uniform numbers are drawn: their stream is the same in every version of numpy.
    blurred = sizes * (1.0 - _BLUR * rng.random(len(sizes))) if shuffle else sizes
    members: dict[str, list[int]] = {}
    for index, tag in enumerate(tags):
        members.setdefault(tag, []).append(index)
    if len(tags) != len(lengths):
        raise ValueError(f"{len(tags)} groups for {len(lengths)} lengths")
    plan = [
        batch
        for tag in sorted(members)
        for batch in _pack(_longest_first(members[tag], blurred), lengths, batch_tokens)
    ]
    if not shuffle:
        return plan
    return [plan[index] for index in np.argsort(rng.random(len(plan)), kind="stable")]


def _longest_first(members: list[int], sizes: NDArray[np.float64]) -> list[int]:
    order = np.argsort(-sizes[members], kind="stable")
    return [members[position] for position in order]


def _pack(ordered: Sequence[int], lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for index in ordered:
        grown = max(longest, lengths[index])
        if batches and grown * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
            longest = grown
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def collate(
    rows: Sequence[Encoded], *, pad_id: int, labels: Labels | None = None
) -> dict[str, NDArray[np.generic]]:
    """Make a batch's arrays, padded on the right to its longest row.

    Args:
        rows: Encoded examples.
        pad_id: Fills `input_ids`; the attention mask is 0 there.
        labels: A class (int64) or a number (float32) a row, or a tag a token (int64, padded
            with `IGNORED`).

    Returns:
        `input_ids`, `attention_mask`, `token_type_ids` and, where given, `labels`.
    """
    batch: dict[str, NDArray[np.generic]] = {
        "input_ids": pad([row.ids for row in rows], pad_id),
        "attention_mask": pad([[1] * len(row.ids) for row in rows], 0),
        "token_type_ids": pad([row.type_ids for row in rows], 0),
    }
    if labels is not None:
        if len(labels) != len(rows):
            raise ValueError(f"{len(labels)} labels for {len(rows)} rows")
        batch["labels"] = _label_array(labels)
    return batch


def _label_array(labels: Labels) -> NDArray[np.generic]:
    if all(isinstance(label, int | np.integer) for label in labels):
        return np.asarray(labels, dtype=np.int64)
    if all(isinstance(label, float | np.floating) for label in labels):
        return np.asarray(labels, dtype=np.float32)
    return pad([[*row] for row in labels if isinstance(row, Sequence)], IGNORED)


def pad(rows: Sequence[Sequence[int]], value: int) -> NDArray[np.int64]:
    """Make one array of rows of different lengths, filled up on the right.

    >>> pad([[1, 2, 3], [4]], 0).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    array = np.full((len(rows), max(map(len, rows), default=0)), value, dtype=np.int64)
    for number, row in enumerate(rows):
        array[number, : len(row)] = row
    return array
