"""The door to Ray: stages of a plan on the nodes of a cluster.

    RayCluster(address="10.0.0.1:6379", gpus=0).executor      as `RunOptions.executor`

Every stage is a task that asks for as many processors as the recipe gives it threads (and so many
again for each of `training.processes`), for the memory that it is expected to take, and for GPUs
if it trains. Results, and the checkpoints that another node goes on from, are in the store, which
all nodes see. What a stage tells goes through a mailbox, an actor beside the run. A task whose
node is lost is begun again by the run itself.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from composer.bundle.jsontext import one_line
from composer.engine.planning.machine import versions
from composer.engine.running.executors.base import carry_out
from composer.engine.running.failures import failure_of
from composer.engine.running.making import Making
from composer.engine.running.messages import Frame, Message, Task, Tell
from composer.engine.running.signals import SIGNALS, stop_on_signals
from composer.engine.storage.store import Store
from composer.errors import MissingExtraError, RunError, StoppedError
from composer.recipe.expansion.stages import TrainComposition, TrainHead, TrainLanguage, TrainTask
from composer.train.context import StopRequest

logger = logging.getLogger(__name__)

_ASK_SECONDS = 1.0  # between two looks of a task whether it is to stop
_TELL_SECONDS = 0.5  # between two messages of progress
_QUIET = ("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
# Ray takes "127.0.0.1" for this machine's address in its network, where a cluster that is bound
# to loopback does not listen; it leaves it as it is where it believes that no cluster is allowed.
_LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
_ANSWER_SECONDS = 10.0  # that a cluster's port may take to answer
# Ray tries 20 times, 40 seconds each, to talk to what listens and is no cluster.
_TRIES = "RAY_gcs_server_port_wait_time_s"


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """Where stages are carried out, and what they ask for.

    Attributes:
        address: Of the cluster, "10.0.0.1:6379"; None: the one that Ray finds on this machine.
        gpus: That each process of a training asks for; may be a part of one.
        jobs: How many stages at a time; None: as many as the cluster has room for.
    """

    address: str | None = None
    gpus: float = 0.0
    jobs: int | None = None

    def executor(self, frame: Frame, tell: Tell, stop: StopRequest) -> "RayExecutor":
        """Join the cluster.

        Raises:
            MissingExtraError: Ray is not installed.
            RunError: There is no such cluster.
        """
        return RayExecutor(frame, tell, stop, cluster=self)


class Mailbox:
    """Messages on their way to the run, and its request to stop; lives beside the run."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.stopping = False

    def put(self, message: Message) -> None:
        """Take a message."""
        self.messages.append(message)

    def take(self) -> list[Message]:
        """Give the messages that were not given yet."""
        given, self.messages = self.messages, []
        return given

    def stop(self) -> None:
        """Ask all tasks to stop."""
        self.stopping = True

    def is_stopping(self) -> bool:
        """Say whether tasks are to stop."""
        return self.stopping


class RayExecutor:
    """Carries out tasks on a cluster."""

    def __init__(self, frame: Frame, tell: Tell, stop: StopRequest, *, cluster: RayCluster) -> None:
        self._tell, self._stop, self._cluster = tell, stop, cluster
        self._store = frame.store
        self._tasks: dict[Any, Task] = {}  # Ray's reference -> what it stands for
        self._begun: set[str] = set()  # names of those that a node has begun
        self._warned: set[tuple[int, int | None]] = set()
        self._ray = _imported(cluster.address)
        self._own = not self._ray.is_initialized()
        if self._own:
            _join(self._ray, cluster.address)
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        box = self._ray.remote(Mailbox)
        self._box = box.options(num_cpus=0, scheduling_strategy=here).remote()
        self._frame = self._ray.put(_seen_from_anywhere(frame))
        self._work = self._ray.remote(work_on_node)

    @property
    def full(self) -> bool:
        """Whether as many tasks are given as may be; the cluster itself queues them."""
        return self._cluster.jobs is not None and len(self._tasks) >= self._cluster.jobs

    @property
    def busy(self) -> bool:
        """Whether any task is given and not ended."""
        return bool(self._tasks)

    def fits(self, task: Task) -> bool:
        """It does: Ray begins it where there is room."""
        return True

    def start(self, task: Task) -> None:
        """Give a task to the cluster."""
        self._warn_of_no_room(task)
        trains = isinstance(task.stage, TrainHead | TrainLanguage | TrainTask | TrainComposition)
        asked = self._work.options(
            name=task.name,
            num_cpus=_processors(task),
            num_gpus=task.stage.training.processes * self._cluster.gpus if trains else 0,
            memory=task.memory,
            max_retries=0,  # the run does that, and knows when to give up
        )
        self._tasks[asked.remote(self._frame, task, self._box)] = task

    def wait(self, seconds: float) -> None:
        """Tell what tasks say; a signal is heeded when all that is told."""
        self._stop.waits = True
        try:
            ended, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
            for message in self._ray.get(self._box.take.remote()):
                self._hear(message)
            for reference in ended:
                self._tell(self._ending(reference))
        finally:
            self._stop.waits = False

    def stop(self) -> None:
        """Ask all tasks to stop; those that wait for room are taken back."""
        self._ray.get(self._box.stop.remote())
        for reference, task in self._tasks.items():
            if task.name not in self._begun:
                self._ray.cancel(reference)

    def close(self) -> None:
        """Take back what is left, and leave the cluster."""
        with suppress(Exception):  # it may be gone, and there is nothing to save
            for reference in self._tasks:
                self._ray.cancel(reference, force=True)
            self._ray.kill(self._box)
        self._tasks.clear()
        if self._own:
            self._ray.shutdown()

    def _hear(self, message: Message) -> None:
        """Pass a message on, unless it comes after the task's end."""
        self._begun.add(message.name)
        if message.kind == "log" or message.name in {one.name for one in self._tasks.values()}:
            self._tell(message)

    def _ending(self, reference: Any) -> Message:
        """Say how a task ended."""
        task = self._tasks.pop(reference)
        self._begun.discard(task.name)
        errors = self._ray.exceptions
        try:
            message: Message = self._ray.get(reference)
        except errors.TaskCancelledError:
            return Message(kind="stopped", name=task.name, said=f"stopped in {task.name}")
        except errors.OutOfMemoryError:
            return Message(kind="lost", name=task.name, said="its node had no memory left")
        except errors.RayError as fault:
            said = f"its worker or node is gone ({type(fault).__name__})"
            return Message(kind="lost", name=task.name, said=said)
        return message if message.result is None else self._opened(message)

    def _opened(self, message: Message) -> Message:
        """Open a result here, where it may lie in another place than on the node."""
        result = self._store.open(message.result.key) if message.result else None
        if result is None:
            said = f"its result is not in {self._store.place} as this machine sees it"
            return Message(kind="lost", name=message.name, said=said)
        return replace(message, result=result)

    def _warn_of_no_room(self, task: Task) -> None:
        """Say so if no node that is there now could ever carry out a task."""
        processors, asked = _processors(task), (_processors(task), task.memory)
        nodes = [one["Resources"] for one in self._ray.nodes() if one["Alive"]]
        if asked in self._warned or any(
            one.get("CPU", 0) >= processors and one.get("memory", 0) >= (task.memory or 0)
            for one in nodes
        ):
            return
        self._warned.add(asked)
        logger.warning(
            "%s asks for %d processors and %s bytes of memory, and no node of the cluster has "
            "as much; it waits for one that does",
            *(task.name, processors, f"{task.memory or 0:,}"),
        )


