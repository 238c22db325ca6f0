"""Make one stage: what a process that carries out stages does, whoever told it to.

    Frame     what all stages of a run share
    Task      one stage, and what is to be heeded when it is made
    Making    makes task after task, and tells what happens by messages

Everything here can be sent to another process or another machine. The process that makes a
result also publishes it, with the key's lock held, so nothing that is finished is lost when the
one that gave the task ends. Labels, the lock file and times are written by that one alone.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from composer.bundle.fingerprint import Fingerprints
from composer.data.digest import data_digest
from composer.engine.backbones import backbone_folder
from composer.engine.failures import Failure
from composer.engine.faults import stage_faults
from composer.engine.record import KINDS, Record
from composer.engine.resources import peak_memory, reset_peak_memory
from composer.engine.store import Store, StoredResult, Work
from composer.errors import DataError, Fault, MissingExtraError, StoppedError, StoreError
from composer.recipe.schema import Backbone
from composer.recipe.stages import Stage
from composer.train.context import Progress, StageContext, StopRequest

MAPPED = "backbones"  # folder of the store for weights that processes share

MessageKind = Literal[
    "log", "waiting", "started", "progress", "found", "made", "busy", "stopped", "failed", "lost"
]


class Runner(Protocol):
    """Carries out one kind of stage: reads `context.inputs`, writes `context.out`."""

    def __call__(self, stage: Stage, /, *, context: StageContext) -> None:
        """Write the result of a stage; its folders are published when this returns."""


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
        trackers: Names of trackers, for accelerate.
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
    trackers: tuple[str, ...] = ()
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


class _BusyError(Exception):
    """Another run holds the lock of a key."""


class Making:
    """Makes one task after another in this process.

    Attributes:
        frame: What they share.
        stop: Asked between steps and while waiting.
    """

    def __init__(self, frame: Frame, stop: StopRequest) -> None:
        self.frame, self.stop = frame, stop
        self._backbone_at: Path | None = None

    def make(self, task: Task, tell: Tell) -> Message:
        """Have the result of a task, made or found; give what ends it.

        Raises:
            StoppedError: A stop was asked for.
            Exception: Whatever the stage fails with.
        """
        told: list[bool] = []

        def waiting() -> None:
            if self.stop.requested:
                raise StoppedError(f"stopped while another run was making {task.name}")
            if not task.patient:
                raise _BusyError
            if not told:
                told.append(True)
                tell(Message(kind="waiting", name=task.name))

        try:
            with self.frame.store.lock(task.key, waiting=waiting):
                if task.anew:
                    self.frame.store.withdraw(task.key)
                elif (result := self.frame.store.open(task.key)) is not None:
                    return Message(kind="found", name=task.name, result=result)
                return self._make(task, tell)
        except _BusyError:
            return Message(kind="busy", name=task.name)

    def _make(self, task: Task, tell: Tell) -> Message:
        store = self.frame.store
        work = store.begin(task.key)
        tell(Message(kind="started", name=task.name, resumed=work.resumed))
        start = time.monotonic()
        reset_peak_memory()
        try:
            result = self._carry_out(task, work, tell)
        except BaseException:
            store.give_up(task.key)
            raise
        return Message(
            kind="made",
            name=task.name,
            resumed=work.resumed,
            result=result,
            seconds=time.monotonic() - start,
            memory=peak_memory(),
        )

    def _carry_out(self, task: Task, work: Work, tell: Tell) -> StoredResult:
        runner = self._runner(task.stage)
        self._check_data(task)
        with stage_faults(self.frame.store.folder):
            runner(task.stage, context=self._context(task, work, tell))
        self._check_data(task)
        kind = KINDS[type(task.stage)]
        return self.frame.store.publish(task.key, kind=kind, stage=task.record.plain())

    def _context(self, task: Task, work: Work, tell: Tell) -> StageContext:
        frame = self.frame

        def report(progress: Progress) -> None:
            tell(Message(kind="progress", name=task.name, progress=progress))

        return StageContext(
            out=work.out,
            checkpoint=work.checkpoint,
            inputs={name: self._input(name, task.needs[name]) for name in task.stage.needs},
            needs=task.needs,
            key=task.key,
            backbone=frame.backbone,
            backbone_folder=self._backbone_folder,
            fingerprints=frame.fingerprints,
            precision=frame.precision,
            folder=frame.folder,
            outside=frame.outside,
            report=report,
            stop=self.stop,
            trackers=frame.trackers,
            logs=frame.store.logs,
            mapped=frame.store.folder / MAPPED if frame.side_by_side else None,
            recipe=task.recipe,
            lock=task.lock,
        )

    def _input(self, name: str, key: str) -> Path:
        """Check a result once more before it is used: it may have been made hours ago."""
        result = self.frame.store.open(key)
        if result is None:
            raise StoreError(
                f"{name}: its result was damaged or removed while this run was on; "
                "run the same command again"
            )
        return result.folder

    def _check_data(self, task: Task) -> None:
        """Refuse to publish, under a key, what was learnt from other data than the key tells of.

        What was learnt so far goes too: a checkpoint does not say which data it saw.
        """
        use = task.stage.data
        if use is None:
            return
        digest = data_digest(
            use.source,
            languages=use.languages,
            folder=self.frame.folder,
            outside=self.frame.outside,
        )
        if digest != task.record.data_digest:
            self.frame.store.discard(task.key)
            message = "its data was changed while this run was on; run the same command again"
            raise DataError([Fault(task.name, message)])

    def _backbone_folder(self) -> Path:
        """Give the backbone's folder; a sample's bytes are checked once a process."""
        if self._backbone_at is None:
            frame = self.frame
            self._backbone_at = backbone_folder(
                frame.backbone, folder=frame.folder, cache=frame.cache
            )
        return self._backbone_at

    def _runner(self, stage: Stage) -> Runner:
        runners = self.frame.runners
        if runners is None:
            try:
                from composer.train.stages import RUNNERS
            except ModuleNotFoundError as error:
                raise MissingExtraError(
                    library=error.name or "a library", needed_for=stage.name, extra="train"
                ) from error
            runners = RUNNERS
        return runners[type(stage)]
