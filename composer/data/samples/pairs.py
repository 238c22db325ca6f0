"""Tasks of whole sentences and of pairs, made of the sentences that are sampled anyway.

    acceptability   a sentence, or one of its words moved                     yes / no
    paraphrase      two sentences: the same intent and the same slots?        yes / no
    similarity      two sentences: how much they want the same                0 to 5
    entailment      a sentence and a description: does it ask for that?       yes / no

They have the shapes of CoLA, MRPC, STS-B and RTE (Wang et al., 2019). What is wrong is nearly
right: one word is moved, one value differs, another thing is wanted of the same device. Each
sentence begins one example; one that could not be both right and wrong is left out, so that
nothing but the comparison says which it is. Similarity alone takes what there is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from composer.data.examples import Example
from composer.data.samples.changes import Agreement, reordered, slots_of
from composer.data.samples.descriptions import describe
from composer.data.samples.draw import Draw
from composer.data.samples.names import Names
from composer.data.samples.partners import (
    Change,
    Meaning,
    Partners,
    agreement_of,
    kind_of,
    meaning_of,
)
from composer.data.samples.sampling import Sentence

YES, NO = "yes", "no"
MOST = 5.0  # of similarity

# How often each change is tried first.
_WRONG: tuple[Change, ...] = (
    Partners.other_value,
    Partners.other_value,
    Partners.other_intent,
    Partners.other_slots,
)
_NEAR: tuple[Change, ...] = (
    Partners.same,
    Partners.other_value,
    Partners.other_slots,
    Partners.other_intent,
    Partners.other_domain,
)


@dataclass(frozen=True)
class Speech:
    """What can be said in a language.

    Attributes:
        names: That fill its templates.
        unspaced: Whether words are written together.
        said: All sampled sentences, in small letters: none of them is unacceptable.
    """

    names: Names
    unspaced: bool
    said: frozenset[str]


def acceptability(sentences: Sequence[Sentence], speech: Speech, draw: Draw) -> Iterator[Example]:
    """Give each sentence as it is, or with one word moved."""
    for one in sentences:
        wrong = reordered(
            one.text,
            draw,
            unspaced=speech.unspaced,
            is_said=lambda text: text.casefold() in speech.said,
        )
        if wrong is not None:
            yield _either(draw, Example(text=one.text, label=YES), Example(text=wrong, label=NO))


def paraphrase(sentences: Sequence[Sentence], speech: Speech, draw: Draw) -> Iterator[Example]:
    """Pair each sentence with one of the same intent and slots, or not quite the same."""
    partners = Partners(sentences, Agreement.of(speech.names), draw)
    for one in partners.sentences:
        same, other = partners.same(one), _first(partners, one, draw.shuffled(_WRONG))
        if same is not None and other is not None:
            yield _either(
                draw,
                Example(text=one.text, pair=same.text, label=YES),
                Example(text=one.text, pair=other.text, label=NO),
            )


def similarity(sentences: Sequence[Sentence], speech: Speech, draw: Draw) -> Iterator[Example]:
    """Pair each sentence with another, and say how much they want the same."""
    partners = Partners(sentences, Agreement.of(speech.names), draw)
    for one in partners.sentences:
        other = _first(partners, one, draw.shuffled(_NEAR))
        if other is not None:
            label = round(MOST * agreement_of(meaning_of(one), other), 2)
            yield Example(text=one.text, pair=other.text, label=label)


def entailment(sentences: Sequence[Sentence], speech: Speech, draw: Draw) -> Iterator[Example]:
    """Pair each sentence with a description of what it wants, or of nearly that."""
    partners = Partners(sentences, Agreement.of(speech.names), draw)
    for one in partners.sentences:
        slots = slots_of(one)
        chosen = draw.shuffled(sorted(slots))[
            : draw.one_of(range(1, len(slots) + 1)) if slots else 0
        ]
        right = describe(kind_of(one), [(label, slots[label]) for label in chosen])
        wrong = _wrong_description(partners, one, chosen, draw)
        if wrong not in (None, right):
            yield _either(
                draw,
                Example(text=one.text, pair=right, label=YES),
                Example(text=one.text, pair=wrong, label=NO),
            )


def _wrong_description(
    partners: Partners, sentence: Sentence, chosen: Sequence[str], draw: Draw
) -> str | None:
    """Describe it with another value for a slot that is chosen, or as something else wanted."""
    slots = slots_of(sentence)
    if chosen and draw.chance(1 / 2):
        values = partners.with_other_value(sentence, among=chosen)
        if values is not None:
            return describe(kind_of(sentence), [(label, values[label]) for label in chosen])
    other = partners.other_intent(sentence)
    if other is None:
        return None
    fitting = [label for label in chosen if label in other.slots]
    return describe(other.kind, [(label, slots[label]) for label in fitting])


def _first(partners: Partners, sentence: Sentence, changes: Sequence[Change]) -> Meaning | None:
    found = (change(partners, sentence) for change in dict.fromkeys(changes))
    return next((one for one in found if one is not None), None)


def _either(draw: Draw, right: Example, wrong: Example) -> Example:
    return right if draw.chance(1 / 2) else wrong
