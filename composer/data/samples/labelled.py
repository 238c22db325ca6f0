"""The examples of each sample task: the sentences of a split, labelled or paired."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from composer.data.examples import Example
from composer.data.samples.assistant import SAMPLE_VERSION, SampleTask, names_from
from composer.data.samples.corpus import build
from composer.data.samples.draw import Draw
from composer.data.samples.grammar import read_grammar
from composer.data.samples.names import read_names
from composer.data.samples.pairs import (
    Speech,
    acceptability,
    entailment,
    paraphrase,
    similarity,
)
from composer.data.samples.sampling import Sentence
from composer.recipe.grammar.data import Split

_LABELLED: Mapping[str, Callable[[Sentence], Example]] = {
    "intent": lambda one: Example(text=one.text, label=one.intent),
    "domain": lambda one: Example(text=one.text, label=one.domain),
    "response": lambda one: Example(text=one.text, label=one.response),
    "slots": lambda one: Example(text=one.text, spans=one.spans),
    "entities": lambda one: Example(text=one.text, label=_named(one)),
}


_PAIRED: Mapping[str, Callable[[Sequence[Sentence], Speech, Draw], Iterator[Example]]] = {
    "acceptability": acceptability,
    "paraphrase": paraphrase,
    "similarity": similarity,
    "entailment": entailment,
}


def examples(task: SampleTask, language: str, split: Split) -> list[Example]:
    """Give the examples of a split, each with its place."""
    place = f"assistant/{task}/{language}/{split}"
    return [
        replace(one, place=f"{place}:{row}")
        for row, one in enumerate(_examples(task, language, split), start=1)
    ]


def _examples(task: SampleTask, language: str, split: Split) -> list[Example]:
    corpus = build(language)
    if task == "text":
        return [Example(text=text) for text in corpus.texts[split]]
    if task in _LABELLED:
        return [_LABELLED[task](one) for one in corpus.sentences[split]]
    draw = Draw(f"assistant/{task} {SAMPLE_VERSION} {language} {split}")
    return list(_PAIRED[task](corpus.sentences[split], _speech(language), draw))


def _named(sentence: Sentence) -> tuple[str, ...]:
    return tuple(sorted({span.label for span in sentence.spans}))


def _speech(language: str) -> Speech:
    owner = names_from(language)
    return Speech(
        names=read_names(owner, for_another=owner != language),
        unspaced=read_grammar(language).without_spaces,
        said=frozenset(text.casefold() for some in build(language).texts.values() for text in some),
    )
