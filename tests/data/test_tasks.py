from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.data.examples import Example, Span
from composer.data.tasks import check_examples, choose_examples, label_set
from composer.errors import DataError
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.tasks import TaskType

LABELS = ("HassTurnOff", "HassTurnOn", "name")


def faults_of(
    *examples: Example, type: TaskType = "text-classification", split: Split = "test"
) -> list[str]:
    try:
        check_examples(examples, type=type, labels=LABELS, split=split)
    except DataError as error:
        return [str(fault) for fault in error.faults]
    return []


def a_class(
    text: str = "hi", label: str | float | None = "HassTurnOn", pair: str | None = None
) -> Example:
    return Example(text=text, pair=pair, label=label, place="a.csv:7")


def with_spans(*spans: tuple[int, int, str]) -> Example:
    found = tuple(Span(start=start, end=end, label=label) for start, end, label in spans)
    return Example(text="bed lamp on", spans=found, place="a.jsonl:7")


def test_the_label_set_is_sorted_by_code_point():
    examples = [Example(text="t", label=label) for label in ["b", "B", "a", "é", "10", "9", "b"]]
    expected = ("10", "9", "B", "a", "b", "é")
    assert label_set(examples, type="text-classification") == expected


def test_a_label_set_that_is_given_keeps_its_order():
    examples = [Example(text="t", label="a")]
    assert label_set(examples, type="text-classification", given=("b", "a")) == ("b", "a")


def test_the_label_set_of_a_token_classification_is_that_of_its_spans():
    examples = [with_spans((0, 3, "b"), (4, 8, "a"))]
    assert label_set(examples, type="token-classification") == ("a", "b")


def test_a_regression_has_no_labels():
    assert label_set([a_class(label=1.5)], type="regression") == ()


@pytest.mark.parametrize(
    ("example", "fault"),
    [
        (a_class(text=""), "the text is empty"),
        (a_class(text=" \n"), "the text is empty"),
        (a_class(text="\u200d"), "the text holds nothing that can be seen, only U+200D"),
        (a_class(text="a" * 100_001), "a text of 100,001 characters; at most 100,000 are read"),
        (a_class(pair=""), "the second text: the text is empty"),
        (a_class(label=None), "the label is missing"),
        (a_class(label=" "), "the label is missing"),
        (a_class(label=1.0), "the label 1.0 is no text"),
        (
            a_class(label="HassTurnOnn"),
            "training never saw the label 'HassTurnOnn'; did you mean 'HassTurnOn'?",
        ),
        (
            a_class(label="x"),
            "training never saw the label 'x'; known: HassTurnOff, HassTurnOn, name",
        ),
    ],
)
def test_a_class_that_cannot_be_scored_is_refused(example: Example, fault: str):
    assert faults_of(example) == [f"a.csv:7: {fault}"]


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        (None, "the label is missing"),
        (float("nan"), "nan is not a finite number"),
        (float("-inf"), "-inf is not a finite number"),
        ("1", "'1' is not a finite number"),
    ],
)
def test_a_regression_is_of_finite_numbers(label: float | str | None, fault: str):
    assert faults_of(a_class(label=label), type="regression") == [f"a.csv:7: {fault}"]


@pytest.mark.parametrize(
    ("spans", "fault"),
    [
        ([(0, 12, "name")], "the span 0..12 ('name') lies outside the text of 11 characters"),
        ([(-1, 2, "name")], "the span -1..2 ('name') lies outside the text of 11 characters"),
        ([(4, 3, "name")], "the span 4..3 ('name') lies outside the text of 11 characters"),
        ([(4, 4, "name")], "the span 4..4 ('name') is empty"),
        ([(3, 4, "name")], "the span 3..4 ('name') is empty"),
        ([(4, 8, "name"), (0, 5, "name")], "the span 4..8 ('name') overlaps 0..5 ('name')"),
        ([(0, 3, "nam")], "training never saw the label 'nam'; did you mean 'name'?"),
    ],
)
def test_a_span_that_cannot_be_is_refused(spans: list[tuple[int, int, str]], fault: str):
    assert faults_of(with_spans(*spans), type="token-classification") == [f"a.jsonl:7: {fault}"]


def test_good_examples_pass():
    assert faults_of(a_class(), a_class(label="HassTurnOff"), split="train") == []
    assert faults_of(with_spans((0, 8, "name"), (9, 11, "name")), type="token-classification") == []
    assert faults_of(a_class(label=1), a_class(label=2.5), type="regression", split="train") == []


