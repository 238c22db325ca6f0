"""Batches of like length, so that little is padded, and arrays of them.

    batch_plan([3, 9, 4, 8], batch_tokens=18, shuffle=False)     [[1, 3], [2, 0]]

A batch holds as many rows as fit when all are as long as its longest: rows * longest is at most
`batch_tokens`. An example that is longer than that is a batch of its own. To learn, as few
batches as that gives are made as even as can be: a step moves the weights as far for a last
sentence of three tokens as for a hundred sentences.

Where a number of examples is asked for instead, as papers do, batches are drawn whatever the
lengths are, and only one of a group may be smaller.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from composer.data.bio import IGNORED
from composer.data.encode import Encoded

Labels = Sequence[int] | Sequence[float] | Sequence[Sequence[int]] | Sequence[Sequence[float]]

_BLUR = 0.1  # of a length: examples that differ by less meet in another order each epoch


def batch_plan(
    lengths: Sequence[int],
    *,
    batch_tokens: int,
    batch_examples: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    groups: Sequence[str] | None = None,
) -> list[list[int]]:
    """Share out examples over batches; each index stands in exactly one.

    Args:
        lengths: Tokens of each example, with special ones.
        batch_tokens: Most tokens of a batch, padding included.
        batch_examples: So many examples a batch, however many tokens those are.
        seed: Of the order; the same seed and epoch give the same plan.
        epoch: Another one, another order and other companions.
        shuffle: False, to evaluate: longest first, whatever seed and epoch.
        groups: What each example belongs to (its language); a batch has one group only.

    >>> batch_plan([3, 9, 4, 8], batch_tokens=18, shuffle=False)
    [[1, 3], [2, 0]]
    """
    _check(lengths, batch_tokens, batch_examples, groups)
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    # Only uniform numbers are drawn: their stream is the same in every version of numpy.
    numbers = rng.random(len(lengths)) if shuffle else np.zeros(len(lengths))
    order = numbers
    if not shuffle or batch_examples is None:
        order = np.asarray(lengths, dtype=np.float64) * (1.0 - _BLUR * numbers)
    plan: list[list[int]] = []
    for members in _members(groups or [""] * len(lengths)):
        ordered = _largest_first(members, order)
        if batch_examples is not None:
            plan += _cut(ordered, batch_examples)
        else:
            plan += _pack(ordered, lengths, batch_tokens, even=shuffle)
    if not shuffle:
        return plan
    return [plan[index] for index in np.argsort(rng.random(len(plan)), kind="stable")]


def _check(
    lengths: Sequence[int],
    batch_tokens: int,
    batch_examples: int | None,
    groups: Sequence[str] | None,
) -> None:
    if min(lengths, default=1) < 1 or batch_tokens < 1 or (batch_examples or 1) < 1:
        raise ValueError("lengths, batch_tokens and batch_examples must be at least 1")
    if groups is not None and len(groups) != len(lengths):
        raise ValueError(f"{len(groups)} groups for {len(lengths)} lengths")


def _members(groups: Sequence[str]) -> list[list[int]]:
    """Put together what belongs to one group, in the order of their names."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return [members[group] for group in sorted(members)]


def _largest_first(members: list[int], sizes: NDArray[np.float64]) -> list[int]:
    order = np.argsort(-sizes[members], kind="stable")
    return [members[position] for position in order]


def _cut(ordered: Sequence[int], examples: int) -> list[list[int]]:
    return [[*ordered[at : at + examples]] for at in range(0, len(ordered), examples)]


def _pack(
    ordered: Sequence[int], lengths: Sequence[int], tokens: int, *, even: bool
) -> list[list[int]]:
    """Fill batches of at most so many tokens; even: the fewest tokens that make no more of them."""
    plan = _filled(ordered, lengths, tokens)
    if not even or len(plan) < 2:
        return plan
    too_few, enough = sum(lengths[index] for index in ordered) // len(plan) - 1, tokens
    while enough - too_few > 1:
        between = (too_few + enough) // 2
        tried = _filled(ordered, lengths, between)
        if len(tried) > len(plan):
            too_few = between
        else:
            enough, plan = between, tried
    return plan


def _filled(ordered: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for index in ordered:
        grown = max(longest, lengths[index])
        if batches and grown * (len(batches[-1]) + 1) <= tokens:
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
        labels: A class (int64) or a number (float32) a row, a 1.0 or 0.0 a class (float32), or a
            tag a token (int64, padded with `IGNORED`).

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
    rows = [[*row] for row in labels if isinstance(row, Sequence)]
    if any(isinstance(one, float) for row in rows for one in row):
        return np.asarray(rows, dtype=np.float32)
    return pad([[int(one) for one in row] for row in rows], IGNORED)


def pad(rows: Sequence[Sequence[int]], value: int) -> NDArray[np.int64]:
    """Make one array of rows of different lengths, filled up on the right.

    >>> pad([[1, 2, 3], [4]], 0).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    array = np.full((len(rows), max(map(len, rows), default=0)), value, dtype=np.int64)
    for number, row in enumerate(rows):
        array[number, : len(row)] = row
    return array
