"""What one of several processes does that carry out a stage together: its share, until it is ended.

It is ended by the one that began it, and ends itself when that one is gone: nothing else holds
the lock of the key by then.
"""

import logging
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from composer.engine.running.failures import failure_of
from composer.engine.running.messages import Message
from composer.engine.running.runners import Runner, runner_of
from composer.engine.running.signals import stop_on_signals
from composer.engine.storage.faults import stage_faults
from composer.errors import StoppedError
from composer.recipe.expansion.stages import Stage
from composer.train.context import Progress, StageContext, StopRequest


@dataclass(frozen=True)
class Part:
    """What one of the processes is given.

    Attributes:
        stage: That all carry out.
        context: Of the stage; whom it reports to is not known yet.
        runners: Stage class -> function; None: those of `composer.train.stages`.
        rank: Which process this is, counted from 0.
        meeting: File in which they meet.
        store: Folder of the store.
    """

    stage: Stage
    context: StageContext
    runners: Mapping[type, Runner] | None
    rank: int
    meeting: Path
    store: Path


def learn_share(pipe: Connection, part: Part) -> None:
    """Carry out a part, say what came of it, and wait to be ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which tells the first
    threading.Thread(target=_listen, args=(pipe,), daemon=True).start()
    stop, tell = StopRequest(), _Tell(pipe, part)
    logging.getLogger("composer").addHandler(tell)
    logging.getLogger("composer.engine.running.signals").setLevel(logging.ERROR)  # the run says it
    with stop_on_signals(stop, (signal.SIGTERM,)):
        tell(_carry_out(part, stop, tell))
        with suppress(KeyboardInterrupt):  # a stop that came too late
            threading.Event().wait()
        threading.Event().wait()


def _carry_out(part: Part, stop: StopRequest, tell: "_Tell") -> Message:
    name = part.stage.name

    def report(progress: Progress) -> None:
        tell(Message(kind="progress", name=name, progress=progress))

    try:
        runner = runner_of(part.stage, part.runners)
        from composer.train.processes import join

        join(part.rank, of=part.stage.training.processes, meeting=part.meeting)
        with stage_faults(part.store):
            runner(part.stage, context=replace(part.context, report=report, stop=stop))
    except (StoppedError, KeyboardInterrupt) as stopped:
        return Message(kind="stopped", name=name, said=str(stopped) or f"stopped in {name}")
    except Exception as error:
        return Message(kind="failed", name=name, failure=failure_of(name, error)).without_objects()
    return Message(kind="made", name=name)


def _listen(pipe: Connection) -> None:
    """Stop when it is said, and end when nobody is there any more to say it."""
    with suppress(EOFError, OSError):
        while pipe.recv() == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)


class _Tell(logging.Handler):
    """Sends messages; of several processes the first alone tells how far it is, and logs."""

    def __init__(self, pipe: Connection, part: Part) -> None:
        super().__init__(logging.WARNING)
        self._pipe, self._first = pipe, part.rank == 0

    def __call__(self, message: Message) -> None:
        if self._first or message.ends:
            with suppress(OSError):
                self._pipe.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        self(Message(kind="log", name=record.name, said=record.getMessage()))
