"""Batches of more rows than fit in memory: each row once, in an order of seed and epoch."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from composer.data import windows
from composer.data.batches import batch_plan
from composer.data.tokens import TokenFile, open_tokens, write_tokens
from composer.data.windows import WindowedPlan


def rows_of(folder: Path, count: int) -> TokenFile:
    lengths = np.random.Generator(np.random.PCG64(3)).integers(3, 20, count)
    write_tokens(folder, (np.full(length, 7, dtype=np.uint32) for length in lengths))
    found = open_tokens(folder)
    assert found is not None
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BLOCK", 8)
    monkeypatch.setattr(windows, "WINDOW", 64)


def batches(plan: WindowedPlan) -> list[list[int]]:
    return [plan[number] for number in range(len(plan))]


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_text_that_fits_has_the_batches_that_it_always_had(tmp_path: Path, shuffle: bool):
    rows = rows_of(tmp_path, 300)
    expected = batch_plan(
        rows.lengths([(0, 300)]).tolist(), batch_tokens=64, seed=5, epoch=2, shuffle=shuffle
    )
    plan = WindowedPlan(rows, batch_tokens=64, seed=5, epoch=2, shuffle=shuffle)
    assert batches(plan) == expected


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [1, 64, 65, 500])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_row_is_in_exactly_one_batch(tmp_path: Path, count: int, shuffle: bool):
    plan = WindowedPlan(rows_of(tmp_path, count), batch_tokens=64, seed=1, shuffle=shuffle)
    found = batches(plan)
    assert sorted(row for batch in found for row in batch) == list(range(count))
    assert len(found) == len(plan)


@pytest.mark.usefixtures("small")
def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else(tmp_path: Path):
    rows = rows_of(tmp_path, 500)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return batches(WindowedPlan(rows, batch_tokens=64, seed=seed, epoch=epoch))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@pytest.mark.usefixtures("small")
def test_any_batch_is_given_without_those_before_it(tmp_path: Path):
    rows = rows_of(tmp_path, 500)
    whole = batches(WindowedPlan(rows, batch_tokens=64, seed=1))
    plan = WindowedPlan(rows, batch_tokens=64, seed=1)
    for number in (len(whole) - 1, 3, len(whole) // 2, 0):
        assert plan[number] == whole[number]


@pytest.mark.usefixtures("small")
def test_rows_from_all_over_the_text_meet_in_a_window(tmp_path: Path):
    plan = WindowedPlan(rows_of(tmp_path, 1000), batch_tokens=64, seed=1)
    first = [row for number in range(4) for row in plan[number]]
    assert max(first) - min(first) > 500


@pytest.mark.usefixtures("small")
def test_held_out_text_is_read_in_its_order(tmp_path: Path):
    plan = WindowedPlan(rows_of(tmp_path, 200), batch_tokens=64, shuffle=False)
    windows_met = [row // 64 for batch in batches(plan) for row in batch]
    assert windows_met == sorted(windows_met)


def test_what_is_held_does_not_grow_with_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(windows, "WINDOW", 32 * windows.BLOCK)

    def peak(count: int) -> int:
        rows = rows_of(tmp_path / str(count), count)
        tracemalloc.start()
        plan = WindowedPlan(rows, batch_tokens=1024, seed=1)
        for number in range(0, len(plan), 50):
            rows.rows(plan[number])
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    one = peak(2 * windows.WINDOW)
    assert peak(10 * windows.WINDOW) < 1.1 * one
