"""Stages side by side in workers that are real processes, which fail and are killed."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.engine.planning.lock import read_lock
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import Event, RunOptions, RunResult
from composer.engine.running.failures import WorkerFaultError
from composer.engine.running.run import run_stages
from composer.engine.storage.refs import all_refs
from composer.engine.storage.store import Store
from composer.errors import DataError, RunError, StoppedError
from tests.engine.attempts import check_clean
from tests.engine.planning.test_plan import ALL
from tests.engine.running.test_run import outputs
from tests.engine.workers import STEPS, WorkerRunners, attempts, many, order

PlanOf = Callable[..., Plan]
INTENT, DOMAIN = "task/intent", "task/domain"


@pytest.fixture
def orders(folder: Path) -> Path:
    (folder / "orders").mkdir()
    return folder / "orders"


@pytest.fixture
def run(plan_of: PlanOf, store: Store, orders: Path) -> Callable[..., RunResult]:
    def run(**options: object) -> RunResult:
        given = {"jobs": 2, "runners": WorkerRunners(orders), **options}
        return run_stages(plan_of(), store, RunOptions(**given))  # type: ignore[arg-type]

    return run


def names(orders: Path) -> list[str]:
    return sorted(name for name, _, _ in attempts(orders))


def test_one_job_and_two_make_the_same_bytes_and_write_the_same_lock(
    plan_of: PlanOf, folder: Path, orders: Path
):
    found = []
    for jobs in (1, 2):
        store, lock = Store(folder / f"store{jobs}"), folder / f"{jobs}.lock"
        options = RunOptions(jobs=jobs, runners=WorkerRunners(orders), lock_file=lock)
        plan = plan_of()
        result = run_stages(plan, store, options)
        assert list(result.made) == list(result.results) == ALL
        check_clean(store.folder)
        assert not list((store.folder / "work").iterdir())
        found.append((outputs(store, plan), lock.read_bytes(), [r.key for r in all_refs(store)]))
    assert found[0] == found[1]
    processes = {process for _, process, _ in attempts(orders)}
    assert len(processes) == 3  # this one, and two workers
    assert os.getpid() in processes


def test_stages_that_need_nothing_of_each_other_are_carried_out_at_the_same_time(
    run: Callable[..., RunResult], orders: Path
):
    for name in ("language/en", "language/de"):
        order(orders, name, "meet")
    told: list[Event] = []
    assert run(on_event=told.append).made
    assert [one.kind for one in told if one.kind == "made"] == ["made"] * len(ALL)
    assert {one.total for one in told} == {len(ALL)}
    assert all(ALL[one.number - 1] == one.stage for one in told)


def test_a_worker_that_is_killed_costs_nothing_but_the_steps_since_its_checkpoint(
    run: Callable[..., RunResult], orders: Path, store: Store
):
    order(orders, INTENT, "kill", times=2)
    order(orders, DOMAIN, "exit")
    told: list[Event] = []
    assert list(run(on_event=told.append).made) == ALL
    begun = [step for name, _, step in attempts(orders) if name == DOMAIN]
    assert begun == [0, STEPS // 2 + 1]
    lost = [(one.stage, one.said) for one in told if one.kind == "lost"]
    assert (DOMAIN, "its worker ended with exit status 3") in lost
    assert (INTENT, "its worker was killed by SIGKILL") in lost
    assert [one.resumed for one in told if one.kind == "started" and one.stage == DOMAIN] == [
        False,
        True,
    ]
    check_clean(store.folder)


def test_a_stage_that_loses_its_worker_again_and_again_is_given_up(
    run: Callable[..., RunResult], orders: Path, monkeypatch: pytest.MonkeyPatch
):
    order(orders, "language/en", "kill")
    with pytest.raises(RunError, match=r"^language/en: its worker was killed by SIGKILL; often"):
        run(retries=0, only=("language/en",))
    assert run(only=("language/en",)).made == ("language/en",)
    assert [step for _, _, step in attempts(orders)] == [0, STEPS // 2 + 1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fault_of_a_stage_is_the_fault_of_the_run_wherever_it_happened(
    run: Callable[..., RunResult], orders: Path, jobs: int
):
    order(orders, INTENT, "refuse")
    with pytest.raises(DataError) as caught:
        run(jobs=jobs)
    assert str(caught.value) == "intent.csv:3: no label"
    assert caught.value.faults[0].place == "intent.csv:3"


def test_a_defect_in_a_worker_shows_where_it_happened(run: Callable[..., RunResult], orders: Path):
    order(orders, INTENT, "break")
    with pytest.raises(
        WorkerFaultError, match=r"(?s)task/intent failed in a worker:.*in _obey.*brok"
    ):
        run()


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_does_not_rest_on_a_failed_stage_goes_on_if_asked_to(
    run: Callable[..., RunResult], orders: Path, jobs: int, store: Store
):
    order(orders, INTENT, "refuse")
    order(orders, "language/de", "break")
    told: list[Event] = []
    with pytest.raises(RunError) as caught:
        run(jobs=jobs, keep_going=True, on_event=told.append)
    lines = str(caught.value).splitlines()
    assert lines[0] == ("2 of 8 stages failed, 4 that rest on them were not begun; 2 are done")
    assert "  task/intent: intent.csv:3: no label" in lines
    assert "  language/de: ZeroDivisionError: broken" in lines
    assert caught.value.exit_status == 1
    skipped = {one.stage for one in told if one.kind == "skipped"}
    assert skipped == set(ALL) - {"language/en", "language/de", INTENT, DOMAIN}
    assert run(jobs=jobs).made == tuple(n for n in ALL if n not in ("language/en", DOMAIN))


def test_a_stage_and_all_that_rests_on_it_are_made_anew(
    run: Callable[..., RunResult], orders: Path, store: Store, plan_of: PlanOf
):
    run()
    before = outputs(store, plan_of())
    for jobs in (1, 2):
        (orders / "log").unlink()
        rests = [INTENT, "composition/few-shot", *ALL[5:]]
        assert list(run(jobs=jobs, anew=(INTENT,)).made) == rests
        assert names(orders) == sorted(rests)
    order(orders, DOMAIN, "kill")  # it had been taken away by then, and is made once more
    assert DOMAIN in run(anew=("language/en",)).made
    assert outputs(store, plan_of()) == before
    check_clean(store.folder)
    assert not list((store.folder / "work").iterdir())


def test_what_workers_warn_of_is_told_by_the_run(
    run: Callable[..., RunResult], orders: Path, caplog: pytest.LogCaptureFixture
):
    order(orders, INTENT, "warn")
    run(only=(INTENT,))
    assert ("composer.data", "3 rows are odd") in [(r.name, r.getMessage()) for r in caplog.records]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_workers_after_a_checkpoint_and_the_same_run_goes_on(
    plan_of: PlanOf, store: Store, orders: Path, number: signal.Signals
):
    steps: list[str] = []

    def told(event: Event) -> None:
        if event.kind == "progress":
            steps.append(event.stage)
        if len(set(steps)) == 2:
            os.kill(os.getpid(), number)

    slow = WorkerRunners(orders, seconds=0.3)
    with pytest.raises(StoppedError) as caught:
        run_stages(plan_of(), store, RunOptions(jobs=2, runners=slow, on_event=told))
    assert str(caught.value) == (
        "stopped in language/en and language/de; run the same command again to go on from there "
        "(0 of 8 stages are done)"
    )
    for _, process, _ in attempts(orders):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    assert len(list((store.folder / "work").iterdir())) == 2
    (orders / "log").rename(orders / "before")
    result = run_stages(plan_of(), store, RunOptions(jobs=2, runners=WorkerRunners(orders)))
    assert list(result.made) == ALL
    assert all(step > 0 for name, _, step in attempts(orders) if name.startswith("language"))


def test_a_second_signal_stops_workers_that_do_not_heed_the_first(
    run: Callable[..., RunResult], orders: Path
):
    sent: list[float] = []

    def told(event: Event) -> None:
        if event.progress and event.progress.done == STEPS // 2 + 1:  # it waits for ever now
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    order(orders, "language/en", "meet")
    with pytest.raises(StoppedError, match="stopped in language/en; run the same command"):
        run(on_event=told, only=("language/en",))
    assert time.monotonic() - sent[0] < 10
    assert run(only=("language/en",)).made == ("language/en",)


def test_two_runs_at_once_share_the_work_and_publish_each_key_once(
    wanted: Wanted, store: Store, orders: Path
):
    plan = make_plan(many(wanted, 12, rows=12), store)
    runners = WorkerRunners(orders, seconds=0.02)
    results: list[RunResult] = []

    def run() -> None:
        options = RunOptions(jobs=2, runners=runners)
        results.append(run_stages(plan, Store(store.folder), options))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [name for result in results for name in result.made]
    assert len(made) == len(set(made)) == 12
    assert all(len(result.results) == 12 for result in results)
    assert len(attempts(orders)) == 12
    check_clean(store.folder)


def test_the_lock_and_labels_are_written_by_the_run_alone(
    run: Callable[..., RunResult], orders: Path, store: Store, folder: Path
):
    result = run(lock_file=folder / "home.lock")
    lock = read_lock(folder / "home.lock")
    assert lock is not None
    assert {name: one.outputs for name, one in lock.stages.items()} == {
        name: one.manifest.output_digest for name, one in result.results.items()
    }
    times = (store.folder / "timings.jsonl").read_text().splitlines()
    assert len(times) == len(ALL)
    assert sorted(ref.stage for ref in all_refs(store)) == sorted(ALL)
