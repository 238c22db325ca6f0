"""How far a recipe is: done, running, stopped with a checkpoint, failed, or to be made."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.engine.looking.status import StageStatus, stage_statuses
from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.shared import SharedStore
from composer.engine.storage.store import Store
from tests.engine.fakes import FakeRunners

PlanOf = Callable[..., Plan]
INTENT = "task/intent"
HOUR = 3600.0


def status(plan: Plan, store: Store, stage: str = INTENT) -> StageStatus:
    later = time.time() + HOUR
    return {one.stage: one for one in stage_statuses(plan, store, now=lambda: later)}[stage]


def key_of(plan: Plan, stage: str = INTENT) -> str:
    return plan.by_name[stage].key or ""


def stop(plan: Plan, store: Store) -> None:
    """Leave what a run leaves that was stopped in its training."""
    with store.lock(key_of(plan)):
        (store.begin(key_of(plan)).checkpoint / "state").write_text("1")


def fail(plan: Plan, store: Store, *events: tuple[str, str]) -> None:
    folder = store.logs / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{len(list(folder.iterdir()))}-home.jsonl").open("a") as file:
        for event, when in events:
            line = {"event": event, "key": key_of(plan), "said": "no loss", "time": when}
            file.write(json.dumps(line) + "\n")
        file.write('{"event": "failed", "ke')  # torn


def test_what_was_never_begun_is_to_run(plan_of: PlanOf, store: Store):
    found = status(plan_of(), store)
    assert (found.state, found.age, found.said) == ("run", None, "never made")
    assert not store.folder.exists()


def test_what_is_done_has_an_age(plan_of: PlanOf, store: Store, runners: FakeRunners):
    run_stages(plan_of(), store, RunOptions(runners=runners))
    found = status(plan_of(), store)
    assert found.state == "done"
    assert HOUR - 1 < (found.age or 0) < HOUR + 600


def test_what_was_edited_is_stale(plan_of: PlanOf, store: Store, runners: FakeRunners):
    run_stages(plan_of(), store, RunOptions(runners=runners))
    found = status(plan_of(replaced={"width: 4": "width: 3"}), store)
    assert (found.state, found.said) == ("stale", "adapters.task.width: 4 -> 3")


def test_what_somebody_works_on_is_running(plan_of: PlanOf, store: Store):
    plan = plan_of()
    with store.lock(key_of(plan)):
        store.begin(key_of(plan))
        assert status(plan, store).state == "running"
    assert status(plan, store).state == "run"


def test_what_another_host_works_on_is_running_there(plan_of: PlanOf, folder: Path):
    plan, url = plan_of(), f"file://{folder / 'shared'}"
    here, there = (SharedStore(url, folder=folder / name) for name in ("here", "there"))
    with there.lock(key_of(plan)):
        found = next(one for one in stage_statuses(plan, here) if one.stage == INTENT)
        assert (found.state, found.said) == ("running", f"on {platform.node()}")
        assert 0 <= (found.age or 0) < HOUR
        assert status(plan, here).state == "run"  # not heard of for an hour
    assert next(one for one in stage_statuses(plan, here) if one.stage == INTENT).state == "run"


def test_what_has_a_checkpoint_and_nobody_works_on_is_stopped(plan_of: PlanOf, store: Store):
    plan = plan_of()
    stop(plan, store)
    found = status(plan, store)
    assert found.state == "stopped"
    assert (found.age or 0) > HOUR - 1


def test_looking_takes_no_lock_from_a_worker(plan_of: PlanOf, store: Store):
    plan = plan_of()
    stop(plan, store)
    status(plan, store)
    with store.lock(key_of(plan), waiting=lambda: pytest.fail("the lock is held")):
        pass


def test_what_failed_says_why(plan_of: PlanOf, store: Store):
    plan = plan_of()
    fail(plan, store, ("started", "2026-01-01T00:00:00.000Z"), ("failed", "2026-01-01T00:01:00Z"))
    found = status(plan, store)
    assert (found.state, found.said) == ("failed", "no loss")


def test_what_was_taken_up_again_has_not_failed(plan_of: PlanOf, store: Store):
    plan = plan_of()
    fail(plan, store, ("failed", "2026-01-01T00:01:00Z"))
    fail(plan, store, ("started", "2026-01-01T00:02:00Z"))
    assert status(plan, store).state == "run"


@pytest.mark.parametrize(("when", "state"), [("1999", "stopped"), ("2999", "failed")])
def test_of_a_checkpoint_and_a_failure_the_later_is_told(
    plan_of: PlanOf, store: Store, when: str, state: str
):
    plan = plan_of()
    stop(plan, store)
    fail(plan, store, ("failed", f"{when}-01-01T00:00:00Z"))
    assert status(plan, store).state == state


def test_a_result_is_done_though_work_is_left_of_it(
    plan_of: PlanOf, store: Store, runners: FakeRunners, folder: Path
):
    run_stages(plan_of(), store, RunOptions(runners=runners))
    os.makedirs(store.folder / "work" / key_of(plan_of()) / "checkpoint")
    assert status(plan_of(), store).state == "done"
