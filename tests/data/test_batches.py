import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.data.batches import batch_plan, collate, pad
from composer.data.encode import Encoded

lengths_lists = st.lists(st.integers(1, 80), max_size=80)


def encoded(*ids: int, special: int = 0) -> Encoded:
    return Encoded(ids=[*ids], type_ids=[0] * len(ids), special=[special] * len(ids), offsets=[])


@given(lengths_lists, st.integers(1, 200), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_every_example_is_in_one_batch_and_no_batch_is_too_large(
    lengths: list[int], batch_tokens: int, seed: int, epoch: int, shuffle: bool
):
    plan = batch_plan(lengths, batch_tokens=batch_tokens, seed=seed, epoch=epoch, shuffle=shuffle)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    for batch in plan:
        longest = max(lengths[index] for index in batch)
        assert len(batch) * longest <= batch_tokens or len(batch) == 1


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["de", "en", "ru"]))), st.booleans())
def test_a_batch_has_one_group_only(rows: list[tuple[int, str]], shuffle: bool):
    groups = [group for _, group in rows]
    plan = batch_plan(
        [length for length, _ in rows], batch_tokens=100, shuffle=shuffle, groups=groups
    )
    assert sorted(index for batch in plan for index in batch) == list(range(len(rows)))
    assert all(len({groups[index] for index in batch}) == 1 for batch in plan)


def some_lengths(count: int = 2000) -> list[int]:
    return [
        int(length) for length in np.random.Generator(np.random.PCG64(1)).gamma(4, 4, count) + 3
    ]


def padded_share(plan: list[list[int]], lengths: list[int]) -> float:
    room = sum(len(batch) * max(lengths[index] for index in batch) for batch in plan)
    return 1 - sum(lengths) / room


def test_little_is_padded():
    lengths = some_lengths()
    assert padded_share(batch_plan(lengths, batch_tokens=1024), lengths) < 0.08
    assert padded_share(batch_plan(lengths, batch_tokens=1024, shuffle=False), lengths) < 0.04


def test_batches_are_filled():
    lengths = some_lengths()
    plan = batch_plan(lengths, batch_tokens=1024)
    assert len(plan) <= 1.1 * sum(lengths) / 1024 + 1


@pytest.mark.parametrize("count", [50, 193, 600])
def test_batches_to_learn_from_are_even(count: int):
    lengths = some_lengths(count)

    def rooms(*, shuffle: bool) -> list[int]:
        plan = batch_plan(lengths, batch_tokens=512, shuffle=shuffle)
        return [len(batch) * max(lengths[index] for index in batch) for batch in plan]

    even, filled = rooms(shuffle=True), rooms(shuffle=False)
    assert max(even) <= 512
    assert len(even) <= len(filled) + 1  # another order
    assert min(even) > 0.7 * max(even)


def test_a_last_sentence_is_no_batch_of_its_own():
    assert sorted(map(len, batch_plan([4] * 17, batch_tokens=64))) == [8, 9]


def test_the_same_seed_and_epoch_give_the_same_plan():
    lengths = some_lengths()
    plans = [batch_plan(lengths, batch_tokens=256, seed=7, epoch=2) for _ in range(2)]
    assert plans[0] == plans[1]


def test_the_plan_is_pinned():
    plan = batch_plan([5, 3, 9, 4, 7, 3, 8, 5], batch_tokens=16, seed=13, epoch=1)
    assert plan == [[2], [6, 4], [1, 5], [7, 0, 3]]


@pytest.mark.parametrize(("seed", "epoch"), [(8, 2), (7, 3)])
def test_another_epoch_or_seed_gives_other_companions(seed: int, epoch: int):
    lengths = some_lengths()
    first = batch_plan(lengths, batch_tokens=256, seed=7, epoch=2)
    second = batch_plan(lengths, batch_tokens=256, seed=seed, epoch=epoch)
    same = {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}
    assert len(same) < 0.05 * len(first)


