import numpy as np
import pytest

from composer.data.examples import Span
from composer.recipe.grammar.tasks import Score
from composer.train.metrics import score
from composer.train.sums import resampled_scores

RNG = np.random.default_rng(5)
CLASSES = ["a", "b", "c", "d"]


def spans(number: int) -> tuple[Span, ...]:
    starts = RNG.permutation(4)[: number % 3]
    return tuple(Span(start=int(s), end=int(s) + 1, label=CLASSES[number % 2]) for s in starts)


GOLD_CLASSES = [CLASSES[i] for i in RNG.integers(0, 4, 40)]
SAID_CLASSES = [g if RNG.random() < 0.6 else CLASSES[RNG.integers(0, 4)] for g in GOLD_CLASSES]
GOLD_NUMBERS = (100 + RNG.normal(size=40)).round(1).tolist()
SAID_NUMBERS = (np.array(GOLD_NUMBERS) / 7 + RNG.normal(size=40)).round(1).tolist()
GOLD_SPANS, SAID_SPANS = [spans(i) for i in range(40)], [spans(i * 7 + 1) for i in range(40)]
GOLD_LABELS = [tuple(CLASSES[: i % 4]) for i in range(40)]
SAID_LABELS = [tuple(CLASSES[i % 3 : i % 4]) for i in range(40)]
GIVEN: dict[Score, tuple[list, list]] = {  # type: ignore[type-arg]
    "accuracy": (SAID_CLASSES, GOLD_CLASSES),
    "macro-f1": (SAID_CLASSES, GOLD_CLASSES),
    "matthews": (SAID_CLASSES, GOLD_CLASSES),
    "pearson": (SAID_NUMBERS, GOLD_NUMBERS),
    "spearman": (SAID_NUMBERS, GOLD_NUMBERS),
    "span-f1": (SAID_SPANS, GOLD_SPANS),
    "micro-f1": (SAID_LABELS, GOLD_LABELS),
    "exact-match": (SAID_LABELS, GOLD_LABELS),
}


def test_macro_f1_is_of_several_labels_an_example_too():
    draws = RNG.integers(0, 40, (5, 40))
    found = resampled_scores(
        "macro-f1", predictions=SAID_LABELS, gold=GOLD_LABELS, draws=draws
    )  # fmt: skip
    for row, value in zip(draws, found, strict=True):
        said, gold = ([labels[i] for i in row] for labels in (SAID_LABELS, GOLD_LABELS))
        assert value == pytest.approx(score("macro-f1", predictions=said, gold=gold))


@pytest.mark.parametrize("name", GIVEN)
def test_the_score_of_a_resample_is_the_score_of_its_examples(name: Score):
    said, gold = GIVEN[name]
    draws = RNG.integers(0, 40, (25, 40))
    found = resampled_scores(name, predictions=said, gold=gold, draws=draws)
    for row, value in zip(draws, found, strict=True):
        wanted = score(name, predictions=[said[i] for i in row], gold=[gold[i] for i in row])
        assert value == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_undefined_counts_as_zero(name: Score):
    said, gold = GIVEN[name]
    one = next(i for i, right in enumerate(gold) if said[i] != right)
    draws = np.full((1, 40), one)
    assert resampled_scores(name, predictions=said, gold=gold, draws=draws).tolist() == [0.0]


def test_blocks_of_resamples_are_put_together(monkeypatch: pytest.MonkeyPatch):
    draws = RNG.integers(0, 40, (11, 40))
    whole = resampled_scores("macro-f1", predictions=SAID_CLASSES, gold=GOLD_CLASSES, draws=draws)
    monkeypatch.setattr("composer.train.sums._BLOCK", 100)
    parts = resampled_scores("macro-f1", predictions=SAID_CLASSES, gold=GOLD_CLASSES, draws=draws)
    assert np.array_equal(whole, parts)
