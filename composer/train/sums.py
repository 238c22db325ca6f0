"""Scores as functions of sums over examples, so that a thousand resamples are one product.

    evidence  (examples, k)    what each example adds: right or not, classes, spans, moments
    counts    (resamples, examples)    how often each resample holds each example
    scores_of_sums(counts @ evidence)    a score a resample

Each is held equal to `composer.train.metrics`. A rank correlation is no function of sums; it is
the linear one of ranks that are taken anew in each resample.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from composer.recipe.grammar.tasks import Score
from composer.train.metrics import Values

Numbers = NDArray[np.float64]

_BLOCK = 4_000_000  # numbers that are held at once


def resampled_scores(
    name: Score, *, predictions: Values, gold: Values, draws: NDArray[np.int64]
) -> Numbers:
    """Take a score of every resample.

    Args:
        name: Of the score.
        predictions: Of each example.
        gold: What is right, in the same order.
        draws: (resamples, examples): which examples each resample holds, by index.

    Returns:
        (resamples,) scores; 0 where one is undefined, as in `composer.train.metrics`.

    >>> both = np.array([[0, 0], [0, 1]])
    >>> resampled_scores("accuracy", predictions=["a", "b"], gold=["a", "c"], draws=both).tolist()
    [1.0, 0.5]
    """
    size = max(1, _BLOCK // max(1, len(gold)))
    blocks = [draws[first : first + size] for first in range(0, len(draws), size)]
    if name == "spearman":
        pairs = np.array([predictions, gold], dtype=np.float64)
        return np.concatenate([_spearman(pairs[:, block]) for block in blocks])
    evidence = _evidence(name, predictions, gold)
    return np.concatenate([_of_sums(name, _counts(one, len(gold)) @ evidence) for one in blocks])


def right_ones(predictions: Values, gold: Values) -> NDArray[np.bool_]:
    """Say which examples are right: equal classes, or the same labels or spans to the last."""
    pairs = zip(_sets(predictions), _sets(gold), strict=True)
    return np.array([said == right for said, right in pairs])


def _counts(draws: NDArray[np.int64], examples: int) -> Numbers:
    """Count how often each resample holds each example: (resamples, examples)."""
    flat = draws + examples * np.arange(len(draws))[:, None]
    counts = np.bincount(flat.ravel(), minlength=len(draws) * examples)
    return counts.reshape(len(draws), examples).astype(np.float64)


def _evidence(name: Score, predictions: Values, gold: Values) -> Numbers:
    """Say what each example adds to the sums that a score is made of: (examples, k).

    accuracy, exact-match    1, right
    pearson                  1, x, y, x^2, y^2, x y
    span-f1, micro-f1        1, spans or labels that are right, that were said, that are gold
    others                   1, and for each label: right, said, gold
    """
    ones = np.ones((len(gold), 1))
    if name in ("accuracy", "exact-match"):
        return np.hstack([ones, right_ones(predictions, gold)[:, None]])
    if name == "pearson":
        x, y = (_centred(values)[:, None] for values in (predictions, gold))
        return np.hstack([ones, x, y, x * x, y * y, x * y])
    said, right = _sets(predictions), _sets(gold)
    if name in ("span-f1", "micro-f1"):
        rows = [[len(a & b), len(a), len(b)] for a, b in zip(said, right, strict=True)]
        return np.hstack([ones, np.array(rows, dtype=np.float64)])
    labels = sorted(set[object]().union(*said, *right), key=str)
    one, other = (
        np.array([[label in row for label in labels] for row in rows], dtype=np.float64)
        for rows in (said, right)
    )
    return np.hstack([ones, one * other, one, other])


def _of_sums(name: Score, sums: Numbers) -> Numbers:
    """Make scores of sums of evidence: (resamples, k) to (resamples,)."""
    n, rest = sums[:, 0], sums[:, 1:]
    if name in ("accuracy", "exact-match"):
        return np.asarray(rest[:, 0] / n)
    if name == "pearson":
        x, y, xx, yy, xy = (column / n for column in rest.T)
        spread = np.maximum(xx - x * x, 0.0) * np.maximum(yy - y * y, 0.0)
        return np.clip(_ratio(xy - x * y, np.sqrt(spread)), -1.0, 1.0)
    if name in ("span-f1", "micro-f1"):
        return _ratio(2 * rest[:, 0], rest[:, 1] + rest[:, 2])
    right, said, gold = np.split(rest, 3, axis=1)  # (resamples, labels) each
    if name == "macro-f1":
        there = (said + gold) > 0
        return _ratio(_ratio(2 * right, said + gold).sum(1), there.sum(1).astype(np.float64))
    if name == "matthews":
        # Gorodkin (2004), equation 8, in the sums of a table of confusion
        above = right.sum(1) * n - (said * gold).sum(1)
        below = (n * n - (said**2).sum(1)) * (n * n - (gold**2).sum(1))
        return _ratio(above, np.sqrt(np.maximum(below, 0.0)))
    raise ValueError(f"{name} is no score of sums")


def _spearman(pairs: Numbers) -> Numbers:
    ranks = stats.rankdata(pairs, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    above = (ranks[0] * ranks[1]).sum(-1)
    below = np.sqrt((ranks[0] ** 2).sum(-1) * (ranks[1] ** 2).sum(-1))
    return _ratio(above, np.asarray(below))


def _centred(values: Values) -> Numbers:
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers - numbers.mean()
    return np.asarray(numbers / (np.abs(numbers).max() or 1.0))


def _sets(values: Values) -> list[set[object]]:
    """Give what is said of each example as a set: of its class, its labels or its spans."""
    found = cast(Sequence[object], values)
    return [set(one) if isinstance(one, (tuple, list, frozenset)) else {one} for one in found]


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    """Divide; 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
