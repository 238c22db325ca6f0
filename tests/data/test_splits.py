import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.data.examples import Example
from composer.data.splits import held_out, split_of
from composer.recipe.grammar.data import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def examples_of(texts: list[str], *, labels: int = 2) -> list[Example]:
    return [Example(text=text, label=f"l{len(text) % labels}") for text in texts]


def split_texts(examples: list[Example]) -> dict[str, set[str]]:
    return {split: {one.text for one in held_out(examples, split)} for split in SPLITS}


def test_the_rule_is_pinned():
    splits = [split_of(f"text {number}") for number in range(30)]
    assert {split: splits.count(split) for split in SPLITS} == {
        "train": 21,
        "validation": 4,
        "test": 5,
    }
    assert [number for number, split in enumerate(splits) if split == "test"] == [
        12,
        13,
        19,
        20,
        26,
    ]


@given(st.lists(st.text(min_size=1), max_size=60), st.randoms(use_true_random=False))
def test_every_text_is_in_one_split_whatever_the_order(texts: list[str], rng: random.Random):
    examples = examples_of(texts)
    shuffled = rng.sample(examples, len(examples))
    found = split_texts(examples)
    assert sum(map(len, found.values())) == len(set(texts))
    assert split_texts(shuffled) == found


def test_a_new_row_moves_no_other():
    texts = [f"text {number}" for number in range(400)]
    before, after = split_texts(examples_of(texts[:300])), split_texts(examples_of(texts))
    assert all(before[split] <= after[split] for split in SPLITS)


def test_texts_that_look_equal_share_a_split():
    composed = [f"caf\u00e9 {number}" for number in range(50)]
    decomposed = [f"cafe\u0301 {number}" for number in range(50)]
    assert list(map(split_of, composed)) == list(map(split_of, decomposed))


@pytest.mark.parametrize("count", range(3, 30))
def test_a_small_file_has_all_three_splits(count: int):
    examples = [Example(text=f"text {number}", label="same") for number in range(count)]
    assert all(split_texts(examples).values())


@pytest.mark.parametrize("count", [1, 2])
def test_a_file_too_small_keeps_something_to_learn_from(count: int):
    examples = [Example(text=f"text {number}", label="same") for number in range(count)]
    assert held_out(examples, "train")


@given(st.lists(st.tuples(st.text(min_size=1), st.sampled_from("abcdefghij")), min_size=1))
def test_every_label_is_learnt(rows: list[tuple[str, str]]):
    examples = [Example(text=text, label=label) for text, label in rows]
    trained = {example.label for example in held_out(examples, "train")}
    assert trained == {label for _, label in rows}


def test_a_split_that_says_little_is_told(caplog: pytest.LogCaptureFixture):
    examples = examples_of([f"text {number}" for number in range(30)])
    with caplog.at_level(logging.WARNING):
        held_out(examples, "test")
    assert "the test split held out of 30 examples has 5; a score on so few" in caplog.text
