"""How a bundle's self-test spells outputs, and how far they may be from what was trained."""

import numpy as np
from numpy.typing import NDArray

Rows = tuple[tuple[float, ...], ...]


def output_rows(logits: NDArray[np.floating]) -> Rows:
    """Spell the head's outputs for one input: one row, or one a token.

    >>> output_rows(np.array([0.25, -1.0]))
    ((0.25, -1.0),)
    """
    rows = logits.reshape(-1, logits.shape[-1])
    return tuple(tuple(round(float(value), 7) for value in row) for row in rows)


def relative_difference(got: Rows, expected: Rows) -> float:
    """Give the largest difference, as a share of the largest expected output.

    Infinite where the shapes differ; not a number where an output is none.

    >>> relative_difference(((1.0, 2.5),), ((1.0, 2.0),))
    0.25
    """
    answered, wanted = np.array(got), np.array(expected)
    if answered.shape != wanted.shape:
        return float("inf")
    return float(np.abs(answered - wanted).max() / max(np.abs(wanted).max(), 1e-9))
