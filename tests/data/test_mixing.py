from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.data.mixing import language_counts, mixed_epoch

TAGS = ["en"] * 80 + ["de"] * 15 + ["fi"] * 5
sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1)


@given(sizes, st.floats(1, 1e6))
def test_an_epoch_stays_as_long_as_it_is(given_sizes: dict[str, int], temperature: float):
    counts = language_counts(given_sizes, temperature=temperature)
    assert sum(counts.values()) == sum(given_sizes.values())
    assert counts.keys() == given_sizes.keys()


@given(sizes)
def test_at_one_there_are_as_many_of_each_as_there_are(given_sizes: dict[str, int]):
    assert language_counts(given_sizes, temperature=1.0) == given_sizes


def test_shares_are_like_roots_of_sizes():
    counts = language_counts({"en": 8100, "de": 900}, temperature=2.0)
    assert counts == {"en": 6750, "de": 2250}  # 90 : 30
    counts = language_counts({"en": 8000, "de": 1000}, temperature=3.0)
    assert counts == {"en": 6000, "de": 3000}  # 20 : 10


def test_at_one_an_epoch_is_each_example_once():
    assert mixed_epoch(TAGS, temperature=1.0, seed=1, epoch=3) == list(range(100))


def test_a_small_language_is_repeated_evenly_and_a_large_one_takes_turns():
    epochs = [mixed_epoch(TAGS, temperature=1e6, seed=1, epoch=epoch) for epoch in range(2)]
    for chosen in epochs:
        assert len(chosen) == 100
        times = Counter(chosen)
        assert Counter(TAGS[i] for i in chosen) == language_counts(
            {"en": 80, "de": 15, "fi": 5}, temperature=1e6
        )
        assert {times[i] for i in range(80)} == {0, 1}
        assert {times[i] for i in range(80, 95)} == {2, 3}
        assert {times[i] for i in range(95, 100)} == {6, 7}
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("changed", [{"seed": 2}, {"epoch": 1}])
def test_the_same_seed_and_epoch_choose_the_same_examples(changed: dict[str, int]):
    said = {"seed": 1, "epoch": 0}
    one = mixed_epoch(TAGS, temperature=2.0, **said)
    assert one == mixed_epoch(TAGS, temperature=2.0, **said)
    assert one != mixed_epoch(TAGS, temperature=2.0, **{**said, **changed})
