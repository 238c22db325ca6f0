"""What passes between a run and the processes that make stages.

    Frame     what all stages of a run share
    Task      one stage, and what is to be heeded when it is made
    Message   what happens to it

Everything here can be sent to another process or another machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from composer.bundle.fingerprint import Fingerprints
from composer.engine.planning.record import Record
from composer.engine.running.failures import Failure
from composer.engine.running.runners import Runner
from composer.engine.storage.store import Store, StoredResult
from composer.recipe.expansion.stages import Stage
from composer.recipe.grammar.backbones import Backbone
from composer.train.context import Progress

MessageKind = Literal[
    "log", "waiting", "started", "progress", "found", "made", "busy", "stopped", "failed", "lost"
]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What all stages of a run share.

    Attributes:
        store: Of results.
        backbone: The recipe's block.
        fingerprints: That the backbone must have.
        precision: "auto" is resolved.
        folder: The recipe's, which relative paths of data start from.
        outside: Whether data may lie outside that folder.
        cache: Where backbones are unpacked and fetched to.
        versions: Of the arithmetic and of libraries, which are part of every key.
        runners: Stage class -> function; None: those of `composer.train.stages`.
        side_by_side: Whether several workers are on one machine, and share the weights.
    """

    store: Store
    backbone: Backbone
    fingerprints: Fingerprints
    precision: str
    folder: Path
    outside: bool
    cache: Path
    versions: Mapping[str, str]
    runners: Mapping[type, Runner] | None = None
    side_by_side: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """One stage to be made.

    Attributes:
        stage: What it does.
        key: Of its result.
        needs: Stage name -> key, for every need.
        record: What the key was made of.
        memory: That it is expected to take at its peak, in bytes; None: unknown.
        recipe: As plain values, for an export.
        lock: Of what it rests on, for an export.
        anew: Make it even if it is there.
        patient: Wait for another run that makes it; False: say that it is "busy".
    """

    stage: Stage
    key: str
    needs: Mapping[str, str]
    record: Record
    memory: int | None = None
    recipe: Mapping[str, object] = field(default_factory=dict)
    lock: Mapping[str, object] = field(default_factory=dict)
    anew: bool = False
    patient: bool = True

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.stage.name


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is told of a task.

    log       a warning of the logger `name`: `said`
    waiting   another run makes it; this one waits
    busy      another run makes it; given back
    started   or taken up again: `resumed`
    progress  between steps
    found     another run made it: `result`
    made      published: `result`, `seconds`, `memory`
    stopped   as it was asked to: `said`
    failed    `failure`
    lost      who made it is gone: `said`

    Attributes:
        kind: See above; the last six end the task.
        name: Of the stage, or of the logger.
        resumed: Whether it went on from a checkpoint.
        progress: How far it is.
        result: What is published.
        seconds: That it took, since it was started.
        memory: At its peak, in bytes, of the process; None: the system does not say.
        failure: Why it could not be made.
        said: In words.
    """

    kind: MessageKind
    name: str
    resumed: bool = False
    progress: Progress | None = None
    result: StoredResult | None = None
    seconds: float | None = None
    memory: int | None = None
    failure: Failure | None = None
    said: str = ""

    @property
    def ends(self) -> bool:
        """Whether the task is over, for now or for good."""
        return self.kind not in ("log", "waiting", "started", "progress")

    def without_objects(self) -> "Message":
        """Give it as another process can be told: an error is no more than what it says."""
        if self.failure is None:
            return self
        return replace(self, failure=replace(self.failure, cause=None))


Tell = Callable[[Message], None]
