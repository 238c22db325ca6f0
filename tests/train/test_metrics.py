import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from composer.data.columns import spans_of_words
from composer.data.examples import Span
from composer.errors import TrainingError
from composer.recipe.grammar.tasks import Score
from composer.train.metrics import SCORES, all_scores, score

GOLD = ["a", "a", "b", "b", "c", "c"]
SAID = ["a", "b", "b", "b", "c", "d"]


def test_classes_are_scored():
    found = all_scores("text-classification", predictions=SAID, gold=GOLD)
    assert found["accuracy"] == pytest.approx(4 / 6)
    # F1 of a: 2/3; of b: 4/5; of c: 2/3; of d, which is only predicted: 0.
    assert found["macro-f1"] == pytest.approx((2 / 3 + 4 / 5 + 2 / 3 + 0) / 4)
    # Gorodkin (2004): (c s - sum p t) / sqrt((s^2 - sum p^2) (s^2 - sum t^2))
    correct, all_of_them, predicted, true = 4, 6, [1, 3, 1, 1], [2, 2, 2, 0]
    crossed = sum(p * t for p, t in zip(predicted, true, strict=True))
    norm = (36 - sum(p * p for p in predicted)) * (36 - sum(t * t for t in true))
    expected = (correct * all_of_them - crossed) / math.sqrt(norm)
    assert found["matthews"] == pytest.approx(expected)


SETS = [("a", "b"), ("a",), (), ("b", "c")]
SAID_SETS = [("a", "b"), ("b",), (), ("b",)]


def test_sets_of_labels_are_scored():
    found = all_scores("multi-label-classification", predictions=SAID_SETS, gold=SETS)
    # a: 1 right, 1 missed; b: 2 right, 1 too many; c: 1 missed
    assert found["micro-f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert found["macro-f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert found["exact-match"] == pytest.approx(2 / 4)
    assert set(found) == {"micro-f1", "macro-f1", "exact-match"}


def test_the_order_of_labels_does_not_matter():
    turned = [tuple(reversed(one)) for one in SETS]
    found = all_scores("multi-label-classification", predictions=turned, gold=SETS)
    assert set(found.values()) == {1.0}


def test_no_label_anywhere_is_right_and_has_no_f1(caplog: pytest.LogCaptureFixture):
    found = all_scores("multi-label-classification", predictions=[(), ()], gold=[(), ()])
    assert found == {"macro-f1": 0.0, "micro-f1": 0.0, "exact-match": 1.0}
    assert "micro-f1 is undefined, as there is no label at all" in caplog.text


def test_classes_may_be_numbers():
    numbers = dict(zip("abcd", range(4), strict=True))
    said, gold = [numbers[label] for label in SAID], [numbers[label] for label in GOLD]
    names: tuple[Score, ...] = ("accuracy", "macro-f1", "matthews")
    for name in names:
        assert score(name, predictions=said, gold=gold) == pytest.approx(
            score(name, predictions=SAID, gold=GOLD)
        )


@pytest.mark.parametrize("name", ["accuracy", "macro-f1", "matthews"])
def test_classes_that_are_all_right_score_one(name: Score):
    many = [str(number) for number in range(50)]  # more classes than scikit-learn expects
    assert score(name, predictions=many, gold=many) == 1.0


def test_always_the_same_answer_has_no_matthews_correlation():
    assert score("matthews", predictions=["a"] * 6, gold=GOLD) == 0.0


def test_ten_thousand_classes_are_scored():
    gold = [f"label {number}" for number in range(10_000)]
    assert score("macro-f1", predictions=gold[::-1], gold=gold) == 0.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pearson", np.corrcoef([1, 2, 4, 9], [1, 3, 2, 20])[0, 1]), ("spearman", 0.8)],
)
def test_numbers_are_correlated(name: Score, expected: float):
    found = score(name, predictions=[1.0, 2.0, 4.0, 9.0], gold=[1.0, 3.0, 2.0, 20.0])
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("predictions", "gold"),
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
        ([1.0], [2.0]),
    ],
    ids=["constant predictions", "constant gold", "one example"],
)
def test_an_undefined_correlation_counts_as_zero_and_is_told(
    name: Score, predictions: list[float], gold: list[float], caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        assert score(name, predictions=predictions, gold=gold) == 0.0
    assert f"{name} is undefined" in caplog.text


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("side", ["predictions", "gold"])
def test_numbers_that_are_not_finite_are_refused(wrong: float, side: str):
    values = {"predictions": [1.0, 2.0], "gold": [1.0, 2.0]} | {side: [1.0, wrong]}
    with pytest.raises(TrainingError, match=f"1 of 2 {side} are not finite numbers"):
        score("pearson", **values)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(finite, finite), min_size=1), st.sampled_from(["pearson", "spearman"]))
def test_no_correlation_is_ever_nan(pairs: list[tuple[float, float]], name: Score):
    found = score(name, predictions=[a for a, _ in pairs], gold=[b for _, b in pairs])
    assert -1.0 - 1e-9 <= found <= 1.0 + 1e-9


TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]
sentences = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


def word_spans(tags: list[str]) -> tuple[Span, ...]:
    return spans_of_words(["w"] * len(tags), tags)


# seqeval divides by zero where there is no span at all, and says so by a warning.
@pytest.mark.filterwarnings("ignore:.*being set to 0.0")
@given(sentences)
def test_span_f1_is_that_of_seqeval(rows: list[list[tuple[str, str]]]):
    said = [[tag for tag, _ in row] for row in rows]
    gold = [[tag for _, tag in row] for row in rows]
    found = score(
        "span-f1",
        predictions=[word_spans(tags) for tags in said],
        gold=[word_spans(tags) for tags in gold],
    )
    assert found == pytest.approx(f1_score(gold, said))


def test_a_span_counts_only_if_it_is_exact_and_in_its_own_example():
    one, longer = Span(start=0, end=3, label="a"), Span(start=0, end=4, label="a")
    other = Span(start=0, end=3, label="b")
    gold = [(one,), (), (one,), (one,)]
    said = [(one,), (one,), (longer,), (other,)]
    assert score("span-f1", predictions=said, gold=gold) == pytest.approx(2 * 1 / (4 + 3))


def test_no_span_at_all_counts_as_zero_and_is_told(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert score("span-f1", predictions=[()], gold=[()]) == 0.0
    assert "span-f1 is undefined" in caplog.text


@pytest.mark.parametrize(
    ("predictions", "gold"), [([], []), (["a"], ["a", "b"])], ids=["nothing", "too few"]
)
def test_each_example_needs_a_prediction(predictions: list[str], gold: list[str]):
    with pytest.raises(ValueError, match=f"{len(predictions)} predictions for {len(gold)} ex"):
        score("accuracy", predictions=predictions, gold=gold)


def test_an_unknown_score_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="'acuracy' is not a score; did you mean 'accuracy'"):
        score("acuracy", predictions=["a"], gold=["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("type", "names"),
    [
        ("text-classification", {"accuracy", "macro-f1", "matthews"}),
        ("regression", {"pearson", "spearman"}),
        ("token-classification", {"span-f1"}),
        ("multi-label-classification", {"micro-f1", "macro-f1", "exact-match"}),
    ],
)
def test_each_type_has_its_scores(type: str, names: set[str]):
    assert {name for name, info in SCORES.items() if type in info.types} == names


def test_higher_is_better_in_all_scores():
    assert all(info.higher_is_better for info in SCORES.values())
