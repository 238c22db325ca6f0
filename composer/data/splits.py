"""Hold examples out of one file, so that nobody need split it, and the split never drifts.

The rule, for the splits that have no file of their own:

1. A text's position is the first 8 bytes of the SHA-256 of its NFC form, as a share of 2^64.
   Positions below 0.1 are the test split, the next 0.1 validation, the rest training. So equal
   texts share a split, the order of rows does not matter, and a new row moves no other.
2. A label that no training text would have brings the text of it with the highest position
   back into training.
3. A split that is empty then, as happens below some 50 texts, takes the training text with
   the lowest position whose labels other training texts have too.
"""

import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from composer.data.examples import Example
from composer.recipe.grammar.data import Split

HELD_OUT: Mapping[Split, float] = {"test": 0.1, "validation": 0.1}
FEW = 20

_logger = logging.getLogger(__name__)


def position(text: str) -> float:
    """Place a text between 0 and 1 by its hash.

    >>> position("caf\u00e9") == position("cafe\u0301")
    True
    """
    digest = hashlib.sha256(unicodedata.normalize("NFC", text).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(text: str, fractions: Mapping[Split, float] = HELD_OUT) -> Split:
    """Say which split a text belongs to by its hash alone (the first part of the rule).

    Args:
        text: Of the example.
        fractions: Share of each split that is held out; the rest is training.

    >>> split_of("turn on the lamp"), split_of("turn on the lamp", {"test": 0.5})
    ('train', 'test')
    """
    share = position(text)
    for split in ("test", "validation"):
        share -= fractions.get(split, 0.0)
        if share < 0:
            return split
    return "train"


def held_out(
    examples: Sequence[Example], split: Split, fractions: Mapping[Split, float] = HELD_OUT
) -> list[Example]:
    """Take one split of examples that came from one file, in their order.

    The list is empty if there are too few texts for the rule; the caller says so.
    """
    texts = _assign(examples, fractions)
    chosen = [example for example in examples if texts[example.text] == split]
    if split in fractions and 0 < len(chosen) < FEW:
        _logger.warning(
            "the %s split held out of %s examples has %s; a score on so few says little",
            split, len(examples), len(chosen),
        )  # fmt: skip
    return chosen


def _assign(examples: Sequence[Example], fractions: Mapping[Split, float]) -> dict[str, Split]:
    labels: dict[str, set[str]] = {}
    for example in examples:
        labels.setdefault(example.text, set()).update(labels_of(example))
    ordered = sorted(labels, key=lambda text: (position(text), text))
    splits = {text: split_of(text, fractions) for text in ordered}

    trained = Counter(
        label for text in ordered if splits[text] == "train" for label in labels[text]
    )
    for text in reversed(ordered):
        if any(label not in trained for label in labels[text]):
            splits[text] = "train"
            trained.update(labels[text])

    for split in fractions:
        if split in splits.values():
            continue
        spare = [text for text in ordered if splits[text] == "train"]
        for text in spare[: len(spare) - 1]:
            if all(trained[label] > 1 for label in labels[text]):
                splits[text] = split
                trained.subtract(labels[text])
                break
    return splits


def labels_of(example: Example) -> set[str]:
    """List the labels that an example teaches: its class or classes, or those of its spans.

    >>> labels_of(Example(text="dim it", label="HassLightSet"))
    {'HassLightSet'}
    """
    if isinstance(example.label, str):
        return {example.label}
    if isinstance(example.label, tuple):
        return set(example.label)
    return {span.label for span in example.spans}
