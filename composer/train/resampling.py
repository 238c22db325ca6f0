"""How sure a score is, and whether one composition is better than another.

    interval(...)          the middle 95 % of the scores of resamples (Efron and Tibshirani, 1993)
    paired test            the difference in the same resamples; exact McNemar where one training
                           is compared with one in accuracy (McNemar, 1947)

A resample draws as many examples as there are, with replacement, and as many of the trainings
(seeds); every training of a language is scored on the same draw. Languages draw apart from each
other, seeds together. All draws follow from a seed and the language's tag: adding a composition
or a language moves nothing else. Whatever is compared is drawn alike, so it is paired.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from composer.recipe.grammar.tasks import Score
from composer.train.metrics import Values, score
from composer.train.sums import Numbers, resampled_scores, right_ones

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one training said of the examples of one language.

    Attributes:
        predictions: A class, a number, labels or spans of each example.
        gold: What is right, in the same order.
    """

    predictions: Values
    gold: Values


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A score with what resampling says of it.

    Attributes:
        value: Of all examples, the mean over trainings.
        resamples: The same of each resample.
    """

    value: float
    resamples: Numbers

    @property
    def interval(self) -> tuple[float, float]:
        """The percentile interval."""
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(self.resamples, [tail, 1 - tail])
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much better one is than another.

    Attributes:
        value: The first score less the second.
        low: End of the interval of the difference.
        high: The other end.
        p: Two-sided: how often chance alone gives such a difference.
        test: "mcnemar" or "bootstrap".
    """

    value: float
    low: float
    high: float
    p: float
    test: str


def measure(
    name: Score, trials: Sequence[Judged], *, language: str, seed: int, resamples: int
) -> Measured:
    """Score the trainings of one composition in one language, and resample.

    Args:
        name: Of the score.
        trials: One a training; all of the same examples, in the same order.
        language: Its tag, which the draw follows from.
        seed: Of the draw.
        resamples: How many.
    """
    draws = _draws(seed, language, len(trials[0].gold), resamples)
    each = [
        resampled_scores(name, predictions=one.predictions, gold=one.gold, draws=draws)
        for one in trials
    ]
    chosen = _draws(seed, "", len(trials), resamples)  # (resamples, trainings)
    weights = np.stack([(chosen == place).mean(1) for place in range(len(trials))])
    values = [score(name, predictions=one.predictions, gold=one.gold) for one in trials]
    return Measured(value=float(np.mean(values)), resamples=(weights * np.stack(each)).sum(0))


def mean_of(measured: Sequence[Measured]) -> Measured:
    """Give the mean over languages, each of the same weight."""
    return Measured(
        value=float(np.mean([one.value for one in measured])),
        resamples=np.mean([one.resamples for one in measured], axis=0),
    )


def difference(one: Measured, other: Measured) -> Difference:
    """Compare two of the same languages by a paired bootstrap.

    p is twice the share of resamples in which the sign is the other one (Davison and Hinkley,
    1997, section 4.4), never below 2 / (resamples + 1).
    """
    apart = Measured(value=one.value - other.value, resamples=one.resamples - other.resamples)
    below, above = int((apart.resamples <= 0).sum()), int((apart.resamples >= 0).sum())
    p = 2 * (min(below, above) + 1) / (len(apart.resamples) + 1)
    low, high = apart.interval
    return Difference(value=apart.value, low=low, high=high, p=min(1.0, p), test="bootstrap")


def mcnemar(one: Judged, other: Judged) -> float:
    """Give the exact p of McNemar's test: are the two right equally often?

    >>> off = Judged(predictions=["b"] * 6, gold=["a"] * 6)
    >>> mcnemar(Judged(predictions=["a"] * 6, gold=["a"] * 6), off)
    0.03125
    """
    ours = right_ones(one.predictions, one.gold)
    theirs = right_ones(other.predictions, other.gold)
    only_one, only_other = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    if not only_one + only_other:
        return 1.0
    return float(stats.binomtest(only_one, only_one + only_other).pvalue)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Correct the p of several tests, so that all hold at once (Holm, 1979).

    >>> holm({"de": 0.01, "fr": 0.04, "fi": 0.03})
    {'de': 0.03, 'fi': 0.06, 'fr': 0.06}
    """
    found: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(ps, key=lambda one: (ps[one], one))):
        least = max(least, min(1.0, (len(ps) - place) * ps[name]))
        found[name] = least
    return found


@lru_cache(maxsize=8)  # all that is scored in a language is drawn alike
def _draws(seed: int, language: str, size: int, resamples: int) -> NDArray[np.int64]:
    """Draw places with replacement: (resamples, size)."""
    stream = int.from_bytes(hashlib.sha256(language.encode()).digest()[:8], "big")
    rng = np.random.Generator(np.random.PCG64([seed, stream]))
    # Only uniform numbers are drawn: their stream is the same in every version of numpy.
    draws = (rng.random((resamples, size)) * size).astype(np.int64)
    draws.flags.writeable = False
    return draws
