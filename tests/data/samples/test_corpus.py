import re
import subprocess
import sys
from hashlib import sha256
from itertools import combinations

import pytest

from composer.data.samples.assistant import OWN_NAMES, SAMPLE_VERSION
from composer.data.samples.corpus import ORDER, Corpus, build
from composer.data.samples.grammar import read_grammar
from composer.data.samples.names import read_names

LABELS = ("intent", "domain", "response")

# Sentences of zh-CN at each version. Another digest, another SAMPLE_VERSION.
GOLDEN = {1: "2145ae166607617998ba0899d042df14ec645a43e4ba0e857a09aee10767c137"}

each_language = pytest.mark.parametrize("language", OWN_NAMES)


def digest(corpus: Corpus) -> str:
    return sha256(repr((corpus.sentences, corpus.texts)).encode()).hexdigest()


def test_the_sentences_are_those_of_this_sample_version(corpora: dict[str, Corpus]):
    assert digest(corpora["zh-CN"]) == GOLDEN[SAMPLE_VERSION]


def test_another_process_samples_the_same(corpora: dict[str, Corpus]):
    code = (
        "from composer.data.samples.corpus import build;"
        "from tests.data.samples.test_corpus import digest;"
        "print(digest(build('zh-CN')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": "."},
    )
    assert run.stdout.strip() == digest(corpora["zh-CN"])


@each_language
def test_there_is_enough_of_each_split(language: str, corpora: dict[str, Corpus]):
    counts = corpora[language].counts
    least = {"train": (350, 1300, 4000), "validation": (60, 230, 400), "test": (105, 350, 600)}
    for split, (templates, sentences, texts) in least.items():
        assert counts[split].templates >= templates
        assert counts[split].sentences >= sentences
        assert counts[split].texts >= texts


@each_language
def test_few_templates_are_left_out(language: str, corpora: dict[str, Corpus]):
    for count in corpora[language].counts.values():
        assert not count.skipped
        assert count.barren <= 0.35 * (count.templates + count.barren)


@each_language
def test_no_sentence_is_in_two_splits(language: str, corpora: dict[str, Corpus]):
    corpus = corpora[language]
    for texts in corpus.texts.values():
        assert len({text.casefold() for text in texts}) == len(texts)
    for one, other in combinations(ORDER, 2):
        assert not set(corpus.texts[one]) & set(corpus.texts[other])


@each_language
def test_no_pattern_is_in_two_splits(language: str, corpora: dict[str, Corpus]):
    patterns = {
        split: {sentence.pattern.casefold() for sentence in sentences}
        for split, sentences in corpora[language].sentences.items()
    }
    for one, other in combinations(ORDER, 2):
        assert not patterns[one] & patterns[other]


@each_language
@pytest.mark.parametrize(
    ("slot", "kind"),
    [("area", "area"), ("message", "message"), ("conversation_command", "timer_command")],
)
def test_names_in_sentences_are_of_the_split(
    language: str, slot: str, kind: str, corpora: dict[str, Corpus]
):
    forms = read_names(language).lists.get(kind, {})
    known = {form.text for of_split in forms.values() for form in of_split}
    for split, sentences in corpora[language].sentences.items():
        said = {
            sentence.text[span.start : span.end]
            for sentence in sentences
            for span in sentence.spans
            if span.label == slot
        }
        assert said & known <= {form.text for form in forms.get(split, ())}


@each_language
def test_spans_are_what_is_named(language: str, corpora: dict[str, Corpus]):
    slots = read_grammar(language).slots
    sentences = [one for split in corpora[language].sentences.values() for one in split]
    assert sum(bool(sentence.spans) for sentence in sentences) > len(sentences) / 2
    for sentence in sentences:
        ends = [0]
        for span in sentence.spans:
            inside = sentence.text[span.start : span.end]
            assert inside
            assert inside == inside.strip()
            assert span.label in slots
            assert span.start >= ends[-1]
            ends.append(span.end)


@each_language
def test_sentences_are_fit_to_be_said(language: str, corpora: dict[str, Corpus]):
    for texts in corpora[language].texts.values():
        for text in texts:
            assert text == " ".join(text.split())
            assert not re.search(r"[][(){}<>|\\]|[,;:]$", text)
            assert not re.search(r"\b(\w+) \1\b", text, re.IGNORECASE)


def test_chinese_is_written_without_spaces(corpora: dict[str, Corpus]):
    texts = corpora["zh-CN"].texts["train"]
    assert not [text for text in texts if re.search(r"[\u4e00-\u9fff] | [\u4e00-\u9fff]", text)]


@each_language
def test_english_training_shows_every_label(language: str, corpora: dict[str, Corpus]):
    trained = corpora["en"].sentences["train"]
    known = {(kind, getattr(one, kind)) for one in trained for kind in LABELS}
    known |= {("slot", span.label) for one in trained for span in one.spans}
    for sentences in corpora[language].sentences.values():
        for one in sentences:
            assert {(kind, getattr(one, kind)) for kind in LABELS} <= known
            assert {("slot", span.label) for span in one.spans} <= known


def test_all_42_intents_are_in_english(corpora: dict[str, Corpus]):
    assert len({one.intent for one in corpora["en"].sentences["train"]}) == 42
    assert len({one.intent for one in corpora["en"].sentences["test"]}) >= 28


def test_a_language_of_few_templates_holds_out_what_it_can():
    corpus = build("sw")
    assert corpus.counts["train"].templates < 15
    assert corpus.sentences["train"]
    assert not corpus.sentences["validation"]
