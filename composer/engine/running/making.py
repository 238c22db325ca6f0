"""Make one stage: what a process that carries out stages does, whoever told it to.

The process that makes a result also publishes it, with the key's lock held, so nothing that is
finished is lost when the one that gave the task ends. Labels, the lock file and times are written
by that one alone. A stage with `training.processes` is made by several, begun and ended from here.
"""

import time
from pathlib import Path

from composer.data.digest import uses_digest
from composer.engine.planning.backbones import backbone_folder
from composer.engine.planning.ready import data_used
from composer.engine.planning.record import KINDS
from composer.engine.running.messages import Frame, Message, Task, Tell
from composer.engine.running.resources import peak_memory, reset_peak_memory
from composer.engine.running.runners import runner_of
from composer.engine.running.together import LostError, carry_out_together
from composer.engine.storage.faults import stage_faults
from composer.engine.storage.store import StoredResult, Work
from composer.errors import DataError, Fault, StoppedError, StoreError
from composer.train.context import Progress, StageContext, StopRequest

MAPPED = "backbones"  # folder of the store for weights that processes share


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
        except LostError as lost:
            return Message(kind="lost", name=task.name, said=str(lost))

    def _make(self, task: Task, tell: Tell) -> Message:
        store = self.frame.store
        work = store.begin(task.key)
        tell(Message(kind="started", name=task.name, resumed=work.resumed))
        start = time.monotonic()
        reset_peak_memory()
        try:
            result, memory = self._carry_out(task, work, tell)
        except BaseException:
            store.give_up(task.key)
            raise
        return Message(
            kind="made",
            name=task.name,
            resumed=work.resumed,
            result=result,
            seconds=time.monotonic() - start,
            memory=memory,
        )

    def _carry_out(self, task: Task, work: Work, tell: Tell) -> tuple[StoredResult, int | None]:
        """Publish the result of a stage; give the memory that it took, too."""
        stage, frame = task.stage, self.frame
        runner = runner_of(stage, frame.runners)
        self._check_data(task)
        beside = 0
        with stage_faults(frame.store.folder):
            context = self._context(task, work, tell)
            if stage.training.processes == 1:
                runner(stage, context=context)
            else:
                beside = carry_out_together(
                    stage, context, runners=frame.runners, tell=tell, store=frame.store.folder
                )
        self._check_data(task)
        result = frame.store.publish(task.key, kind=KINDS[type(stage)], stage=task.record.plain())
        own = peak_memory()
        return result, None if own is None else own + beside

    def _context(self, task: Task, work: Work, tell: Tell) -> StageContext:
        frame = self.frame
        shared = frame.side_by_side or task.stage.training.processes > 1

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
            mapped=frame.store.folder / MAPPED if shared else None,
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
        digest = uses_digest(
            data_used(task.stage), folder=self.frame.folder, outside=self.frame.outside
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
