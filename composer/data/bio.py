"""Spans of characters as a tag a token, and back.

    text     turn on the bed lamp
    spans                [name--]         Span(start=12, end=20, label="name")
    tokens   turn on the bed lamp
    tags     O    O  O   B-  I-

A task of n labels has 2n + 1 tags: O is 0, B-label and I-label are 2i + 1 and 2i + 2 for the
label with index i. A span's first token begins it, all its further ones continue it. Special
tokens and those that cover only white space have no tag. Offsets may hold the space before a
word, as those of SentencePiece do, several tokens may cover one character, as its bytes do, and
none an accent that a tokenizer drops or joins to its letter: it belongs to the letter's token.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from composer.data.examples import Span

IGNORED = -100  # what a loss leaves out

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one text.

    Attributes:
        ids: One a token; `IGNORED` where a token has none.
        misaligned: Spans that tokens cannot say: their borders lie inside a token, another
            span has the token, or the text was cut before them.
    """

    ids: list[int]
    misaligned: int


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """List the tags of a label set, each at its id.

    >>> tag_names(["area", "name"])
    ('O', 'B-area', 'I-area', 'B-name', 'I-name')
    """
    return ("O", *(f"{kind}-{label}" for label in labels for kind in "BI"))


def tags_of_spans(
    spans: Sequence[Span], *, text: str, offsets: Offsets, labels: Sequence[str]
) -> Tags:
    """Tag each token by the span it touches; where it touches two, by the earlier.

    Args:
        spans: That do not overlap.
        text: What the offsets count characters of.
        offsets: Start and end of each token; (0, 0) for special ones.
        labels: The label set, which holds every span's label.

    >>> tags_of_spans([Span(start=4, end=8, label="name")], text="the lamp",
    ...               offsets=[(0, 0), (0, 3), (3, 8), (0, 0)], labels=["name"])
    Tags(ids=[-100, 0, 1, -100], misaligned=0)
    """
    index = {label: number for number, label in enumerate(labels)}
    seen = [_seen(text, start, end) for start, end in offsets]
    ids = [IGNORED if start == end else 0 for start, end in seen]
    misaligned = 0
    for span in sorted(spans, key=lambda span: span.start):
        start, end = _trimmed(text, span.start, span.end)
        free = [token for token in _touched(seen, start, end) if ids[token] == 0]
        for token in free:
            ids[token] = 2 * index[span.label] + (1 if token == free[0] else 2)
        covered = {seen[token] for token in free}
        aligned = free and (min(covered)[0], max(cover[1] for cover in covered)) == (start, end)
        misaligned += not aligned
    return Tags(ids, misaligned)


def _touched(seen: Offsets, start: int, end: int) -> list[int]:
    return [token for token, (left, right) in enumerate(seen) if left < end and right > start]


def spans_of_tags(
    ids: Sequence[int], *, text: str, offsets: Offsets, labels: Sequence[str]
) -> tuple[Span, ...]:
    """Read spans out of tags, as they were given or as they were predicted.

    A tag that continues nothing begins a span, as in the CoNLL scorer. Tags of special tokens
    and of white space do not count. Spans never overlap and begin and end with no space.

    >>> spans_of_tags([0, 0, 2, 0], text="the lamp",
    ...               offsets=[(0, 0), (0, 3), (3, 8), (0, 0)], labels=["name"])
    (Span(start=4, end=8, label='name'),)
    """
    spans: list[Span] = []
    going_on, reached = "", 0  # the label that an I- continues, and where the last span ends
    for tag, (token_start, token_end) in zip(ids, offsets, strict=True):
        start, end = _seen(text, token_start, token_end)
        if start == end:
            continue
        label = labels[(tag - 1) // 2] if tag > 0 else ""
        if label and tag % 2 == 0 and label == going_on:
            reached = max(reached, end)
            spans[-1] = replace(spans[-1], end=reached)
        elif label and max(start, reached) < end:
            spans.append(Span(start=max(start, reached), end=end, label=label))
            going_on, reached = label, end
        elif not label:
            going_on = ""
        # else: more bytes of a character that has a span already
    return tuple(spans)


def _seen(text: str, start: int, end: int) -> tuple[int, int]:
    """Say what a token covers: no white space at its ends, and all marks on its last letter."""
    start, end = _trimmed(text, start, end)
    while start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out the white space at both ends; what is empty then starts where it ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