def _processors(task: Task) -> int:
    return task.stage.training.processes * task.stage.training.threads


def work_on_node(frame: Frame, task: Task, box: Any) -> Message:
    """Carry out a task in a worker of Ray; give what ends it."""
    stop = StopRequest()
    tell = _Tell(box)
    if (fault := _other_versions(frame)) is not None:
        failure = failure_of(task.name, fault)
        return Message(kind="failed", name=task.name, failure=failure).without_objects()
    library = logging.getLogger("composer")
    library.addHandler(tell)
    try:
        with stop_on_signals(stop, (signal.SIGTERM,)), _stopped_by(box):
            return carry_out(Making(frame, stop), task, tell).without_objects()
    except (StoppedError, KeyboardInterrupt) as stopped:
        said = str(stopped) or f"stopped in {task.name}"
        return Message(kind="stopped", name=task.name, said=said)
    finally:
        library.removeHandler(tell)


def _other_versions(frame: Frame) -> RunError | None:
    """Say if this node would make something else than the key tells of."""
    here = versions()
    other = [
        f"{name} {here.get(name)}, the run has {version}"
        for name, version in frame.versions.items()
        if here.get(name) != version
    ]
    if not other:
        return None
    return RunError(
        f"the node {socket.gethostname()} has {'; '.join(other)}: they are part of every key; "
        "install the same packages on all nodes"
    )


@contextmanager
def _stopped_by(box: Any) -> Iterator[None]:
    """Ask now and then whether to stop; if so, do it as SIGTERM does."""
    over = threading.Event()

    def look() -> None:
        ray = _imported()
        while not over.wait(_ASK_SECONDS):
            with suppress(ray.exceptions.RayError):
                if ray.get(box.is_stopping.remote()) and not over.is_set():
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Tell(logging.Handler):
    """Sends messages, and what composer logs, to the run's mailbox."""

    def __init__(self, box: Any) -> None:
        super().__init__(logging.WARNING)
        self._box, self._told = box, 0.0

    def __call__(self, message: Message) -> None:
        step, now = message.progress, time.monotonic()
        if step is not None and step.score is None and now - self._told < _TELL_SECONDS:
            return
        self._told = now
        self._box.put.remote(message)

    def emit(self, record: logging.LogRecord) -> None:
        self(Message(kind="log", name=record.name, said=record.getMessage()))


def _imported(address: str | None = None) -> Any:
    os.environ.setdefault(*_QUIET)
    if (address or "").startswith(("127.", "localhost:")):
        os.environ.setdefault(*_LOOPBACK)
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise MissingExtraError(library="ray", needed_for="--executor ray", extra="ray") from error
    return ray


def _join(ray: Any, address: str | None) -> None:
    if known := address or os.environ.get("RAY_ADDRESS"):
        _check_answers(known)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    tries = os.environ.get(_TRIES)
    os.environ[_TRIES] = tries or "1"
    try:
        ray.init(address=address or "auto", configure_logging=False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(f"at {address}" if address else "on this machine", error) from error
    finally:
        if tries is None:
            del os.environ[_TRIES]  # a cluster that is begun reads it too
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)  # Ray has set its own


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens, which Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) >= 2**16:
        raise RunError(f"--address {address!r} is no HOST:PORT, for example 127.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise _no_cluster(f"at {address}", error) from error


def _no_cluster(where: str, error: Exception) -> RunError:
    return RunError(
        f"no Ray cluster can be joined {where} ({one_line(str(error))}); begin one with: "
        "ray start --head, and give its address with --address HOST:PORT"
    )


def _seen_from_anywhere(frame: Frame) -> Frame:
    """Give a frame whose paths do not depend on the folder that a process is in."""
    store = frame.store
    if "://" not in store.place:
        store = Store(store.folder.absolute())
    return replace(frame, store=store, folder=frame.folder.absolute(), cache=frame.cache.absolute())
