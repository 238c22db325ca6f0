"""Which test texts were seen in training: the same, or nearly the same.

    "Turn on the lamp!"  and  "turn on the lamp"              the same, after normalisation
    "set a timer for 5 minutes"  and  "set a timer for 12 minutes"    nearly the same

Normalised, a text is NFKC, folded to lower case, and its words alone. Near texts are those whose
sets of character 4-grams, numbers put alike, have a Jaccard index of 0.8 or more; they are found
exactly, by prefix filtering (Bayardo et al., 2007): two sets that are that alike share one of
their few rarest members. Only the test texts are held, so the text that is looked through may be
of any length; a paragraph is looked through sentence by sentence.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from composer.data.examples import Example

How = Literal["exact", "near"]

LIKE = 0.8  # Jaccard index from which two texts are near
GRAM = 4  # characters
_LONG = 200  # characters, from which a text is looked through sentence by sentence
_SHORT = 12  # characters; shorter texts are alike by chance, and are compared exactly only
_NUMBER = re.compile(r"\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？।])\s*|\n+")


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A test text that was seen in training.

    Attributes:
        how: "exact" or "near".
        tested: The test text.
        learnt: What it was seen in.
    """

    how: How
    tested: Example
    learnt: Example


def normalised(text: str) -> str:
    r"""Give the words of a text, in lower case and with one space between them.

    >>> normalised("Turn ON\tthe \uff4camp!")
    'turn on the lamp'
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(_letters(plain)).split())


class TestTexts:
    """Test texts, to be found in what is learnt from.

    Args:
        examples: Of a test split; a pair is compared as a whole.
    """

    __test__ = False  # the name is not a test's

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples
        self._same: dict[str, list[int]] = {}
        self._grams: list[frozenset[str]] = []
        counts: Counter[str] = Counter()
        for place, example in enumerate(examples):
            words = normalised(_whole(example))
            self._same.setdefault(words, []).append(place)
            self._grams.append(_grams(words))
            counts.update(self._grams[-1])
        self._counts = counts
        self._rare: dict[str, list[int]] = {}  # gram -> test texts that have it in their prefix
        for place, grams in enumerate(self._grams):
            for gram in self._prefix(grams):
                self._rare.setdefault(gram, []).append(place)

    def seen_in(self, learnt: Iterable[Example]) -> Iterator[tuple[int, Leak]]:
        """Give each test text that is found, by its place; once for each text it is found in."""
        for example in learnt:
            for piece in _pieces(_whole(example)):
                yield from self._look(normalised(piece), example)

    def _look(self, words: str, example: Example) -> Iterator[tuple[int, Leak]]:
        same = self._same.get(words, ()) if words else ()
        for place in same:
            yield place, Leak(how="exact", tested=self.examples[place], learnt=example)
        grams = _grams(words)
        candidates = {place for gram in self._prefix(grams) for place in self._rare.get(gram, ())}
        for place in sorted(candidates.difference(same)):
            other = self._grams[place]
            shared = len(grams & other)
            if shared >= LIKE * (len(grams) + len(other) - shared):
                yield place, Leak(how="near", tested=self.examples[place], learnt=example)

    def _prefix(self, grams: frozenset[str]) -> list[str]:
        """Give the rarest members: one that is as alike as `LIKE` shares one of them."""
        ordered = sorted(grams, key=lambda gram: (self._counts[gram], gram))
        return ordered[: len(grams) - math.ceil(LIKE * len(grams)) + 1] if grams else []


def _whole(example: Example) -> str:
    return example.text if example.pair is None else f"{example.text} {example.pair}"


def _letters(text: str) -> Iterator[str]:
    """Keep letters, marks and digits, and put a space for anything else."""
    for character in text:
        yield character if unicodedata.category(character)[0] in "LMN" else " "


def _grams(words: str) -> frozenset[str]:
    """Give the character n-grams of normalised words, numbers put alike; none of a short text."""
    if len(words) < _SHORT:
        return frozenset()
    text = f" {_NUMBER.sub('0', words)} "
    return frozenset(text[at : at + GRAM] for at in range(len(text) - GRAM + 1))


def _pieces(text: str) -> list[str]:
    """Cut what is long at the ends of its sentences."""
    if len(text) <= _LONG:
        return [text]
    return [text, *filter(None, (piece.strip() for piece in _SENTENCE_END.split(text)))]
