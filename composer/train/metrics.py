"""The one door to scikit-learn and scipy's statistics: how good predictions are.

    accuracy    share that is right                                   text-classification
    macro-f1    mean F1 of all classes in gold or predictions         text-classification
    matthews    Matthews' correlation, which chance leaves at 0       text-classification
    pearson     linear correlation                                    regression
    spearman    correlation of ranks                                  regression
    micro-f1    F1 of all labels of all examples at once              multi-label-classification
    macro-f1    mean F1 of all labels in gold or predictions          multi-label-classification
    exact-match share whose labels are right, to the last             multi-label-classification
    span-f1     F1 of exact spans, over all examples at once          token-classification

Higher is better in all of them, and none is ever NaN: a correlation with something constant,
and an F1 without any span, are undefined; they count as 0.0, and the log says so.
"""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import stats
from sklearn import metrics

from composer.data.examples import Span
from composer.errors import TrainingError, did_you_mean
from composer.recipe.grammar.tasks import Score, TaskType

Values = (
    Sequence[str]
    | Sequence[int]
    | Sequence[float]
    | Sequence[Sequence[str]]
    | Sequence[Sequence[Span]]
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ScoreInfo:
    """What is known of a score.

    Attributes:
        types: Of the tasks that it is for.
        higher_is_better: Whether the best checkpoint has the highest.
    """

    types: tuple[TaskType, ...]
    higher_is_better: bool = True


SCORES: Mapping[Score, ScoreInfo] = {
    "accuracy": ScoreInfo(types=("text-classification",)),
    "macro-f1": ScoreInfo(types=("text-classification", "multi-label-classification")),
    "matthews": ScoreInfo(types=("text-classification",)),
    "pearson": ScoreInfo(types=("regression",)),
    "spearman": ScoreInfo(types=("regression",)),
    "span-f1": ScoreInfo(types=("token-classification",)),
    "micro-f1": ScoreInfo(types=("multi-label-classification",)),
    "exact-match": ScoreInfo(types=("multi-label-classification",)),
}


def score(name: Score, *, predictions: Values, gold: Values) -> float:
    """Take one score.

    Args:
        name: Of the score.
        predictions: A class, a number, the labels, or the spans of each example.
        gold: What is right, in the same order.

    Raises:
        TrainingError: A number is not finite.
        ValueError: There is nothing to score, or more of one than of the other.

    >>> score("accuracy", predictions=["on", "off"], gold=["on", "on"])
    0.5
    """
    if len(predictions) != len(gold) or not len(gold):
        raise ValueError(f"{len(predictions)} predictions for {len(gold)} examples")
    match name:
        case "micro-f1" | "macro-f1" | "exact-match" if not isinstance(gold[0], str | int):
            return _several(name, predictions, gold)
        case "accuracy" | "macro-f1" | "matthews":
            return _classified(name, predictions, gold)
        case "pearson" | "spearman":
            return _correlated(name, _numbers("predictions", predictions), _numbers("gold", gold))
        case "span-f1":
            return _span_f1(predictions, gold)
    raise ValueError(f"{name!r} is not a score; {did_you_mean(name, SCORES)}")


def all_scores(type: TaskType, *, predictions: Values, gold: Values) -> dict[Score, float]:
    """Take every score that a task of this type has, by name.

    >>> all_scores("regression", predictions=[1.0, 2.0, 4.0], gold=[1.0, 2.0, 3.0])["spearman"]
    1.0
    """
    return {
        name: score(name, predictions=predictions, gold=gold)
        for name, info in SCORES.items()
        if type in info.types
    }


def _classified(name: Score, predictions: Values, gold: Values) -> float:
    known = {label: number for number, label in enumerate(sorted({*predictions, *gold}, key=str))}
    right = np.array([known[label] for label in gold])
    said = np.array([known[label] for label in predictions])
    with warnings.catch_warnings():
        # Many classes and few examples is what few-shot evaluation is.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        warnings.filterwarnings("ignore", message="A single label was found")
        if name == "accuracy":
            return float(metrics.accuracy_score(right, said))
        if name == "matthews":
            return float(metrics.matthews_corrcoef(right, said))
        return float(metrics.f1_score(right, said, average="macro", zero_division=0.0))


def _several(name: Score, predictions: Values, gold: Values) -> float:
    """Score sets of labels."""
    said = [frozenset(one) for one in cast(Sequence[Sequence[str]], predictions)]
    right = [frozenset(one) for one in cast(Sequence[Sequence[str]], gold)]
    if name == "exact-match":
        return sum(one == other for one, other in zip(said, right, strict=True)) / len(right)
    labels = sorted(frozenset().union(*said, *right))
    if not labels:
        _logger.warning("%s is undefined, as there is no label at all; it counts as 0", name)
        return 0.0
    average = name.removesuffix("-f1")
    return float(
        metrics.f1_score(
            _ones(right, labels), _ones(said, labels), average=average, zero_division=0.0
        )
    )


def _ones(
    values: Sequence[frozenset[str]], labels: Sequence[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Give a row of ones and zeros a set, as many as there are labels."""
    return np.array([[int(label in one) for label in labels] for one in values])


def _numbers(what: str, values: Values) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = np.asarray(values, dtype=np.float64)
    wrong = int((~np.isfinite(numbers)).sum())
    if wrong:
        raise TrainingError(f"{wrong} of {len(numbers)} {what} are not finite numbers")
    return numbers


def _correlated(
    name: Score,
    predictions: np.ndarray[tuple[int], np.dtype[np.float64]],
    gold: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    for what, numbers in (("predictions", predictions), ("gold numbers", gold)):
        if numbers.min() == numbers.max():
            _logger.warning("%s is undefined, as all %s are equal; it counts as 0", name, what)
            return 0.0
    correlation = stats.pearsonr if name == "pearson" else stats.spearmanr
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        value = float(correlation(predictions, gold).statistic)
    if math.isnan(value):
        _logger.warning("%s is undefined, as the numbers are too large; it counts as 0", name)
        return 0.0
    return value


def _span_f1(predictions: Values, gold: Values) -> float:
    said, right = _span_set(predictions), _span_set(gold)
    if not said and not right:
        _logger.warning("span-f1 is undefined, as there is no span at all; it counts as 0")
        return 0.0
    return 2 * len(said & right) / (len(said) + len(right))


def _span_set(values: Values) -> set[tuple[int, Span]]:
    spans = cast(Sequence[Sequence[Span]], values)
    return {(number, span) for number, some in enumerate(spans) for span in some}
