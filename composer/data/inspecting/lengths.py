"""How long texts are as the backbone reads them, and how much of them it does not read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from composer.data.bio import tags_of_spans
from composer.data.encode import Encoder
from composer.data.examples import Example

_TOGETHER = 1000  # texts encoded at a time


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Tokens of texts, special ones included.

    Attributes:
        median: Of all texts.
        most: What 95 % of the texts do not exceed.
        longest: Of all texts.
        cut: Texts that are longer than the backbone takes.
        cut_tokens: Tokens of theirs that it does not read.
        misaligned: Spans that do not begin and end where tokens do, those that are cut off too.
    """

    median: float
    most: float
    longest: int
    cut: int
    cut_tokens: int
    misaligned: int


def lengths_of(
    examples: Sequence[Example], encoder: Encoder, *, labels: Sequence[str] = ()
) -> Lengths:
    """Measure texts; pairs are measured together, as they are read.

    Args:
        examples: At least one.
        encoder: Of the backbone, with the recipe's `max_tokens`.
        labels: Of spans; empty: there are none to align.
    """
    lengths: list[int] = []
    cut: list[int] = []
    misaligned = 0
    for start in range(0, len(examples), _TOGETHER):
        some = examples[start : start + _TOGETHER]
        rows = encoder.encode(some, truncate=True, offsets=bool(labels))
        lengths += [len(row.ids) + row.cut for row in rows]
        cut += [row.cut for row in rows if row.cut]
        for example, row in zip(some, rows, strict=True) if labels else ():
            tags = tags_of_spans(
                example.spans, text=example.text, offsets=row.offsets, labels=labels
            )
            misaligned += tags.misaligned
    return Lengths(
        median=float(np.median(lengths)),
        most=float(np.percentile(lengths, 95)),
        longest=max(lengths),
        cut=len(cut),
        cut_tokens=sum(cut),
        misaligned=misaligned,
    )
