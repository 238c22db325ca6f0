from collections import Counter

import pytest

from composer.data.samples.draw import Draw


def test_the_choices_follow_from_the_seed_alone():
    draw = Draw("assistant")
    assert [draw.one_of(range(1000)) for _ in range(4)] == [181, 597, 657, 71]
    assert Draw("assistant").shuffled("abcdef") == Draw("assistant").shuffled("abcdef")
    assert Draw("a").shuffled(range(50)) != Draw("b").shuffled(range(50))


def test_a_shuffle_keeps_every_item_and_leaves_the_list_alone():
    items = list(range(20))
    assert sorted(Draw("x").shuffled(items)) == items == list(range(20))


@pytest.mark.parametrize("count", [1, 2, 3, 70])
def test_every_item_comes_once_when_all_are_drawn(count: int):
    assert sorted(Draw("x").early_first(range(count))) == list(range(count))


def test_the_nth_item_has_a_weight_of_one_nth():
    draw = Draw("x")
    first = Counter(next(draw.early_first("abc")) for _ in range(6000))
    assert first["a"] / 6000 == pytest.approx(6 / 11, abs=0.03)
    assert first["b"] / 6000 == pytest.approx(3 / 11, abs=0.03)
    assert first["c"] / 6000 == pytest.approx(2 / 11, abs=0.03)


def test_a_chance_is_taken_as_often_as_it_says():
    draw = Draw("x")
    assert sum(draw.chance(0.25) for _ in range(4000)) / 4000 == pytest.approx(0.25, abs=0.03)