def test_batches_do_not_come_in_the_order_of_their_lengths():
    lengths = some_lengths()
    means = [np.mean([lengths[index] for index in batch])
             for batch in batch_plan(lengths, batch_tokens=256)]  # fmt: skip
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


def test_to_evaluate_the_longest_come_first_whatever_the_seed():
    lengths = some_lengths(100)
    plans = [
        batch_plan(lengths, batch_tokens=99, seed=seed, epoch=seed, shuffle=False)
        for seed in (1, 2)
    ]
    assert plans[0] == plans[1]
    order = [lengths[index] for batch in plans[0] for index in batch]
    assert order == sorted(lengths, reverse=True)


def test_nothing_gives_no_batches():
    assert batch_plan([], batch_tokens=10) == []


@pytest.mark.parametrize(("lengths", "batch_tokens"), [([0], 10), ([3], 0)])
def test_lengths_and_batches_hold_something(lengths: list[int], batch_tokens: int):
    with pytest.raises(ValueError, match="must be at least 1"):
        batch_plan(lengths, batch_tokens=batch_tokens)


def test_every_example_needs_its_group():
    with pytest.raises(ValueError, match="1 groups for 2 lengths"):
        batch_plan([1, 2], batch_tokens=10, groups=["de"])


def test_a_batch_is_padded_to_its_longest_row():
    batch = collate([encoded(5, 6, 7), encoded(8)], pad_id=1)
    assert {name: array.tolist() for name, array in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 1, 1]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "token_type_ids": [[0, 0, 0], [0, 0, 0]],
    }
    assert {str(array.dtype) for array in batch.values()} == {"int64"}


@pytest.mark.parametrize(
    ("labels", "expected", "dtype"),
    [
        ([1, 0], [1, 0], "int64"),
        ([1.5, 2.0], [1.5, 2.0], "float32"),
        ([[1, 2, 3], [-100]], [[1, 2, 3], [-100, -100, -100]], "int64"),
    ],
)
def test_labels_are_a_number_a_row_or_a_tag_a_token(
    labels: list[int], expected: list[int], dtype: str
):
    array = collate([encoded(5, 6, 7), encoded(8)], pad_id=1, labels=labels)["labels"]
    assert (array.tolist(), str(array.dtype)) == (expected, dtype)


def test_every_row_needs_its_label():
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        collate([encoded(1), encoded(2)], pad_id=0, labels=[1])


def test_no_rows_make_an_empty_array():
    assert pad([], 0).shape == (0, 0)


@given(lengths_lists, st.integers(1, 20), st.integers(0, 9), st.booleans())
def test_batches_of_examples_have_exactly_so_many_but_for_one(
    lengths: list[int], examples: int, seed: int, shuffle: bool
):
    plan = batch_plan(lengths, batch_tokens=16, batch_examples=examples, seed=seed, shuffle=shuffle)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    sizes = sorted(map(len, plan), reverse=True)
    whole, left = divmod(len(lengths), examples)
    assert sizes == [examples] * whole + ([left] if left else [])


def test_batches_of_examples_are_drawn_whatever_the_lengths_are():
    lengths = some_lengths(400)
    plans = [batch_plan(lengths, batch_tokens=16, batch_examples=8, epoch=e) for e in (0, 1)]
    assert plans[0] != plans[1]
    means = [np.mean([lengths[index] for index in batch]) for batch in plans[0]]
    assert max(means) < 2 * np.mean(lengths)  # sorted by length, the longest would be together
    assert plans[0] == batch_plan(lengths, batch_tokens=999, batch_examples=8)


def test_a_batch_of_examples_has_one_group_only():
    groups = ["de", "en", "en", "de", "en", "en"]
    plan = batch_plan([3] * 6, batch_tokens=16, batch_examples=4, groups=groups)
    assert sorted(len(batch) for batch in plan) == [2, 4]
    assert all(len({groups[index] for index in batch}) == 1 for batch in plan)
