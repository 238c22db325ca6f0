import numpy as np
import pytest
from scipy import stats

from composer.train.resampling import Judged, difference, holm, mcnemar, mean_of, measure

RIGHT, WRONG = "a", "b"


def judged(share: float, *, n: int = 200, seed: int = 1) -> Judged:
    rng = np.random.default_rng(seed)
    said = [RIGHT if one else WRONG for one in rng.random(n) < share]
    return Judged(predictions=said, gold=[RIGHT] * n)


def measured(*trials: Judged, language: str = "de", seed: int = 13, resamples: int = 2000):  # noqa: ANN201
    return measure("accuracy", trials, language=language, seed=seed, resamples=resamples)


def test_the_interval_of_an_accuracy_is_close_to_the_binomials():
    one = judged(0.8)
    found = measured(one)
    hits = sum(said == RIGHT for said in one.predictions)
    wanted = stats.binomtest(hits, 200).proportion_ci(method="wilson")
    assert found.value == hits / 200
    assert found.interval == pytest.approx((wanted.low, wanted.high), abs=0.012)


def test_the_interval_is_that_of_scipys_bootstrap():
    one = judged(0.7)
    right = np.array([said == RIGHT for said in one.predictions])
    theirs = stats.bootstrap(
        (right,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert measured(one, resamples=4000).interval == pytest.approx(
        (theirs.low, theirs.high), abs=0.01
    )


def test_the_same_seed_gives_the_same_interval_and_another_another():
    one = judged(0.7)
    assert measured(one).interval == measured(one).interval
    assert measured(one).interval != measured(one, seed=14).interval
    assert measured(one).interval != measured(one, language="fr").interval


def test_seeds_that_differ_widen_the_interval():
    alike = measured(judged(0.7), judged(0.7), judged(0.7))
    apart = measured(judged(0.5), judged(0.7), judged(0.9))
    width = [high - low for low, high in (alike.interval, apart.interval)]
    assert width[1] > 1.5 * width[0]
    assert apart.value == pytest.approx(alike.value, abs=0.03)


def test_the_mean_over_languages_is_surer_than_each():
    languages = [
        measured(judged(0.7, seed=place), language=tag) for place, tag in enumerate("abcdefgh")
    ]
    low, high = mean_of(languages).interval
    each = [one.interval[1] - one.interval[0] for one in languages]
    assert high - low < 0.5 * min(each)


def test_seeds_are_drawn_alike_in_all_languages():
    trials = (judged(0.5), judged(0.9))
    both = [measured(*trials, language=tag) for tag in ("de", "fr")]
    together = np.corrcoef(both[0].resamples, both[1].resamples)[0, 1]
    assert together > 0.9


def test_a_paired_difference_is_surer_than_two_intervals():
    base = judged(0.7)
    better = list(base.predictions)
    for place in [i for i, said in enumerate(better) if said == WRONG][:8]:
        better[place] = RIGHT
    found = difference(measured(Judged(predictions=better, gold=base.gold)), measured(base))
    assert found.value == pytest.approx(0.04)
    assert 0 < found.low < found.high < 0.08
    assert found.p < 0.01
    assert found.test == "bootstrap"


def test_what_is_equal_does_not_differ():
    one = measured(judged(0.7))
    found = difference(one, one)
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_mcnemar_is_the_binomial_test_of_those_that_differ():
    base, other = judged(0.7), judged(0.6, seed=2)
    pairs = list(zip(base.predictions, other.predictions, strict=True))
    b = sum(one == RIGHT != two for one, two in pairs)
    c = sum(one != RIGHT == two for one, two in pairs)
    assert b
    assert c
    assert mcnemar(base, other) == pytest.approx(stats.binomtest(b, b + c).pvalue)
    assert mcnemar(base, base) == 1.0


def test_holm_never_gives_less_than_was_found():
    ps = {"a": 0.01, "b": 0.011, "c": 0.5, "d": 0.9}
    found = holm(ps)
    assert found == {"a": 0.04, "b": 0.04, "c": 1.0, "d": 1.0}
    assert holm({}) == {}
