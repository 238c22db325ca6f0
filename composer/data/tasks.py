"""What a task's examples must be, its label set, and a few of them drawn for few-shot training.

train.csv:7: the text is empty
test.csv:3: training never saw the label 'HassTurnOnn'; did you mean 'HassTurnOn'?
train split: every example has the label 'spam'; a classifier needs two
"""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from difflib import get_close_matches

from composer.data.examples import Example, Label, Span
from composer.data.faults import FaultList
from composer.data.splits import labels_of
from composer.data.texts import label_fault, looks, shortened, text_fault
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.tasks import TaskType

_logger = logging.getLogger(__name__)
_COMPARED = 20_000  # labels, for near names: with ten thousand of them each takes a while


def label_set(
    examples: Sequence[Example], *, type: TaskType, given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """List a task's labels: those that are given, else those of its training examples, sorted.

    A token classification's are the labels of its spans, a regression has none.

    >>> label_set([Example(text="a", label="no"), Example(text="b", label="go")],
    ...           type="text-classification")
    ('go', 'no')
    """
    if given is not None:
        return tuple(given)
    if type == "regression":
        return ()
    return tuple(sorted({label for example in examples for label in labels_of(example)}))


def check_examples(
    examples: Sequence[Example],
    *,
    type: TaskType | None,
    labels: Sequence[str],
    split: Split,
    place: str = "",
) -> None:
    """Refuse examples that cannot be learnt from, or scored on.

    Args:
        examples: Of one split.
        type: Of the task; None: plain text.
        labels: The label set.
        split: Training must teach something; the others must hold nothing it did not teach.
        place: What a fault of the whole split is put down to; left out: "train split".

    Raises:
        DataError: Every fault, with the place of its example.
    """
    faults = FaultList()
    checker = _Checker(faults, type, frozenset(labels), split)
    for number, example in enumerate(examples, start=1):
        checker.check(example, example.place or f"{split} split:{number}")
    place = place or f"{split} split"
    if not examples:
        faults.add(place, "no examples")
    elif split == "train" and not len(faults):
        fault = _teaches_nothing(examples, type=type, labels=labels)
        if fault:
            faults.add(place, fault)
    faults.raise_any()
    if split == "train":
        _warn_of_look_alikes(labels, place)


def _warn_of_look_alikes(labels: Sequence[str], place: str) -> None:
    """Say which labels a reader would take for one; they are learnt as several."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(looks(label), []).append(label)
    groups = [group for group in alike.values() if len(group) > 1]
    if groups:
        few = "; ".join(" and ".join(map(ascii, group[:3])) for group in groups[:3])
        more = f"; and {len(groups) - 3} more" if len(groups) > 3 else ""
        _logger.warning(
            "%s: labels that differ only in spaces, capitals or how letters are stored are "
            "learnt as several: %s%s", place, few, more,
        )  # fmt: skip


def _teaches_nothing(
    examples: Sequence[Example], *, type: TaskType | None, labels: Sequence[str]
) -> str | None:
    values = {example.label for example in examples}
    match type:
        case "text-classification" if len(values) == 1:
            return f"every example has the label {next(iter(values))!r}; a classifier needs two"
        case "regression" if len(values) == 1:
            return f"every example has the number {next(iter(values))}; there is nothing to learn"
        case "multi-label-classification" if len(values) == 1:
            said = ", ".join(map(shortened, next(iter(values)) or ())) or "none"  # type: ignore[arg-type]
            return f"every example has the same labels, {said}; there is nothing to learn"
        case "token-classification" if not any(example.spans for example in examples):
            known = f" ({', '.join(labels[:10])})" if labels else ""
            return f"no example has a span{known}; there is nothing to learn"
    return None


class _Checker:
    """Checks one example after another, and looks for near names only where they are shown."""

    def __init__(
        self, faults: FaultList, type: TaskType | None, labels: frozenset[str], split: Split
    ) -> None:
        self.faults, self.type, self.labels, self.split = faults, type, labels, split
        self.known = sorted(labels)

    def check(self, example: Example, place: str) -> None:
        self._add(place, text_fault(example.text))
        if example.pair is not None:
            fault = text_fault(example.pair)
            self._add(place, f"the second text: {fault}" if fault else None)
        match self.type:
            case "text-classification":
                self._check_class(example.label, place)
            case "regression":
                self._check_number(example.label, place)
            case "multi-label-classification":
                self._check_classes(example.label, place)
            case "token-classification":
                self._check_spans(example, place)

    def _add(self, place: str, fault: str | None) -> None:
        if fault:
            self.faults.add(place, fault)

    def _check_class(self, label: Label, place: str) -> None:
        if not isinstance(label, str):
            said = "the label is missing" if label is None else f"the label {label} is no text"
            self.faults.add(place, said)
        else:
            self._add(place, label_fault(label) or self._unseen(label))

    def _check_classes(self, label: Label, place: str) -> None:
        if not isinstance(label, tuple):
            said = "the labels are missing" if label is None else f"{label!r} is no list of labels"
            self.faults.add(place, said)
            return
        for one in label:
            self._add(place, label_fault(one) or self._unseen(one))

    def _check_number(self, label: Label, place: str) -> None:
        if label is None:
            self.faults.add(place, "the label is missing")
        elif isinstance(label, str | tuple) or not math.isfinite(label):
            self.faults.add(place, f"{label!r} is not a finite number")

    def _check_spans(self, example: Example, place: str) -> None:
        before: Span | None = None
        for span in sorted(example.spans, key=lambda span: (span.start, span.end)):
            self._add(place, label_fault(span.label) or self._unseen(span.label))
            self._add(place, _span_fault(span, example.text, before))
            before = span

    def _unseen(self, label: str) -> str | None:
        if label in self.labels:
            return None
        many = len(self.faults) * len(self.labels) > _COMPARED
        near = [] if many else get_close_matches(label, self.known, n=1)
        few = ", ".join(self.known[:10]) + (", ..." if len(self.known) > 10 else "")
        hint = f"did you mean {near[0]!r}?" if near else f"known: {few}"
        if self.split == "train":
            return f"{shortened(label)} is not in the task's label set; {hint}"
        return f"training never saw the label {shortened(label)}; {hint}"


def _span_fault(span: Span, text: str, before: Span | None) -> str | None:
    said = f"the span {span.start}..{span.end} ({shortened(span.label)})"
    if not 0 <= span.start <= span.end <= len(text):
        return f"{said} lies outside the text of {len(text)} characters"
    if not text[span.start : span.end].strip():
        return f"{said} is empty"
    if before and span.start < before.end:
        return f"{said} overlaps {before.start}..{before.end} ({shortened(before.label)})"
    return None


def choose_examples(
    examples: Sequence[Example],
    count: int,
    *,
    seed: int,
    languages: Sequence[str] | None = None,
) -> list[int]:
    """Draw `count` examples; returns their indices, in the order drawn.

    Examples are ordered by the SHA-256 of (seed, language, text, pair, labels), so the order
    of rows does not matter, and a larger draw holds a smaller one's examples unless a label
    makes room for itself. First come those that bring a label no earlier one had, until each
    label has one (or `count` is reached), then the others.

    Args:
        examples: To draw from, of all languages.
        count: How many; with as many examples or fewer, all are drawn.
        seed: Another one, another draw.
        languages: The language of each example, where there are several.
    """
    tags = languages if languages is not None else [""] * len(examples)
    keys = [_draw(seed, tag, one) for tag, one in zip(tags, examples, strict=True)]
    ordered = sorted(range(len(examples)), key=lambda index: (keys[index], index))
    covered: set[str] = set()
    first = []
    for index in ordered:
        new = labels_of(examples[index]) - covered
        if new:
            covered |= new
            first.append(index)
    chosen = set(first)
    rest = [index for index in ordered if index not in chosen]
    drawn = set((first + rest)[:count])
    return [index for index in ordered if index in drawn]


def _draw(seed: int, language: str, example: Example) -> bytes:
    spans = [[span.start, span.end, span.label] for span in example.spans]
    said = [seed, language, example.text, example.pair, example.label, spans]
    return hashlib.sha256(json.dumps(said).encode()).digest()
