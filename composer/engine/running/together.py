"""One stage carried out by several processes, each of which learns its share of every batch.

    memory = carry_out_together(stage, context, runners=None, tell=tell, count=2)

Who makes the stage begins them, holds its key's lock for all, and ends all when one is gone: what
was learnt is in the checkpoint, from which the stage is taken up again. Each has a pipe:

    -> "stop"     to the first, which lets the others know in its next step
    <- Message    what happens; "made", "stopped" or "failed" is the last

`accelerate launch` is not what begins them: without GPUs it begins one process only, and with
them it opens a port to the network for as long as they train.
"""

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from composer.engine.running.failures import WorkerFaultError, error_of
from composer.engine.running.messages import Message, Tell
from composer.engine.running.resources import peak_memory
from composer.engine.running.runners import Runner
from composer.engine.running.share import Part, learn_share
from composer.errors import StoppedError
from composer.recipe.expansion.stages import Stage
from composer.train.context import Progress, StageContext, StopRequest

_SPAWN = multiprocessing.get_context("spawn")
_LOOK_SECONDS = 0.2  # between two looks whether a stop was asked for
_LAST_SECONDS = 1.0  # for what the others have to say when one is gone


class LostError(Exception):
    """A process that shares a stage ended without a word."""


class _Process:
    """One of them, and the last that it said."""

    def __init__(self, part: Part) -> None:
        self.last: Message | None = None
        self.over = False  # it has ended, and all that it said is heard
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(target=learn_share, args=(theirs, part))
        self.process.start()
        theirs.close()

    def signs(self) -> list[Connection | int]:
        """Give what there is to wait for."""
        if self.last is not None or self.is_gone:
            return []
        return [self.pipe, self.process.sentinel]

    @property
    def is_gone(self) -> bool:
        """Whether it ended without a last message."""
        return self.last is None and self.over

    def messages(self) -> Iterator[Message]:
        """Give what it has said since."""
        try:
            while self.last is None and self.pipe.poll():
                message: Message = self.pipe.recv()
                if message.ends:
                    self.last = message
                yield message
        except (EOFError, OSError):  # it ended, perhaps in the middle of a message
            self.process.join()
            self.over = True

    def end(self) -> None:
        """End it at once; what it has done by now is done."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def fate(self) -> str:
        """Say how it ended."""
        code = self.process.exitcode or 0
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit status {code}"


def carry_out_together(
    stage: Stage,
    context: StageContext,
    *,
    runners: Mapping[type, Runner] | None,
    tell: Tell,
    store: Path,
) -> int:
    """Carry out a stage in as many processes as its training says.

    Args:
        stage: One that trains.
        context: Of the process that makes it.
        runners: As in a `Frame`.
        tell: Is told how far it is, and what composer logs.
        store: Folder of the store.

    Returns:
        Memory that the processes took, in bytes, at their peaks; 0: the system does not say.

    Raises:
        StoppedError: A stop was asked for, and what was learnt is saved.
        LostError: A process is gone.
        Exception: Whatever the stage fails with.
    """
    with tempfile.TemporaryDirectory(prefix="composer-") as scratch:
        processes: list[_Process] = []
        try:
            for rank in range(stage.training.processes):
                sent, meeting = _sent(context, rank, Path(scratch)), Path(scratch, "meeting")
                processes.append(_Process(Part(stage, sent, runners, rank, meeting, store)))
            _hear_all(processes, tell, context.stop)
            memory = [peak_memory(one.process.pid) for one in processes]
        finally:
            for process in processes:
                process.end()
    _check(stage, processes)
    return sum(filter(None, memory))


def _sent(context: StageContext, rank: int, scratch: Path) -> StageContext:
    """Give a context that another process can be sent; only the first one's result is kept."""
    out = context.out if rank == 0 else scratch / str(rank)
    out.mkdir(exist_ok=True)
    return replace(
        context,
        out=out,
        backbone_folder=partial(Path, context.backbone_folder()),
        report=_nothing,
        stop=StopRequest(),
    )


def _nothing(progress: Progress) -> None:
    """Stand for a report until the process that makes it says where it goes."""


def _hear_all(processes: Sequence[_Process], tell: Tell, stop: StopRequest) -> None:
    """Pass on what they say until the first has done its part, or nothing can come of it."""
    told, until = False, float("inf")
    stop.waits = True
    try:
        while not _is_over(processes) and time.monotonic() < until:
            if stop.requested and not told:
                told = True
                with suppress(OSError):  # it is gone, which is found next
                    processes[0].pipe.send("stop")
            connection.wait([sign for one in processes for sign in one.signs()], _LOOK_SECONDS)
            for one in processes:
                for message in one.messages():
                    if not message.ends:
                        tell(message)
            if any(map(_has_failed, processes)):
                until = min(until, time.monotonic() + _LAST_SECONDS)
    finally:
        stop.waits = False


def _is_over(processes: Sequence[_Process]) -> bool:
    first = processes[0].last
    done = first is not None and first.kind in ("made", "stopped")
    return done or all(one.last is not None or one.is_gone for one in processes)


def _has_failed(process: _Process) -> bool:
    return process.is_gone or (process.last is not None and process.last.kind == "failed")


def _check(stage: Stage, processes: Sequence[_Process]) -> None:
    """Raise what came of it, unless the first has done its part.

    Of several that failed it is told which is gone, or else what composer foresees: when one
    fails, the others cannot reach it any more.
    """
    first = processes[0].last
    if first is not None and first.kind == "made":
        return
    if first is not None and first.kind == "stopped":
        raise StoppedError(first.said)
    for number, one in enumerate(processes, start=1):
        if one.is_gone:
            raise LostError(f"process {number} of {len(processes)} {one.fate()}")
    failures = [one.last.failure for one in processes if one.last and one.last.failure]
    failures.sort(key=lambda failure: bool(failure.traceback))
    if failures:
        raise error_of(failures[0])
    raise WorkerFaultError(f"{stage.name}: its processes ended without a result")
