"""Stages side by side in worker processes of this machine.

A worker is begun when there is something to do, and does one task after another, so libraries
are imported once a worker. Signals go to the run: a worker is told to stop by it, and stops by
itself when the run is gone.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess

from composer.engine.running.executors.worker import work
from composer.engine.running.messages import Frame, Message, Task, Tell
from composer.engine.running.resources import available_memory, resident_memory
from composer.train.context import StopRequest

_SPAWN = multiprocessing.get_context("spawn")
_END_SECONDS = 3.0  # for a worker that was told to end, before it is made to


class _Worker:
    """One process, and what it does now."""

    def __init__(self, frame: Frame) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: SpawnProcess = _SPAWN.Process(target=work, args=(theirs, frame))
        self.task: Task | None = None
        with _interrupts_blocked():  # Ctrl-C reaches the run alone, which then tells its workers
            self.process.start()
        theirs.close()

    def is_behind(self, what: object) -> bool:
        return what in (self.pipe, self.process.sentinel)

    def messages(self) -> Iterator[Message]:
        """Give what it has said."""
        try:
            while self.pipe.poll():
                message: Message = self.pipe.recv()
                if message.ends:
                    self.task = None
                yield message
        except (EOFError, OSError):  # it ended, perhaps in the middle of a message
            return

    def fate(self) -> str:
        """Say how its process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its worker ended with exit status {code}"
        return f"its worker was killed by {signal.Signals(-code).name}"


class LocalExecutor:
    """Carries out some tasks at a time.

    Args:
        frame: What they share.
        tell: Is told what happens.
        stop: Set by a signal, which does not interrupt `wait`.
        jobs: How many at a time, where memory allows it; a stage counts as its processes.
    """

    def __init__(self, frame: Frame, tell: Tell, stop: StopRequest, *, jobs: int) -> None:
        self._frame, self._tell, self._stop, self._jobs = frame, tell, stop, jobs
        self._workers: list[_Worker] = []

    @property
    def full(self) -> bool:
        """Whether all workers have something to do."""
        return len(self._at_work()) >= self._jobs

    @property
    def busy(self) -> bool:
        """Whether any worker has something to do."""
        return bool(self._at_work())

    def fits(self, task: Task) -> bool:
        """Say whether there are jobs and memory for a task, and what the others may still take."""
        at_work = sum(one.task.stage.training.processes for one in self._at_work() if one.task)
        if at_work and at_work + task.stage.training.processes > self._jobs:
            return False
        others, left = self._at_work(), available_memory()
        if not others or left is None or task.memory is None:
            return True
        for one in others:
            expected = one.task.memory if one.task and one.task.memory else 0
            left -= max(0, expected - resident_memory(one.process.pid or 0))
        idle = self._idle()
        held = resident_memory(idle.process.pid or 0) if idle else 0
        return task.memory - held <= left

    def start(self, task: Task) -> None:
        """Give a task to a worker that has none, or to a new one."""
        worker = self._idle()
        if worker is None:
            worker = _Worker(self._frame)
            self._workers.append(worker)
        worker.task = task
        with suppress(OSError):  # it was killed just now, which is found next
            worker.pipe.send(task)

    def wait(self, seconds: float) -> None:
        """Tell what workers say; a signal is heeded when all that is told."""
        pipes = [worker.pipe for worker in self._workers]
        ends = [worker.process.sentinel for worker in self._workers]
        self._stop.waits = True
        try:
            ready = connection.wait([*pipes, *ends], seconds)
            for worker in [one for one in self._workers if any(map(one.is_behind, ready))]:
                self._hear(worker, ended=worker.process.sentinel in ready)
        finally:
            self._stop.waits = False

    def stop(self) -> None:
        """Tell each worker to stop."""
        for worker in self._workers:
            worker.process.terminate()

    def close(self) -> None:
        """End all workers: those that are idle are told, the others are killed."""
        for worker in self._workers:
            if worker.task is None:
                with suppress(OSError):
                    worker.pipe.send(None)
            else:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(_END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
            worker.process.close()
        self._workers = []

    def _hear(self, worker: _Worker, *, ended: bool) -> None:
        for message in worker.messages():
            self._tell(message)
        if not ended:
            return
        self._workers.remove(worker)
        task, fate = worker.task, worker.fate()
        worker.pipe.close()
        worker.process.close()
        if task is not None:
            self._tell(Message(kind="lost", name=task.name, said=fate))

    def _at_work(self) -> list[_Worker]:
        return [one for one in self._workers if one.task is not None]

    def _idle(self) -> _Worker | None:
        return next((one for one in self._workers if one.task is None), None)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let a process that is begun in this block never see Ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would be begun just now, and unblock what is blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
