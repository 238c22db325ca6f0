"""The log of a run: one JSON object a line, for programs that watch runs or look back at them.

    {"command": "composer run home.yaml", "event": "run", "format": 1, "host": "pc", "process": 812,
     "recipe": "home", "stages": 20, "time": "2026-11-22T10:30:00.123Z"}
    {"event": "started", "expected": 90.0, "key": "0a41…", "number": 3, "resumed": false,
     "stage": "task/intent", "time": "…"}
    {"event": "progress", "key": "0a41…", "loss": 0.31, "number": 3, "rate": 0.0009, "score": null,
     "stage": "task/intent", "step": 12, "steps": 90, "time": "…"}
    {"event": "made", "key": "0a41…", "memory": 1289748480, "number": 3, "seconds": 88.2, …}
    {"event": "end", "said": "", "status": "done", "time": "…"}      or "stopped", "failed"

Events are those of `composer.engine.running.events`. A line is on its way to the disk when what it
tells has happened; the last one may be torn when a machine fails, and the next begins a line of its
own.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from composer.bundle.files import append_line
from composer.bundle.jsontext import parse_json
from composer.engine.running.events import Event
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.store import Store
from composer.errors import StoppedError, StoreError

logger = logging.getLogger(__name__)

FORMAT = 1
_OPTION = "--events PATH"
_PROGRESS_SECONDS = 1.0  # between two lines of one stage that tell no score
# What an event of a kind tells, besides its stage.
_TOLD: Mapping[str, tuple[str, ...]] = {
    "started": ("resumed", "expected"),
    "made": ("seconds", "memory"),
    "lost": ("said",),
    "failed": ("said",),
    "skipped": ("said",),
}


def event_path(store: Store, recipe: str) -> Path:
    """Name the log of a run that begins now."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return store.logs / "runs" / f"{now}-{recipe}-{os.getpid()}.jsonl"


class EventLog:
    """Writes the events of one run, from `with` to its end.

    Args:
        path: Lines are added to a file that is there.
        about: Of the run, for its first line: command, recipe, stages.
    """

    def __init__(self, path: Path, about: Mapping[str, object]) -> None:
        self.path, self._about = path, about
        self._told: dict[str, float] = {}  # stage -> when its progress was told last

    def __enter__(self) -> "EventLog":
        with disk_faults(self.path, option=_OPTION):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        here = {"host": socket.gethostname(), "process": os.getpid()}
        self._write("run", {**self._about, **here, "format": FORMAT})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        stopped = isinstance(error, StoppedError | KeyboardInterrupt)
        status = "done" if error is None else "stopped" if stopped else "failed"
        self._write("end", {"status": status, "said": str(error or "")})

    def __call__(self, event: Event) -> None:
        """Write one event, but not every step."""
        values = {"stage": event.stage, "key": event.key, "number": event.number}
        told = {name: getattr(event, name) for name in _TOLD.get(event.kind, ())}
        if event.progress is not None:
            if not self._is_due(event):
                return
            step = event.progress
            told = {"step": step.done, "steps": step.total, "loss": step.loss}
            told |= {"rate": step.rate, "score": step.score}
        self._write(event.kind, {**values, **told})

    def _is_due(self, event: Event) -> bool:
        step, now = event.progress, time.monotonic()
        if step is None or (step.score is None and step.done < step.total):
            since = now - self._told.get(event.stage, -_PROGRESS_SECONDS)
            if since < _PROGRESS_SECONDS:
                return False
        self._told[event.stage] = now
        return True

    def _write(self, kind: str, values: Mapping[str, object]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"event": kind, "time": now, **values}, sort_keys=True)
        with disk_faults(self.path, option=_OPTION):
            append_line(self.path, line.encode())


def read_events(path: Path) -> list[dict[str, object]]:
    """Read a log; a line that is torn is left out, and named unless it is the last."""
    events = []
    with disk_faults(path, option=_OPTION):
        lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            events += [parse_json(line, place=f"{path}:{number}", error=StoreError)] if line else []
        except StoreError as fault:
            if number < len(lines):
                logger.warning("%s; the line is left out", fault)
    return events
