"""What carries out tasks for a run, and tells it what happens.

    executor.start(task)       while it is not full, and `fits(task)`
    executor.wait(seconds)     what happens is told, as messages
    executor.stop()            all stop as soon as they have saved what they learnt
    executor.close()           ends what is left at once

`InThisProcess` is the plain one: one stage after another, here.
"""

from collections.abc import Callable
from typing import Protocol

from composer.engine.running.failures import failure_of
from composer.engine.running.making import Making
from composer.engine.running.messages import Frame, Message, Task, Tell
from composer.errors import ComposerError, StoppedError
from composer.train.context import StopRequest


class Executor(Protocol):
    """Carries out tasks; each ends with one message that says so."""

    @property
    def full(self) -> bool:
        """Whether nothing more can be started now."""

    @property
    def busy(self) -> bool:
        """Whether anything is being carried out."""

    def fits(self, task: Task) -> bool:
        """Say whether there is memory for a task beside those that are being carried out."""

    def start(self, task: Task) -> None:
        """Have a task carried out."""

    def wait(self, seconds: float) -> None:
        """Tell what happened; wait for something to happen, at most so long."""

    def stop(self) -> None:
        """Ask all tasks to stop; each still ends with a message."""

    def close(self) -> None:
        """End everything that was started; what is not done by now is given up."""


MakeExecutor = Callable[[Frame, Tell, StopRequest], Executor]


class InThisProcess:
    """Carries out a task when it is started, in this process."""

    full = busy = False

    def __init__(self, frame: Frame, tell: Tell, stop: StopRequest) -> None:
        self._making, self._tell = Making(frame, stop), tell

    def fits(self, task: Task) -> bool:
        """It does: nothing else is being carried out."""
        return True

    def start(self, task: Task) -> None:
        """Carry out a task; a stop comes out of here as it is."""
        self._tell(carry_out(self._making, task, self._tell))

    def wait(self, seconds: float) -> None:
        """Between two tasks nothing happens."""

    def stop(self) -> None:
        """Between two tasks there is nothing to stop."""

    def close(self) -> None:
        """Nothing is left."""


def carry_out(making: Making, task: Task, tell: Tell) -> Message:
    """Carry out a task; give what ends it, be it a failure.

    Raises:
        StoppedError: A stop was asked for.
        KeyboardInterrupt: Likewise, where there was nothing to save.
    """
    try:
        return making.make(task, tell)
    except StoppedError:
        raise
    except Exception as fault:
        # A library that is stopped half imported ends with an error of its own.
        if making.stop.requested and not isinstance(fault, ComposerError):
            raise StoppedError(f"stopped in {task.name}") from fault
        return Message(kind="failed", name=task.name, failure=failure_of(task.name, fault))
