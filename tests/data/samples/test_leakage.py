"""No test template enters a corpus: of hardly a test sentence is there another like it in training.

Templates share one split in all languages (`test_templates`), and so do patterns of sentences
within a language (`test_corpus`). What is left are words that two languages or two templates
happen to share.
"""

from collections.abc import Iterator, Mapping

import pytest

from composer.data.examples import Example
from composer.data.leakage import Leak, TestTexts
from composer.data.samples.assistant import LANGUAGES
from composer.data.samples.corpus import Corpus, build
from composer.data.samples.templates import read_templates, template_key
from composer.recipe.grammar.schema import Leakage

LIMITS = Leakage()


def held_out(language: str, corpus: Corpus) -> list[Example]:
    texts = dict.fromkeys(sentence.text for sentence in corpus.sentences["test"])
    return [Example(text=text, place=f"{language} test") for text in texts]


def learnt(language: str, corpus: Corpus) -> Iterator[Example]:
    for split in ("train", "validation"):
        for text in (*corpus.texts[split], *(one.text for one in corpus.sentences[split])):
            yield Example(text=text, place=f"{language} {split}")


def shares(corpora: Mapping[str, Corpus]) -> dict[str, tuple[float, float]]:
    """Give the share of each language's test texts that is learnt, and that is learnt nearly."""
    own = {language: held_out(language, corpus) for language, corpus in corpora.items()}
    texts = TestTexts([example for examples in own.values() for example in examples])
    found: dict[int, Leak] = {}
    for language, corpus in corpora.items():
        for place, leak in texts.seen_in(learnt(language, corpus)):
            if place not in found or leak.how == "exact":
                found[place] = leak
    leaks = {language: [one for one in found.values() if one.tested.place == f"{language} test"]
             for language in corpora}  # fmt: skip
    return {
        language: (
            sum(one.how == "exact" for one in leaks[language]) / len(examples),
            len(leaks[language]) / len(examples),
        )
        for language, examples in own.items()
    }


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_test_template_is_one_that_a_corpus_of_any_language_is_sampled_from(split: str):
    keys: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for language in LANGUAGES:
        for template in read_templates(language):
            keys[template.split].add(template_key(template.text))
    assert len(keys["test"]) > 2000
    assert not keys["test"] & keys[split]


def test_hardly_a_test_sentence_is_learnt_in_any_language(corpora: dict[str, Corpus]):
    found = shares(corpora)
    assert found.keys() == corpora.keys()
    for exact, near in found.values():
        assert exact < 0.01 < LIMITS.exact
        assert near < 0.06 < LIMITS.near
    assert any(near for _, near in found.values())


@pytest.mark.slow
def test_the_sample_passes_the_check_in_all_languages_together():
    found = shares({language: build(language) for language in LANGUAGES})
    over = {language: both for language, both in found.items()
            if both[0] > LIMITS.exact or both[1] > LIMITS.near}  # fmt: skip
    assert over.keys() == {"id"}  # 8 of its 45 test sentences are learnt in Malay
