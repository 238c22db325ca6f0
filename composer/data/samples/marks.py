"""Sentences with marked stretches: spaces set right, names taken out.

the {name} on   ->   the lamp on, lamp still marked
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from composer.data.samples.names import Form

_SPACES = re.compile(r"\s+")
_NEEDLESS = re.compile(r"^\s+|\s+$|\s{2,}|[^\S ]")  # a single space between words stays
_UNSPACED = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")  # Chinese has no spaces


@dataclass(frozen=True)
class Mark:
    """A stretch of text that fills a slot.

    Attributes:
        start: Its first character.
        end: The character after its last.
        slot: What it fills.
        form: The name, where it is one of ours.
    """

    start: int
    end: int
    slot: str
    form: Form | None = None


def tidied(
    text: str, marks: Sequence[Mark], *, unspaced: bool = False
) -> tuple[str, tuple[Mark, ...]]:
    """Reduce each run of spaces to one, or in Chinese to none, and move the marks along.

    >>> text, marks = tidied(" the  lamp  on", [Mark(5, 11, "name")])
    >>> text, text[marks[0].start : marks[0].end]
    ('the lamp on', 'lamp')
    """
    kept: list[str] = []
    lost: list[tuple[int, int]] = []  # end of a run of spaces, how many of them go
    at = 0
    for run in (_SPACES if unspaced else _NEEDLESS).finditer(text):
        space = "" if _is_needless(text, run, unspaced=unspaced) else " "
        kept += [text[at : run.start()], space]
        lost.append((run.end(), len(run[0]) - len(space)))
        at = run.end()
    return "".join([*kept, text[at:]]), tuple(_moved(mark, text, lost) for mark in marks)


def pattern_of(text: str, marks: Sequence[Mark]) -> str:
    """Put the slot in place of what fills it.

    >>> pattern_of("the lamp on", [Mark(4, 8, "name")])
    'the {name} on'
    """
    pieces, at = [], 0
    for mark in marks:
        pieces += [text[at : mark.start], f"{{{mark.slot}}}"]
        at = mark.end
    return "".join([*pieces, text[at:]])


def is_well_ended(text: str, word: re.Match[str], marks: Sequence[Mark]) -> bool:
    """Say whether what is glued to a name that ends in this word may be."""
    for mark in marks:
        if mark.form is None or not mark.form.rule.glued:
            continue
        if word.start() < mark.end <= word.end():
            return text[mark.end : word.end()] in mark.form.rule.glued
    return True


def _is_needless(text: str, run: re.Match[str], *, unspaced: bool) -> bool:
    if run.start() == 0 or run.end() == len(text):
        return True
    beside = text[run.start() - 1] + text[run.end()]
    return unspaced and _UNSPACED.search(beside) is not None


def _moved(mark: Mark, text: str, lost: Sequence[tuple[int, int]]) -> Mark:
    inside = text[mark.start : mark.end]
    if not inside.strip():
        return replace(mark, start=0, end=0)
    start = mark.end - len(inside.lstrip())
    end = mark.start + len(inside.rstrip())
    before_start = sum(count for position, count in lost if position <= start)
    before_end = sum(count for position, count in lost if position <= end)
    return replace(mark, start=start - before_start, end=end - before_end)
