"""How far a recipe is: what is done, running, stopped with a checkpoint, failed, or to be made."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from composer.engine.planning.plan import Plan, PlannedStage
from composer.engine.storage.manifest import MANIFEST
from composer.engine.storage.store import Store
from composer.engine.storage.traces import read_failures, read_holders, trace_of

StageState = Literal["done", "running", "stopped", "failed", "stale", "run"]


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """How far a stage is.

    Attributes:
        stage: Its name.
        key: None: unknown until the backbone is fetched.
        state: "stopped": a run goes on from its checkpoint. "stale" and "run": as in a plan.
        age: Seconds since it was made, begun, stopped or failed; None: it was never begun.
        said: Why it failed, or is to be made; on which host it is running, if not on this one.
    """

    stage: str
    key: str | None
    state: StageState
    age: float | None
    said: str


def stage_statuses(
    plan: Plan, store: Store, *, now: Callable[[], float] = time.time
) -> Iterator[StageStatus]:
    """Say how far each stage is, in the order of the plan.

    Args:
        plan: Of the recipe.
        store: Of results.
        now: Seconds since the epoch.
    """
    failures, elsewhere = read_failures(store), read_holders(store, now=now())
    for one in plan.stages:
        if one.state == "done" and one.key is not None:
            yield _status(one, "done", since=_made(store, one.key), now=now())
            continue
        trace = one.key and trace_of(
            store,
            one.key,
            failed=failures.get(one.key),
            elsewhere=elsewhere.get(one.key),
        )
        if not trace:
            yield _status(one, one.state, since=None, now=now())
            continue
        yield _status(one, trace.state, since=trace.time, now=now(), said=trace.said)


def _status(
    one: PlannedStage, state: StageState, *, since: float | None, now: float, said: str = ""
) -> StageStatus:
    return StageStatus(
        stage=one.stage.name,
        key=one.key,
        state=state,
        age=None if since is None else max(0.0, round(now - since, 1)),
        said=said or "; ".join(map(str, one.reasons)),
    )


def _made(store: Store, key: str) -> float | None:
    folder = store.find(key)
    return (folder / MANIFEST).stat().st_mtime if folder else None
