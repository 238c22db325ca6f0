from collections import Counter
from functools import cache
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import pytest

from composer.data.examples import Example
from composer.data.samples.assistant import SAMPLE_VERSION, sample_examples
from composer.data.samples.changes import Agreement
from composer.data.samples.corpus import ORDER, build
from composer.data.samples.draw import Draw
from composer.data.samples.names import read_names
from composer.data.samples.pairs import MOST, NO, YES
from composer.data.samples.partners import (
    Change,
    Meaning,
    Partners,
    agreement_of,
    kind_of,
    meaning_of,
    slots_of,
)
from composer.recipe.grammar.data import Split

CLASSES = ("acceptability", "paraphrase", "entailment")
TASKS = (*CLASSES, "similarity")

# Examples of English at each version. Another digest, another SAMPLE_VERSION.
GOLDEN = {
    1: {
        "acceptability": "a0e4461e13f0bab4020d2518573b9f58cbbceba19d61444bf0bdf441012de35c",
        "paraphrase": "4858bf894551b09eed3d71816f173fb7cf4699fedfd08acc1e1014bbc3f90e6c",
        "entailment": "ef7f216a82a0aef5dc8b1d9ff8f8c2618033c2821e859eb5735a5f2208c1f6c8",
        "similarity": "01b186fce7b5534e7b88abe018648eb268b8bed57ddbdbfaf81b30e829ec8965",
    }
}

each_class = pytest.mark.parametrize("task", CLASSES)
each_task = pytest.mark.parametrize("task", TASKS)
each_split = pytest.mark.parametrize("split", ORDER)


@pytest.fixture(scope="module")
def partners() -> Partners:
    names = Agreement.of(read_names("en"))
    return Partners(build("en").sentences["train"], names, Draw("a test"))


@cache
def english(task: str, split: Split) -> list[Example]:
    return sample_examples(task, language="en", split=split)


def found(partners: Partners, change: Change) -> list[tuple[Meaning, Meaning]]:
    both = ((one, change(partners, one)) for one in partners.sentences[:400])
    return [(meaning_of(one), other) for one, other in both if other is not None]


@each_task
def test_the_examples_are_those_of_this_sample_version(task: str):
    examples = [english(task, split) for split in ORDER]
    assert sha256(repr(examples).encode()).hexdigest() == GOLDEN[SAMPLE_VERSION][task]


@each_class
@each_split
def test_right_and_wrong_are_nearly_as_many(task: str, split: Split):
    labels = Counter(example.label for example in english(task, split))
    assert set(labels) == {YES, NO}
    assert 0.8 < labels[YES] / labels[NO] < 1.3


@each_task
def test_there_is_enough_of_each_split(task: str):
    train, validation, test = (len(english(task, split)) for split in ORDER)
    assert (train >= 1500, validation >= 180, test >= 400) == (True, True, True)


@each_task
def test_texts_of_a_split_come_from_its_sentences_only(task: str):
    texts = {
        split: {one.text for one in english(task, split) if one.label != NO or one.pair}
        for split in ORDER
    }
    for split in ORDER:
        assert texts[split] <= {one.text for one in build("en").sentences[split]}
    for one, other in combinations(ORDER, 2):
        assert not texts[one] & texts[other]


@each_task
def test_names_of_another_split_are_in_no_pair(task: str):
    areas = read_names("en").lists["area"]
    for split, other in (("train", "test"), ("test", "train"), ("validation", "test")):
        theirs = {form.text for form in areas[other]} - {form.text for form in areas[split]}
        texts = [f"{one.text} | {one.pair} |" for one in english(task, split)]
        assert not [text for text in texts for name in theirs if f" in the {name} |" in text]


def test_a_moved_word_leaves_all_words_and_gives_nothing_that_is_said():
    said = {text for some in build("en").texts.values() for text in some}
    patterns = {tuple(sorted(text.split())) for text in said}
    wrong = [one for one in english("acceptability", "train") if one.label == NO]
    assert not {one.text for one in wrong} & said
    assert all(tuple(sorted(one.text.split())) in patterns for one in wrong)


