"""What a head's outputs mean: a label, several labels, a number or spans.

read_logits(logits, example, row, type="text-classification", labels=("off", "on"))
Prediction(value='on', confidence=0.98)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composer.data.bio import spans_of_tags
from composer.data.encode import Encoded
from composer.data.examples import Example, Span
from composer.recipe.grammar.tasks import TaskType

Value = str | float | tuple[str, ...] | tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a head says about one input.

    Attributes:
        value: A label, a number, labels in the order of the label set, or spans in the order of
            the text.
        confidence: Probability of the label; of spans the least of their tokens'; of labels the
            least of all that were decided, for or against; None for a number.
    """

    value: Value
    confidence: float | None


def read_logits(
    logits: NDArray[np.floating],
    example: Example,
    row: Encoded,
    *,
    type: TaskType,
    labels: Sequence[str],
) -> Prediction:
    """Read what a head says of one input.

    Args:
        logits: (classes,), or (tokens, classes) for token classification.
        example: The input.
        row: It as tokens; with offsets for token classification.
        type: Of the task.
        labels: Its label set in order.
    """
    if type == "regression":
        return Prediction(value=float(logits[0]), confidence=None)
    if type == "multi-label-classification":
        return _several(logits, labels)
    best, shares = logits.argmax(-1), softmax(logits).max(-1)
    if type == "token-classification":
        spans = spans_of_tags(best.tolist(), text=example.text, offsets=row.offsets, labels=labels)
        return Prediction(value=spans, confidence=float(shares.min()))
    return Prediction(value=labels[int(best)], confidence=float(shares))


def _several(logits: NDArray[np.floating], labels: Sequence[str]) -> Prediction:
    """Take each label whose probability is above one half, which is a logit above 0."""
    value = tuple(label for label, logit in zip(labels, logits, strict=True) if logit > 0)
    least = float(np.abs(logits).min())
    return Prediction(value=value, confidence=float(1 / (1 + np.exp(-least))))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Turn logits into probabilities along the last axis.

    >>> softmax(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)  # type: ignore[no-any-return]


def plain_value(value: Value) -> object:
    """Give a value as JSON has it: labels as a list, spans as objects.

    >>> plain_value((Span(start=0, end=4, label="area"),))
    [{'start': 0, 'end': 4, 'label': 'area'}]
    """
    if not isinstance(value, tuple):
        return value
    return [
        one if isinstance(one, str) else {"start": one.start, "end": one.end, "label": one.label}
        for one in value
    ]


def value_of(plain: object) -> Value:
    """Read what `plain_value` wrote.

    >>> value_of([{"start": 0, "end": 4, "label": "area"}])
    (Span(start=0, end=4, label='area'),)
    """
    if isinstance(plain, list):
        if any(isinstance(one, str) for one in plain):
            return tuple(map(str, plain))
        return tuple(Span(**one) for one in plain)
    return plain if isinstance(plain, str) else float(plain)  # type: ignore[arg-type]
