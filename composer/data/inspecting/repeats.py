"""Texts that are there more than once: in a split, in two splits, or in two languages.

Two texts are the same as `composer.data.leakage` says: but for case, punctuation and spaces. What
a run refuses of texts that are tested and learnt is `composer leakage`'s to say.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from composer.data.examples import Example, Label
from composer.data.inspecting.parts import SHOWN, Part, share, shown, whole
from composer.data.leakage import Leak, TestTexts, normalised
from composer.data.texts import shortened
from composer.errors import Fault

COPIED = 0.05  # share of a language's texts that stand in another's too, from which it is told
_LONG = 3  # words: shorter texts are often the same in two languages


def duplicates(part: Part) -> list[Example]:
    """List the examples whose text a former one has."""
    seen: set[str] = set()
    found = []
    for one in part.examples:
        text = normalised(whole(one))
        if text in seen:
            found.append(one)
        seen.add(text)
    return found


def overlap_warnings(parts: Sequence[Part]) -> Iterator[Fault]:
    """Say which texts of a split that is scored stand in another that is learnt from."""
    for scored, learnt in (("test", "train"), ("test", "validation"), ("validation", "train")):
        teaching = [one for part in parts if part.split == learnt for one in part.examples]
        for part in parts:
            if part.split == scored and teaching:
                yield from _overlap(part, learnt, teaching)


def _overlap(part: Part, learnt: str, teaching: Sequence[Example]) -> Iterator[Fault]:
    found: dict[int, Leak] = {}
    for place, leak in TestTexts(part.examples).seen_in(teaching):
        if place not in found or (found[place].how, leak.how) == ("near", "exact"):
            found[place] = leak
    if not found:
        return
    leaks = sorted(found.values(), key=lambda leak: leak.how)
    same = sum(leak.how == "exact" for leak in leaks)
    some = "; ".join(
        f"{one.tested.place} {shortened(one.tested.text)} in {one.learnt.place}"
        for one in leaks[:SHOWN]
    )
    yield Fault(
        part.place,
        f"{share(len(leaks), len(part.examples))} stand in the {learnt} split too, {same:,} the "
        f"same and {len(leaks) - same:,} nearly: {some}; split by what the texts were made of, or "
        "see `composer leakage` for what a run refuses",
    )


def copy_warnings(parts: Sequence[Part]) -> Iterator[Fault]:
    """Say which languages hold texts of another one, letter for letter: not translated yet."""
    texts: dict[str, dict[str, Example]] = {}
    for part in parts:
        of_language = texts.setdefault(part.language, {})
        for one in part.examples:
            text = normalised(whole(one))
            if len(text.split()) >= _LONG:
                of_language.setdefault(text, one)
    languages = list(texts)
    for number, language in enumerate(languages):
        for other in languages[:number]:
            both = [one for text, one in texts[language].items() if text in texts[other]]
            if both and len(both) >= COPIED * len(texts[language]):
                yield Fault(
                    f"data.{parts[0].source} ({language})",
                    f"{share(len(both), len(texts[language]))} of three words or more stand in "
                    f"{other} as well: {shown(both)}; translate them, or take them out",
                )


def conflict_warnings(parts: Sequence[Part]) -> Iterator[Fault]:
    """Say which texts of a language have one label here and another there."""
    for language in dict.fromkeys(part.language for part in parts):
        said: dict[str, dict[object, Example]] = {}
        mine = [part for part in parts if part.language == language]
        for one in chain.from_iterable(part.examples for part in mine):
            said.setdefault(normalised(whole(one)), {}).setdefault(_answer(one), one)
        found = [list(answers.values()) for answers in said.values() if len(answers) > 1]
        if found:
            some = "; ".join(_conflict(examples) for examples in found[:SHOWN])
            noun = "text has" if len(found) == 1 else "texts have"
            yield Fault(
                f"data.{parts[0].source} ({language})",
                f"{len(found):,} {noun} labels that contradict each other: {some}; no model can "
                "learn both: decide for one",
            )


def _answer(one: Example) -> Label | tuple[tuple[str, str], ...]:
    """Give what is right for an example, so that it can be compared with another of its text."""
    if one.spans:
        return tuple((normalised(one.text[s.start : s.end]), s.label) for s in one.spans)
    return tuple(sorted(one.label)) if isinstance(one.label, tuple) else one.label


def _conflict(examples: Sequence[Example]) -> str:
    first = examples[0]
    answers = " and ".join(f"{_said(one)} ({one.place})" for one in examples[:SHOWN])
    return f"{shortened(first.text)} is {answers}"


def _said(one: Example) -> str:
    if one.label is None:
        spans = ", ".join(f"{s.label}={one.text[s.start : s.end]!r}" for s in one.spans)
        return spans or "without spans"
    return shortened(", ".join(one.label) if isinstance(one.label, tuple) else str(one.label))