@pytest.mark.parametrize(
    ("examples", "type", "fault"),
    [
        ([], "text-classification", "no examples"),
        (
            [a_class(), a_class()],
            "text-classification",
            "every example has the label 'HassTurnOn'; a classifier needs two",
        ),
        (
            [a_class(label=2.0), a_class(label=2.0)],
            "regression",
            "every example has the number 2.0; there is nothing to learn",
        ),
        (
            [with_spans()],
            "token-classification",
            "no example has a span (HassTurnOff, HassTurnOn, name); there is nothing to learn",
        ),
    ],
)
def test_training_must_teach_something(examples: list[Example], type: TaskType, fault: str):
    assert faults_of(*examples, type=type, split="train") == [f"train split: {fault}"]
    if examples:  # scoring on them is fine
        assert faults_of(*examples, type=type, split="test") == []


def test_a_training_label_outside_the_given_set_is_refused():
    (fault,) = faults_of(a_class(label="nme"), split="train")
    assert fault == "a.csv:7: 'nme' is not in the task's label set; did you mean 'name'?"


def test_the_place_of_a_whole_split_can_be_given():
    with pytest.raises(DataError, match=r"^intent, en: no examples$"):
        check_examples([], type="text-classification", labels=(), split="train", place="intent, en")


def test_an_example_without_a_place_is_named_by_its_number():
    assert faults_of(Example(text="", label="name")) == ["test split:1: the text is empty"]


def test_plain_text_needs_no_labels():
    check_examples([Example(text="hi")], type=None, labels=(), split="train")


def test_ten_thousand_labels_and_as_many_faults_end_soon():
    labels = [f"label {number}" for number in range(10_000)]
    examples = [Example(text="t", label=f"lable {number}") for number in range(10_000)]
    with pytest.raises(DataError) as caught:
        check_examples(examples, type="text-classification", labels=labels, split="test")
    assert len(caught.value.faults) == 21
    assert str(caught.value.faults[-1]) == "test split:21: and 9980 more faults"


many = st.lists(st.tuples(st.text(max_size=3), st.sampled_from("abcd")), max_size=40)


@given(many, st.integers(0, 50), st.integers(0, 5))
def test_so_many_examples_are_drawn_and_each_once(
    rows: list[tuple[str, str]], count: int, seed: int
):
    examples = [Example(text=text, label=label) for text, label in rows]
    drawn = choose_examples(examples, count, seed=seed)
    assert len(drawn) == len(set(drawn)) == min(count, len(examples))


@given(many, st.integers(0, 50), st.randoms(use_true_random=False))
def test_a_draw_does_not_depend_on_the_order_of_rows(
    rows: list[tuple[str, str]], count: int, rng: object
):
    examples = [Example(text=text, label=label) for text, label in rows]
    shuffled = rng.sample(examples, len(examples))  # type: ignore[attr-defined]
    drawn = [examples[index] for index in choose_examples(examples, count, seed=1)]
    assert [shuffled[index] for index in choose_examples(shuffled, count, seed=1)] == drawn


@given(many, st.integers(0, 50))
def test_every_label_keeps_an_example_while_there_is_room(rows: list[tuple[str, str]], count: int):
    examples = [Example(text=text, label=label) for text, label in rows]
    drawn = choose_examples(examples, count, seed=1)
    labels = {examples[index].label for index in drawn}
    assert len(labels) == min(count, len({label for _, label in rows}))


def test_span_labels_keep_an_example_too():
    rare = with_spans((0, 3, "rare"), (4, 8, "rarer"))
    examples = [with_spans((0, 8, "name"))] * 50 + [rare] + [with_spans()] * 50
    assert 50 in choose_examples(examples, 2, seed=3)


def test_another_seed_draws_others_and_the_same_seed_the_same():
    examples = [Example(text=str(number), label="x") for number in range(100)]
    draws = [choose_examples(examples, 10, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert set(draws[0]) != set(draws[2])


def test_the_draw_is_pinned():
    examples = [Example(text=str(number), label=str(number % 2)) for number in range(20)]
    assert choose_examples(examples, 5, seed=13) == [13, 9, 5, 15, 12]


def test_equal_texts_of_two_languages_are_drawn_apart():
    examples = [Example(text=str(number // 2), label="x") for number in range(200)]
    languages = ["de", "en"] * 100
    drawn = choose_examples(examples, 100, seed=1, languages=languages)
    assert 30 < Counter(languages[index] for index in drawn)["de"] < 70
    assert len({index // 2 for index in drawn}) > 60


def test_labels_are_drawn_in_proportion():
    examples = [Example(text=str(number), label="ab"[number % 4 == 0]) for number in range(4000)]
    drawn = Counter(examples[index].label for index in choose_examples(examples, 400, seed=1))
    assert 60 < drawn["b"] < 140
