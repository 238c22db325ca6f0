"""What a worker process does: carry out the tasks that come through a pipe.

    <- Task       the next one; None: there are no more
    -> Message    what happens, and what composer's loggers say

SIGTERM stops it as it stops a run: a training after its step, everything else where it is.
"""

import logging
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from composer.engine.running.executors.base import carry_out
from composer.engine.running.making import Making
from composer.engine.running.messages import Frame, Message, Task
from composer.engine.running.signals import stop_on_signals
from composer.errors import StoppedError
from composer.train.context import StopRequest


def work(pipe: Connection, frame: Frame) -> None:
    """Carry out tasks until there are no more, or a stop is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_stop_with_the_run, daemon=True).start()
    stop = StopRequest()
    tell = _Tell(pipe)
    logging.getLogger("composer").addHandler(tell)
    making = Making(frame, stop)
    with suppress(KeyboardInterrupt, EOFError), stop_on_signals(stop, (signal.SIGTERM,)):
        while (task := pipe.recv()) is not None:
            _work_on(task, making, tell)


def _work_on(task: Task, making: Making, tell: "_Tell") -> None:
    try:
        message = carry_out(making, task, tell)
    except (StoppedError, KeyboardInterrupt) as stopped:
        said = str(stopped) or f"stopped in {task.name}"
        tell(Message(kind="stopped", name=task.name, said=said))
        raise KeyboardInterrupt from stopped
    tell(message)


def _stop_with_the_run() -> None:
    """Stop this process when the one that began it has ended."""
    run = multiprocessing.parent_process()
    if run is not None:
        run.join()
        os.kill(os.getpid(), signal.SIGTERM)


class _Tell(logging.Handler):
    """Sends messages, and what composer logs; when nobody listens any more, neither."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self._pipe = pipe

    def __call__(self, message: Message) -> None:
        with suppress(OSError):
            self._pipe.send(message.without_objects())

    def emit(self, record: logging.LogRecord) -> None:
        self(Message(kind="log", name=record.name, said=record.getMessage()))
