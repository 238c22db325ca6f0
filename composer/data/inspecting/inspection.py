"""All that is looked at of one task's data, or of the text of languages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from composer.data.encode import Encoder
from composer.data.inspecting.characters import character_warnings
from composer.data.inspecting.labels import LabelCounts, label_counts, label_warnings
from composer.data.inspecting.lengths import Lengths, lengths_of
from composer.data.inspecting.parts import Part, share, shown
from composer.data.inspecting.repeats import (
    conflict_warnings,
    copy_warnings,
    duplicates,
    overlap_warnings,
)
from composer.data.inspecting.scripts import script_of, script_warnings
from composer.data.tasks import check_examples, label_set
from composer.errors import DataError, Fault
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.tasks import TaskType


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """What one part of the data is.

    Attributes:
        language: Of its texts.
        split: Which.
        n: Examples.
        lengths: In tokens; None: the backbone is not here.
        duplicates: Examples whose text a former one has.
        without_spans: Of a token classification: texts that have no span.
        script: That most of its texts are in; None: unknown.
    """

    language: str
    split: Split
    n: int
    lengths: Lengths | None
    duplicates: int
    without_spans: int | None
    script: str | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of the data of a task, or of the text of languages.

    Attributes:
        name: "task/intent" or "languages".
        type: Of the task; None: plain text.
        source: Name of the data source.
        parts: In the order in which they were read.
        labels: Label -> split -> how often; empty for numbers and plain text.
        warnings: What is probably not meant.
        faults: What a run refuses.
    """

    name: str
    type: TaskType | None
    source: str
    parts: tuple[PartFacts, ...]
    labels: LabelCounts
    warnings: tuple[Fault, ...]
    faults: tuple[Fault, ...]


def inspect(
    name: str,
    parts: Sequence[Part],
    *,
    source: str,
    type: TaskType | None,
    given: Sequence[str] | None = None,
    truncate: bool = False,
    encoder: Encoder | None = None,
    faults: Sequence[Fault] = (),
) -> Inspection:
    """Look through the data of one task.

    Args:
        name: What it is called.
        parts: With examples; what could not be read is not there.
        source: Name of the data source.
        type: Of the task; None: plain text.
        given: The label set, where the recipe says it.
        truncate: Whether texts that are too long are cut; else a run refuses them.
        encoder: Of the backbone; None: it is not here.
        faults: What was found when the parts were read.
    """
    learnt = [one for part in parts if part.split == "train" for one in part.examples]
    counts = label_counts(parts) if type else {}
    known = label_set(learnt, type=type, given=given) if type else ()
    known = known or tuple(counts)  # training could not be read, and that is told
    facts = tuple(_facts(part, type, encoder, tuple(counts)) for part in parts)
    refused = [*faults]
    for part, one in zip(parts, facts, strict=True):
        refused += _refused(part, type, known)
        refused += _too_long(part, one.lengths, encoder, truncate=truncate)
    return Inspection(
        name=name,
        type=type,
        source=source,
        parts=facts,
        labels=counts,
        warnings=tuple(_warnings(parts, facts, type, counts, truncate=truncate)),
        faults=tuple(dict.fromkeys(refused)),
    )


def _facts(
    part: Part, type: TaskType | None, encoder: Encoder | None, labels: Sequence[str]
) -> PartFacts:
    spans = type == "token-classification"
    measured = None
    if encoder is not None:
        measured = lengths_of(part.examples, encoder, labels=labels if spans else ())
    scripts = [script for one in part.examples if (script := script_of(one.text))]
    return PartFacts(
        language=part.language,
        split=part.split,
        n=len(part.examples),
        lengths=measured,
        duplicates=len(duplicates(part)),
        without_spans=sum(not one.spans for one in part.examples) if spans else None,
        script=max(sorted(set(scripts)), key=scripts.count, default=None),
    )


def _refused(part: Part, type: TaskType | None, labels: Sequence[str]) -> Sequence[Fault]:
    """List what a run refuses of examples that could be read."""
    try:
        check_examples(part.examples, type=type, labels=labels, split=part.split, place=part.place)
    except DataError as error:
        return error.faults
    return ()


def _too_long(
    part: Part, lengths: Lengths | None, encoder: Encoder | None, *, truncate: bool
) -> Iterator[Fault]:
    if lengths is not None and encoder is not None and lengths.cut and not truncate:
        yield Fault(
            part.place,
            f"{share(lengths.cut, len(part.examples))} are longer than the {encoder.max_tokens} "
            f"tokens that the backbone takes, up to {lengths.longest:,}; shorten them, or cut them "
            "with `truncate: true` on the data source",
        )


def _warnings(
    parts: Sequence[Part],
    facts: Sequence[PartFacts],
    type: TaskType | None,
    counts: LabelCounts,
    *,
    truncate: bool,
) -> Iterator[Fault]:
    for part, one in zip(parts, facts, strict=True):
        yield from _part_warnings(part, one, truncate=truncate)
    yield from overlap_warnings(parts) if type else ()
    yield from copy_warnings(parts)
    if type:
        yield from conflict_warnings(parts)
    if counts and type:
        yield from label_warnings(counts, parts, type)


def _part_warnings(part: Part, facts: PartFacts, *, truncate: bool) -> Iterator[Fault]:
    lengths = facts.lengths
    if lengths is not None and lengths.cut and truncate:
        yield Fault(
            part.place,
            f"{share(lengths.cut, facts.n)} are cut, {lengths.cut_tokens:,} tokens in all; the "
            "model never reads those",
        )
    if lengths is not None and lengths.misaligned:
        yield Fault(
            part.place,
            f"{lengths.misaligned:,} spans begin or end inside a token, or are cut off; the "
            "nearest whole tokens are learnt",
        )
    again = duplicates(part)
    if again:
        yield Fault(
            part.place,
            f"{share(len(again), facts.n)} are there more than once: {shown(again)}; they count "
            "more than once in training and scores: keep one of each",
        )
    yield from character_warnings(part)
    yield from script_warnings(part)
