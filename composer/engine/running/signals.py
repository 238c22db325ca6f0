"""Ctrl-C and SIGTERM: a training stops after its step, everything else where it is.

What is not training has nothing to save: a stage that is stopped in the middle is begun anew,
as after a kill.
"""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from composer.train.context import StopRequest

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(
    stop: StopRequest, signals: Sequence[signal.Signals] = SIGNALS
) -> Iterator[None]:
    """Let the first signal stop what is done as soon as it may, and the second one at once.

    Outside the main thread, where Python takes no signals, it does nothing.

    Raises:
        KeyboardInterrupt: At the first signal, unless `stop` is held; else at the second.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        again, stop.requested = stop.requested, True
        if again or not stop.waits:
            raise KeyboardInterrupt
        logger.warning("stopping after this step; once more stops at once")

    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
