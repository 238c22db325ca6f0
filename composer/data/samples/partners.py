"""For a sentence another one that means the same, or nearly the same, in known ways.

    pause the 5 minute timer          5 = start_minutes
      same             my timer for 5 minutes, pause it
      other value      my timer for 8 minutes, pause it
      other slots      pause the timer in the hall
      other intent     resume the timer of 5 minutes
      other domain     mute the radio

Partners are of the same split, so a pair never joins templates or names of two.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from composer.data.samples.changes import TRIES, Agreement, filled, slots_of
from composer.data.samples.draw import Draw
from composer.data.samples.sampling import Sentence

Kind = tuple[str, str, str]  # intent, response, domain

# What these want is not all in intent and slots: louder or quieter, which of the answers.
_UNCLEAR = frozenset({"HassRespond", "HassSetVolumeRelative"})


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a sentence wants.

    Attributes:
        text: The sentence.
        kind: Intent, response and domain.
        slots: Slot -> what is named.
    """

    text: str
    kind: Kind
    slots: Mapping[str, str]


class Partners:
    """Finds partners among the sentences of one split."""

    def __init__(self, sentences: Sequence[Sentence], agreement: Agreement, draw: Draw) -> None:
        self._agreement, self._draw = agreement, draw
        self.sentences = [one for one in sentences if _is_clear(one)]
        self._of_kind: dict[Kind, list[Sentence]] = {}
        self._of_domain: dict[str, list[Sentence]] = {}
        self._values: dict[tuple[str, str], dict[str, None]] = {}
        for one in self.sentences:
            self._of_kind.setdefault(kind_of(one), []).append(one)
            self._of_domain.setdefault(one.domain, []).append(one)
            for label, value in slots_of(one).items():
                self._values.setdefault((one.domain, label), {})[value] = None

    def same(self, sentence: Sentence) -> Meaning | None:
        """Say the same in other words."""
        return self._reworded(sentence, slots_of(sentence))

    def other_value(self, sentence: Sentence) -> Meaning | None:
        """Say it in other words, with another value in one slot."""
        values = self.with_other_value(sentence)
        return None if values is None else self._reworded(sentence, values)

    def other_slots(self, sentence: Sentence) -> Meaning | None:
        """Want the same with one slot more, or one fewer."""
        labels = set(slots_of(sentence))
        near = (
            one for one in self._of_kind[kind_of(sentence)] if len(labels ^ set(slots_of(one))) == 1
        )
        return self._first(near, slots_of(sentence), unlike=sentence)

    def other_intent(self, sentence: Sentence) -> Meaning | None:
        """Want something else of the same kind of device, the same slots if that can be."""
        found = [one for one in self._of_domain[sentence.domain] if _wants_other(one, sentence)]
        labels = set(slots_of(sentence))
        alike = [one for one in found if set(slots_of(one)) == labels]
        return self._first(alike or found, slots_of(sentence), unlike=sentence)

    def other_domain(self, sentence: Sentence) -> Meaning | None:
        """Want something of another kind of device."""
        found = (one for one in self.sentences if one.domain != sentence.domain)
        return self._first(found, {}, unlike=sentence)

    def with_other_value(
        self, sentence: Sentence, *, among: Sequence[str] | None = None
    ) -> dict[str, str] | None:
        """Put another value in one slot, from a sentence about the same kind of device.

        Args:
            sentence: Whose slots.
            among: The slots that may change; left out, any.
        """
        values = slots_of(sentence)
        for label in self._draw.shuffled(sorted(values if among is None else among)):
            known = self._values[sentence.domain, label]
            others = [one for one in known if one.casefold() != values[label].casefold()]
            if others:
                return {**values, label: self._draw.one_of(others)}
        return None

    def _reworded(self, sentence: Sentence, values: Mapping[str, str]) -> Meaning | None:
        labels = set(values)
        alike = (one for one in self._of_kind[kind_of(sentence)] if set(slots_of(one)) == labels)
        return self._first(alike, values, unlike=sentence)

    def _first(
        self, found: Iterable[Sentence], values: Mapping[str, str], *, unlike: Sentence
    ) -> Meaning | None:
        """Fill one of these, drawn, whose pattern is another."""
        others = [one for one in found if one.pattern.casefold() != unlike.pattern.casefold()]
        for one in self._draw.shuffled(others)[:TRIES]:
            text = filled(one, values, self._agreement)
            if text is not None and text.casefold() != unlike.text.casefold():
                kept = {label: values.get(label, own) for label, own in slots_of(one).items()}
                return Meaning(text=text, kind=kind_of(one), slots=kept)
        return None


Change = Callable[[Partners, Sentence], Meaning | None]


def meaning_of(sentence: Sentence) -> Meaning:
    """Give what a sentence wants."""
    return Meaning(text=sentence.text, kind=kind_of(sentence), slots=slots_of(sentence))


def kind_of(sentence: Sentence) -> Kind:
    """Give intent, response and domain."""
    return sentence.intent, sentence.response, sentence.domain


def agreement_of(one: Meaning, other: Meaning) -> float:
    """Say from 0 to 1 how much two sentences want the same.

    Half of it is what is wanted (all: 1; the same kind of device: 1/2), half what is named: twice
    what they share over what both have, where a slot with another value is half shared.
    """
    if one.kind == other.kind:
        wanted = 1.0
    else:
        wanted = 0.5 if one.kind[-1] == other.kind[-1] else 0.0
    named = len(one.slots) + len(other.slots)
    if not named:
        return wanted
    shared = [
        _alike(one.slots[label], other.slots[label]) for label in one.slots if label in other.slots
    ]
    return (wanted + 2 * sum(shared) / named) / 2


def _alike(one: str, other: str) -> float:
    return 1.0 if one.casefold() == other.casefold() else 0.5


def _wants_other(one: Sentence, other: Sentence) -> bool:
    """Say whether the intents differ, or two questions about a state do."""
    if one.intent != other.intent:
        return True
    return one.intent == "HassGetState" and one.response != other.response


def _is_clear(sentence: Sentence) -> bool:
    labels = [span.label for span in sentence.spans]
    return sentence.intent not in _UNCLEAR and len(set(labels)) == len(labels)
