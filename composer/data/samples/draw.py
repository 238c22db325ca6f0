"""Random choices that are the same on every Python.

Only `random.Random.random` promises the same numbers from release to release; `choice`,
`shuffle` and `sample` do not, so the choices here are made of it alone.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """Random choices from a seed.

    >>> draw = Draw("assistant/de")
    >>> draw.one_of("abc") in "abc"
    True
    """

    def __init__(self, seed: str) -> None:
        self._random = Random(seed).random  # a string seeds by its SHA-512

    def chance(self, probability: float) -> bool:
        """Say yes so often."""
        return self._random() < probability

    def one_of(self, items: Sequence[T]) -> T:
        """Draw one item, each as likely as the others."""
        return items[self._below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a random order (Fisher and Yates)."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self._below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed

    def early_first(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items in a random order; of those left, the n-th has a weight of 1/n."""
        left = list(items)
        while left:
            at = self._random() * _HARMONIC[min(len(left), len(_HARMONIC) - 1)]
            rank = 0
            while rank + 1 < len(left) and _HARMONIC[rank + 1] <= at:
                rank += 1
            yield left.pop(rank)

    def _below(self, bound: int) -> int:
        return int(self._random() * bound)


_HARMONIC = [0.0]  # 1 + 1/2 + ... + 1/n
for _n in range(1, 65):
    _HARMONIC.append(_HARMONIC[-1] + 1 / _n)
