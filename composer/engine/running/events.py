"""What a run is told, what it tells while it goes on, and what it ends with.

found     a stage's result is in the store, every byte of it checked
waiting   another run on this store is making it
started   or taken up again: `resumed`
progress  between steps
made      published
lost      its worker is gone; it is taken up again
failed    it cannot be made; `said` is why
skipped   it rests on one that failed
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from composer.engine.running.executors.base import MakeExecutor
from composer.engine.running.runners import Runner
from composer.engine.storage.store import StoredResult
from composer.train.context import Progress

EventKind = Literal["found", "waiting", "started", "progress", "made", "lost", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a run tells while it goes on.

    Attributes:
        kind: "found", "waiting", "started", "progress", "made", "lost", "failed" or "skipped".
        stage: Its name.
        number: Of the stage, in the order of those that this run looks at, counted from 1.
        total: How many these are.
        key: Of the stage.
        resumed: With "started": it goes on from a checkpoint.
        progress: With "progress".
        seconds: With "made": since it was started.
        memory: With "made": bytes at its peak, where the system tells it.
        expected: With "started": seconds that the plan expects; None: unknown.
        said: With "lost", "failed" and "skipped": why.
    """

    kind: EventKind
    stage: str
    number: int
    total: int
    key: str = ""
    resumed: bool = False
    progress: Progress | None = None
    seconds: float | None = None
    memory: int | None = None
    expected: float | None = None
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here decides a result.

    Attributes:
        only: Names of stages, or the beginnings of names up to a slash; with all that they
            need. Empty: every stage.
        anew: Names likewise: these, and all that rests on them, are made even if they are there.
        jobs: How many stages are carried out at a time, where they do not need each other and
            memory allows it. 1: in this process.
        executor: Makes what carries out stages; None: this process or workers of this machine.
        keep_going: Go on with what does not rest on a stage that failed.
        retries: How often a stage is taken up again when its worker was lost.
        lock_file: Where the lock is written; None: nowhere.
        command: Makes the same results again; for messages about results that are gone.
        trackers: Names of trackers, besides those of the recipe.
        on_event: Called with everything that happens.
        runners: Stage class -> function; None: those of `composer.train.stages`.
    """

    only: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    jobs: int = 1
    executor: MakeExecutor | None = None
    keep_going: bool = False
    retries: int = 3
    lock_file: Path | None = None
    command: str = "composer run"
    trackers: tuple[str, ...] = ()
    on_event: Callable[[Event], None] = lambda _: None
    runners: Mapping[type, Runner] | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run ended with.

    Attributes:
        results: Stage name -> its result.
        made: Names of the stages that were carried out now; the others were found.
    """

    results: Mapping[str, StoredResult]
    made: tuple[str, ...]