def test_a_paraphrase_is_in_other_words(partners: Partners):
    pairs = found(partners, Partners.same)
    assert len(pairs) > 350
    for one, other in pairs:
        assert (one.kind, one.slots) == (other.kind, other.slots)
        assert one.text != other.text
        assert all(value in other.text for value in other.slots.values())


@pytest.mark.parametrize(
    ("change", "same_kind", "same_labels"),
    [
        (Partners.other_value, True, True),
        (Partners.other_slots, True, False),
    ],
)
def test_one_thing_differs(partners: Partners, change: Change, same_kind: bool, same_labels: bool):
    for one, other in found(partners, change):
        assert (one.kind == other.kind) is same_kind
        assert (one.slots.keys() == other.slots.keys()) is same_labels
        differing = set(one.slots.items()) ^ set(other.slots.items())
        assert len({label for label, _ in differing}) == 1


def test_another_intent_is_of_the_same_kind_of_device(partners: Partners):
    pairs = found(partners, Partners.other_intent)
    assert all(one.kind[-1] == other.kind[-1] for one, other in pairs)
    assert all(one.kind[:2] != other.kind[:2] for one, other in pairs)
    alike = sum(one.slots == other.slots for one, other in pairs)
    assert alike > len(pairs) / 2


def test_a_description_of_something_else_is_never_true(partners: Partners):
    for example in english("entailment", "train"):
        wanted, *named = str(example.pair).split("; ")
        values = [value.partition(": ")[2] for value in named]
        if example.label == YES:
            assert all(value in example.text for value in values)
    by_text = {one.text: one for one in partners.sentences}
    for example in english("entailment", "train"):
        if example.label == NO:
            slots = slots_of(by_text[example.text])
            named = dict(one.split(": ", 1) for one in str(example.pair).split("; ")[1:])
            changed = [label for label, value in named.items() if value not in slots.values()]
            assert len(changed) <= 1


def meaning(kind: str, **slots: str) -> Meaning:
    return Meaning(text="", kind=("HassTurnOn", kind, kind), slots=slots)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (meaning("light", area="hall"), meaning("light", area="Hall"), 1.0),
        (meaning("light", area="hall"), meaning("light", area="attic"), 0.75),
        (meaning("light", area="hall", name="lamp"), meaning("light", area="hall"), 5 / 6),
        (meaning("light"), meaning("fan"), 0.0),
        (meaning("light"), meaning("light"), 1.0),
        (meaning("light", area="hall"), meaning("fan", area="hall"), 0.5),
    ],
)
def test_agreement_is_half_intent_and_half_slots(one: Meaning, other: Meaning, expected: float):
    assert agreement_of(one, other) == pytest.approx(expected)
    assert agreement_of(other, one) == agreement_of(one, other)


def test_similarity_is_graded(partners: Partners):
    labels = [float(one.label or 0.0) for one in english("similarity", "train")]
    assert min(labels) == 0.0
    assert max(labels) == MOST
    assert len(set(labels)) > 8
    most_frequent = Counter(labels).most_common(1)[0][1]
    assert most_frequent < len(labels) / 3


def test_values_agree_with_the_words_beside_them():
    """In German an article has the gender of the name that follows."""
    names = read_names("de")
    agreement = Agreement.of(names)
    partners = Partners(build("de").sentences["train"], agreement, Draw("a test"))
    texts = [other.text for _, other in found(partners, Partners.other_value)]
    assert any("in der Garage" in text for text in texts)
    assert not [text for text in texts if "im Garage" in text or "im Küche" in text]


@each_task
def test_the_documented_numbers_of_examples_are_these(task: str):
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    counts = " | ".join(f"{len(english(task, split)):,}" for split in ORDER)
    assert f"| `assistant/{task}` | {counts} |" in text


def test_a_language_of_few_sentences_gives_what_it_can():
    assert 40 < len(sample_examples("paraphrase", language="sw", split="train")) < 100


def test_kinds_hold_intent_response_and_domain(partners: Partners):
    one = partners.sentences[0]
    assert kind_of(one) == (one.intent, one.response, one.domain)
