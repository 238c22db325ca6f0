"""Workers killed at random under two runs on one store: all ends well, each key made once."""

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.recipe.reading.reader import read_recipe
from tests.engine.attempts import check_clean
from tests.engine.running.test_run import outputs
from tests.engine.workers import WorkerRunners, attempts, many

_SPAWN = multiprocessing.get_context("spawn")
_SECONDS = 300  # that nothing here takes


def _run(folder: Path, name: str, count: int, seconds: float) -> None:
    """Run many stages, side by side; tell which ones were made."""
    store = Store(folder / ".composer")
    wanted = many(wanted_of(read_recipe(folder / "home.yaml")), count, rows=4)
    options = RunOptions(
        jobs=2,
        retries=20,  # the same one may be chosen again and again
        runners=WorkerRunners(folder / "orders", seconds=seconds),
        lock_file=folder / f"{name}.lock",
    )
    result = run_stages(make_plan(wanted, store), store, options)
    (folder / f"{name}.made").write_text(json.dumps(result.made))


def kill_workers(folder: Path, times: int, *, seed: int, alive: threading.Event) -> list[int]:
    """SIGKILL workers that carry out a stage just now, so many times; give which."""
    numbers, killed = random.Random(seed), list[int]()
    until = time.monotonic() + _SECONDS
    while len(killed) < times and time.monotonic() < until and not alive.is_set():
        time.sleep(numbers.uniform(0.05, 0.4))
        at_work = sorted({process for _, process, _ in attempts(folder / "orders")} - {*killed})
        if at_work:
            with suppress(ProcessLookupError):
                victim = numbers.choice(at_work)
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
    return killed


@pytest.mark.parametrize(
    ("count", "kills", "seconds"),
    [(8, 2, 0.1), pytest.param(20, 10, 0.25, marks=pytest.mark.slow)],
)
def test_two_runs_whose_workers_are_killed_at_random_make_every_stage_once(
    folder: Path, count: int, kills: int, seconds: float
):
    (folder / "orders").mkdir()
    over = threading.Event()
    runs = [
        _SPAWN.Process(target=_run, args=(folder, name, count, seconds)) for name in ("one", "two")
    ]
    for run in runs:
        run.start()
    killed: list[int] = []
    killer = threading.Thread(
        target=lambda: killed.extend(kill_workers(folder, kills, seed=7, alive=over))
    )
    killer.start()
    for run in runs:
        run.join(_SECONDS)
    over.set()
    killer.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert len(killed) == kills

    made = [*json.loads((folder / "one.made").read_text())]
    made += json.loads((folder / "two.made").read_text())
    assert len(made) <= count  # who was killed just after it published is not told of
    assert len(made) == len(set(made))
    store = Store(folder / ".composer")
    assert len(list(store.folder.glob("objects/*/*"))) == count
    check_clean(store.folder)
    assert not list((store.folder / "work").iterdir())
    assert (folder / "one.lock").read_bytes() == (folder / "two.lock").read_bytes()

    plan = make_plan(many(wanted_of(read_recipe(folder / "home.yaml")), count, rows=4), store)
    assert {one.state for one in plan.stages} == {"done"}
    quiet = Store(folder / "quiet")
    runners = WorkerRunners(folder / "orders")
    run_stages(plan, quiet, RunOptions(runners=runners))
    assert outputs(store, plan) == outputs(quiet, plan)
