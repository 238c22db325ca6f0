"""One sentence out of one template: choices made, names put in.

    [<turn>] [<the>] {name} <in> [<the>] {area} [to] on
    -> "turn the reading lamp in the kitchen on", name 9-21, area 29-36

Templates are written to understand whatever is said, so most of what they allow is not what
anybody says. A sentence is written word by word; where a word or a name does not agree with what
stands before it, the last choice is made anew. What is wrong only as a whole is thrown away.

Optional parts are taken half the time; of alternatives the earlier are likelier, as authors
write the plainest first.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)

from composer.data.examples import Span
from composer.data.samples.draw import Draw
from composer.data.samples.grammar import Grammar
from composer.data.samples.marks import Mark, is_well_ended, pattern_of, tidied
from composer.data.samples.names import Form, Names
from composer.data.samples.templates import Template
from composer.recipe.grammar.data import Split

_OPTIONAL = 1 / 2  # how often an optional part is said
_CHOICES = 200  # made in one sentence, until it is given up
_SPOKEN_WORD = re.compile(r"[^\s'’]+(?:['’]|(?=\s))")
_LEFT_OVER = re.compile(r"[][(){}<>|\\]|^\W|[\s,;:-]$")
_TWICE = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sampled sentence and all that it is labelled with.

    Attributes:
        text: As somebody would say it.
        spans: What is named, in the order of the text.
        intent: What is wanted.
        domain: What kind of device it is about.
        response: What is asked or answered.
        pattern: The text with `{slot}` in place of what is named.
    """

    text: str
    spans: tuple[Span, ...]
    intent: str
    domain: str
    response: str
    pattern: str


class _Said(NamedTuple):
    """What is written so far.

    Attributes:
        text: Of the sentence.
        checked: Where the words begin that are not yet known to agree.
        marks: Slots filled.
        domain: Of what is named.
    """

    text: str
    checked: int
    marks: tuple[Mark, ...]
    domain: str


@dataclass(frozen=True)
class _Close:
    """To do after a slot's words: mark them."""

    start: int
    slot: str
    form: Form | None


_Todo: TypeAlias = "tuple[Expression | _Close, _Todo] | None"


def sample_sentence(
    template: Template,
    grammar: Grammar,
    *,
    names: Names,
    split: Split,
    draw: Draw,
    domain: str | None = None,
) -> Sentence | None:
    """Draw one sentence; None where the draw is not fit to be said.

    Args:
        template: Whose sentence.
        grammar: Of its language.
        names: What may be named.
        split: Which part of the names.
        draw: Where chance comes from.
        domain: What a named device is of; None: any that the template may be about.
    """
    writer = _Writer(template, grammar, names=names, split=split, draw=draw)
    said = writer.write(domain or draw.one_of(template.name_domains or (template.domain,)))
    if said is None:
        return None
    text, marks = tidied(said.text, said.marks, unspaced=grammar.without_spaces)
    pattern = pattern_of(text, marks)
    if not _is_fit(text, pattern, names) or any(mark.start >= mark.end for mark in marks):
        return None
    spans = [Span(start=mark.start, end=mark.end, label=mark.slot) for mark in marks]
    return Sentence(
        text=text,
        spans=tuple(span for span in spans if span.label in grammar.slots),
        intent=template.intent,
        domain=said.domain,
        response=template.response,
        pattern=pattern,
    )


class _Writer:
    """Writes one sentence from left to right, taking back what does not go on."""

    def __init__(
        self, template: Template, grammar: Grammar, *, names: Names, split: Split, draw: Draw
    ) -> None:
        self._template = template
        self._grammar = grammar
        self._names = names
        self._split: Split = split
        self._draw = draw
        self._choices = _CHOICES
        self._domain = template.domain

    def write(self, domain: str) -> _Said | None:
        self._domain = domain
        whole = self._grammar.template(self._template.text)
        return self._go_on((whole, None), _Said("", 0, (), self._template.domain))

    def _go_on(self, todo: _Todo, said: _Said) -> _Said | None:
        """Write what is to do after what is said; None where nothing fits."""
        while todo is not None:
            step, todo = todo
            if isinstance(step, TextChunk):
                longer = self._lengthened(said, step.original_text)
                if longer is None:
                    return None
                said = longer
            elif isinstance(step, _Close):
                mark = Mark(step.start, len(said.text), step.slot, step.form)
                said = said._replace(marks=(*said.marks, mark))
            elif isinstance(step, Alternative):
                return self._first_of(self._options(step), todo, said)
            elif isinstance(step, ListReference):
                return self._fill(step, todo, said)
            else:
                for part in reversed(self._parts(step)):
                    todo = (part, todo)
        return self._lengthened(said, " ")

    def _first_of(self, options: Iterator[Expression], todo: _Todo, said: _Said) -> _Said | None:
        for option in options:
            if self._choices <= 0:
                return None
            self._choices -= 1
            found = self._go_on((option, todo), said)
            if found is not None:
                return found
        return None

    def _options(self, choice: Alternative) -> Iterator[Expression]:
        if not choice.is_optional:
            yield from self._draw.early_first(choice.items)
            return
        nothing = choice.items[-1:]
        taken = self._draw.chance(_OPTIONAL)
        if not taken:
            yield from nothing
        yield from self._draw.early_first(choice.items[:-1])
        if taken:
            yield from nothing

    def _parts(self, step: Expression) -> Sequence[Expression]:
        if isinstance(step, RuleReference):
            return (self._grammar.rule(step.rule_name),)
        if isinstance(step, Permutation):
            return self._draw.shuffled(step.items)
        return step.items if isinstance(step, Group) else ()

    def _fill(self, slot: ListReference, todo: _Todo, said: _Said) -> _Said | None:
        """Put a value of the list in a slot and go on."""
        start, name = len(said.text), slot.list_name
        if name in self._grammar.values:
            values = self._draw.shuffled(self._grammar.values[name])
            closing = (_Close(start, slot.slot_name, None), todo)
            return self._first_of(iter(values), closing, said)
        if name in self._grammar.numbers:
            form = Form(str(self._draw.one_of(self._grammar.numbers[name])))
        else:
            if name == "name":
                said = said._replace(domain=self._domain)
                name = self._grammar.names_of(said.domain, self._template.text, self._names)
            forms = self._names.fitting(name, self._split, said.text)
            if not forms:
                return None
            form = self._draw.one_of(forms)
        closing = (_Close(start, slot.slot_name, form), todo)
        return self._go_on((TextChunk(form.text), closing), said)

    def _lengthened(self, said: _Said, piece: str) -> _Said | None:
        """Add to the text; None where a word that is now complete does not agree."""
        if not piece:
            return said
        text, checked = said.text + piece, said.checked
        if " " not in piece and not piece.endswith(("'", "’")):
            return _Said(text, checked, said.marks, said.domain)
        for word in _SPOKEN_WORD.finditer(text, checked):
            rule = self._names.words.get(word[0].casefold())
            if rule is not None and not self._names.may_follow(rule, text[: word.start()]):
                return None
            if said.marks and not is_well_ended(text, word, said.marks):
                return None
            checked = word.end()
        return _Said(text, checked, said.marks, said.domain)


def _is_fit(text: str, pattern: str, names: Names) -> bool:
    if len(text) < 2 or _LEFT_OVER.search(text) or _TWICE.search(text):
        return False
    return names.refused is None or not names.refused.search(f"{text}\n{pattern}")
