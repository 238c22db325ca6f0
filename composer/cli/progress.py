"""Show how far a run is: one live view of all stages on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from composer.engine.running.events import Event
from composer.report.happened import event_words
from composer.report.layout import duration
from composer.train.context import Progress

_QUIET_SECONDS = 10.0  # between lines of one stage that tell no score
_SCORE_SECONDS = 1.0  # between lines that do
_DRAWN_A_SECOND = 8
_BAR_WIDTH = 16

_ENDS = ("found", "made", "failed", "skipped")


@dataclass
class _Running:
    """A stage that is being carried out.

    Attributes:
        begun: When.
        said: When a line told of it last.
        expected: Seconds that it is expected to take.
        progress: How far it is.
        first: When the first step seen ended, and which it was.
    """

    begun: float
    said: float
    expected: float | None
    progress: Progress | None = None
    first: tuple[float, int] | None = None

    def speed(self, now: float) -> list[str]:
        """Say how fast it goes; known from the second step on, as the first takes longer."""
        if self.first is None or self.progress is None:
            return []
        began, step = self.first
        if self.progress.done == step or now <= began:
            return []
        rate = (self.progress.done - step) / (now - began)
        left = duration((self.progress.total - self.progress.done) / rate)
        return [f"{rate:.1f} steps/s", f"{left} left"]


class ProgressView:
    """Writes a run's events on stderr.

    A line is written when a stage begins, when it has a new score, and when it ends. On a
    terminal, a view of all stages that are being carried out stands below them; elsewhere a
    line tells every ten seconds how far each one is.

    Args:
        expected: Stage name -> seconds, for the time that is left; None is not known.
    """

    def __init__(self, expected: Mapping[str, float | None] | None = None) -> None:
        self.expected = dict(expected or {})
        self.running: dict[str, _Running] = {}
        self.ended: dict[str, int] = dict.fromkeys(_ENDS, 0)
        self.total = 0
        self.live: Live | None = None

    def __enter__(self) -> "ProgressView":
        if sys.stderr.isatty():
            console = Console(file=sys.stderr)
            self.live = Live(
                get_renderable=self.drawn,
                console=console,
                refresh_per_second=_DRAWN_A_SECOND,
                transient=True,
            )
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        place = f"[{event.number}/{event.total}] {event.stage}"
        self.total = event.total
        if event.kind in _ENDS:
            self.running.pop(event.stage, None)
            self.expected.pop(event.stage, None)
            self.ended[event.kind] += 1
        elif event.kind == "lost":
            self.running.pop(event.stage, None)
        elif event.kind == "started":
            now = time.monotonic()
            said = -math.inf if event.resumed else now
            self.running[event.stage] = _Running(now, said, event.expected)
        if event.kind == "progress" and event.progress is not None:
            self._step(place, event.stage, event.progress)
        else:
            self._line(f"{place}: {event_words(event)}")

    def drawn(self) -> Group:
        """Draw the view: what is being carried out, and a line for the whole."""
        now = time.monotonic()
        table = Table.grid(padding=(0, 1))
        for name, one in list(self.running.items()):
            step = one.progress
            bar = ProgressBar(step.total, step.done, width=_BAR_WIDTH) if step else Text("")
            table.add_row(Text(name, overflow="ellipsis", no_wrap=True), bar, _row(one, now))
        return Group(table, Text(self._whole(), no_wrap=True, overflow="ellipsis"))

    def _whole(self) -> str:
        done = self.ended["found"] + self.ended["made"]
        parts = [f"{done} of {self.total} stages done", f"{len(self.running)} at work"]
        for kind in ("failed", "skipped"):
            parts += [f"{self.ended[kind]} {kind}"] if self.ended[kind] else []
        left = [*self.expected.values()]
        if left and None not in left and self.running:
            seconds = sum(one or 0.0 for one in left) / len(self.running)
            parts.append(f"about {duration(seconds)} left")
        return ", ".join(parts)

    def _step(self, place: str, name: str, progress: Progress) -> None:
        now = time.monotonic()
        one = self.running.setdefault(name, _Running(now, now, None))
        one.first = one.first or (now, progress.done)
        one.progress = progress
        if not self._stays(one, progress, now):
            return
        one.said = now
        self._line(f"{place}: {', '.join(_parts(one, progress, now))}")

    def _stays(self, one: _Running, progress: Progress, now: float) -> bool:
        """Say whether a line is worth keeping."""
        if progress.score is None:
            return self.live is None and now - one.said >= _QUIET_SECONDS
        return now - one.said >= _SCORE_SECONDS or progress.done == progress.total

    def _line(self, text: str) -> None:
        if self.live is None:
            click.echo(text, err=True)
        else:
            self.live.console.print(Text(text), soft_wrap=True)


def _parts(one: _Running, progress: Progress, now: float) -> list[str]:
    parts = [f"step {progress.done}/{progress.total}", *one.speed(now)]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.score is not None:
        parts.append(f"score {progress.score:.3f}")
    return parts


def _row(one: _Running, now: float) -> Text:
    if one.progress is not None:
        return Text(", ".join(_parts(one, one.progress, now)), no_wrap=True)
    known = f" of about {duration(one.expected)}" if one.expected is not None else ""
    return Text(f"{duration(now - one.begun)}{known}", no_wrap=True)
