"""What a run is told, what it tells while it goes on, and what it ends with.

found     a stage's result is in the store, every byte of it checked
waiting   another run on this store is making it
started   or taken up again: `resumed`
progress  between steps
made      published
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from composer.engine.store import StoredResult
from composer.recipe.stages import Stage
from composer.train.context import Progress, StageContext

EventKind = Literal["found", "waiting", "started", "progress", "made"]


class Runner(Protocol):
    """Carries out one kind of stage: reads `context.inputs`, writes `context.out`."""

    def __call__(self, stage: Stage, /, *, context: StageContext) -> None:
        """Write the result of a stage; its folders are published when this returns."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a run tells while it goes on.

    Attributes:
        kind: See the module.
        stage: Its name.
        number: Counted from 1, of those that this run looks at.
        total: How many these are.
        resumed: With "started": it goes on from a checkpoint.
        progress: With "progress".
        seconds: With "made": since it was started.
    """

    kind: EventKind
    stage: str
    number: int
    total: int
    resumed: bool = False
    progress: Progress | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here decides a result.

    Attributes:
        only: Names of stages, or the beginnings of names up to a slash; with all that they
            need. Empty: every stage.
        lock_file: Where the lock is written; None: nowhere.
        command: Makes the same results again; for messages about results that are gone.
        trackers: Names of trackers, for accelerate.
        on_event: Called with everything that happens.
        runners: Stage class -> function; None: those of `composer.train.stages`.
    """

    only: tuple[str, ...] = ()
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
