"""Show how far a run is: one live line on a terminal, plain lines elsewhere."""

import math
import shutil
import sys
import time
from types import TracebackType

import click

from composer.engine.events import Event
from composer.report.layout import duration
from composer.train.context import Progress

_QUIET_SECONDS = 10.0  # between lines of one stage that tell no score
_SCORE_SECONDS = 1.0  # between lines that do
_DRAW_SECONDS = 0.1  # between two looks of the live line


class ProgressLine:
    """Writes a run's events on stderr.

    A line is written when a stage begins, at the step that it goes on with, when it has a new
    score, every ten seconds, and when it ends. On a terminal the running stage has one more
    line, which is written over.
    """

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.said = self.drawn = 0.0
        self.first: tuple[float, int] | None = None  # when the first step seen ended, and which
        self.width = 0

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._clear()

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        place = f"[{event.number}/{event.total}] {event.stage}"
        match event.kind:
            case "found":
                self._line(f"{place}: done before")
            case "waiting":
                self._line(f"{place}: another run is making it; waiting")
            case "started":
                self.said = -math.inf if event.resumed else time.monotonic()
                self.first = None
                self._line(
                    f"{place}: {'going on from its checkpoint' if event.resumed else 'started'}"
                )
            case "progress" if event.progress:
                self._step(place, event.progress)
            case "made":
                self._line(f"{place}: made in {duration(event.seconds)}")

    def _step(self, place: str, progress: Progress) -> None:
        now = time.monotonic()
        self.first = self.first or (now, progress.done)
        stays = self._stays(progress, now)
        if not stays and not (self.live and now - self.drawn >= _DRAW_SECONDS):
            return
        parts = [f"step {progress.done}/{progress.total}", *self._speed(progress, now)]
        if progress.loss is not None:
            parts.append(f"loss {progress.loss:.3f}")
        if progress.score is not None:
            parts.append(f"score {progress.score:.3f}")
        self.drawn, self.said = now, now if stays else self.said
        self._line(f"{place}: {', '.join(parts)}", over=not stays)

    def _stays(self, progress: Progress, now: float) -> bool:
        """Say whether a line is worth keeping."""
        if progress.score is None:
            return not self.live and now - self.said >= _QUIET_SECONDS
        return now - self.said >= _SCORE_SECONDS or progress.done == progress.total

    def _speed(self, progress: Progress, now: float) -> list[str]:
        """Say how fast it goes; known from the second step on, as the first takes longer."""
        began, step = self.first or (now, progress.done)
        if progress.done == step or now <= began:
            return []
        rate = (progress.done - step) / (now - began)
        left = duration((progress.total - progress.done) / rate)
        return [f"{rate:.1f} steps/s", f"{left} left"]

    def _line(self, text: str, *, over: bool = False) -> None:
        self._clear()
        if over:  # a line that wraps could not be written over
            text = text[: shutil.get_terminal_size().columns - 1]
        click.echo(text, err=True, nl=not over)
        self.width = len(text) if over else 0

    def _clear(self) -> None:
        if self.width:
            click.echo("\r" + " " * self.width + "\r", err=True, nl=False)
            self.width = 0
