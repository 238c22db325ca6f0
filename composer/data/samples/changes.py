"""Sentences changed a little: other values in the slots, words in another order.

    turn on the {name} in the {area}     filled with name lamp, area hall
    turn on the lamp in the hall         reordered: turn the on lamp in the hall

What a language's names demand of the words beside them is kept (`composer.data.samples.names`), so
that a changed sentence is as fit to be said as a sampled one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from composer.data.samples.draw import Draw
from composer.data.samples.names import FREE, Names, Rule
from composer.data.samples.sampling import Sentence

SHORTEST = 3  # words; of fewer there is hardly another order
FARTHEST = 3  # words that one word is moved over
TRIES = 8  # draws, until a sentence is given up

_WORD = re.compile(r"\S+")
_TWICE = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Says whether a sentence with other values in its slots is fit to be said.

    Attributes:
        names: Of the language.
        rules: What a name may stand beside, by its text.
    """

    names: Names
    rules: Mapping[str, Rule]

    @classmethod
    def of(cls, names: Names) -> "Agreement":
        """Look up the rule of every form of every name."""
        forms = (
            form for of_list in names.lists.values() for some in of_list.values() for form in some
        )
        return cls(names, {form.text: form.rule for form in forms})

    def fits(self, text: str, starts: Mapping[int, str]) -> bool:
        """Say whether the words of a text agree.

        Args:
            text: All of it.
            starts: Where a slot begins -> what fills it.
        """
        names = self.names
        if _TWICE.search(text) or (names.refused is not None and names.refused.search(text)):
            return False
        wanted = [
            (word.start(), names.words.get(word[0].casefold())) for word in _WORD.finditer(text)
        ]
        wanted += [(start, self.rules.get(value, FREE)) for start, value in starts.items()]
        return all(rule is None or names.may_follow(rule, text[:start]) for start, rule in wanted)


def slots_of(sentence: Sentence) -> dict[str, str]:
    """Give what is named, by slot; of a slot that is filled twice, the last."""
    return {span.label: sentence.text[span.start : span.end] for span in sentence.spans}


def filled(sentence: Sentence, values: Mapping[str, str], agreement: Agreement) -> str | None:
    """Put other values in a sentence's slots; None where they do not agree with its words."""
    pieces: list[str] = []
    starts: dict[int, str] = {}
    at = length = 0
    for span in sentence.spans:
        before = sentence.text[at : span.start]
        value = values.get(span.label, sentence.text[span.start : span.end])
        starts[length + len(before)] = value
        pieces += [before, value]
        length += len(before) + len(value)
        at = span.end
    text = "".join([*pieces, sentence.text[at:]])
    return text if agreement.fits(text, starts) else None


def reordered(
    text: str, draw: Draw, *, unspaced: bool, is_said: Callable[[str], bool]
) -> str | None:
    """Move one word over one to three others; None where every try is something that is said.

    Args:
        text: A sentence.
        draw: Where chance comes from.
        unspaced: Whether words are written together; then one character is moved.
        is_said: Says of a text that it is a sentence too.
    """
    words = list(text) if unspaced else text.split(" ")
    if len(words) < SHORTEST:
        return None
    for _ in range(TRIES):
        moved = ("" if unspaced else " ").join(_moved(words, draw))
        if moved.casefold() != text.casefold() and not is_said(moved):
            return moved
    return None


def _moved(words: Sequence[str], draw: Draw) -> list[str]:
    left = list(words)
    start = draw.one_of(range(len(left)))
    word = left.pop(start)
    near = [at for at in range(len(left) + 1) if 0 < abs(at - start) <= FARTHEST]
    left.insert(draw.one_of(near), word)
    return left
