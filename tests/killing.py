"""What is done to a process of `tests.warm`: killed at a write, stalled at a call, made to tell.

    before=[tell_every_step, partial(kill_at_write, 7, folder=folder)]

A write is what Python audits as one (a file opened to be written, renamed or removed, a folder
made or removed) and each fsync, under `folder`. Each has a line, which a pattern can choose:

    fsync .composer/work/KEY/checkpoint/training.part
    os.rename .composer/work/KEY/out
"""

import importlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_STALL_SECONDS = 40  # longer than anything here waits


def kill_at_write(
    number: int, *, folder: Path, matching: str = "", log: Path | None = None
) -> None:
    """Kill this process before a write.

    Args:
        number: Which, of those that match; counted from 1; 0: never.
        folder: What is written elsewhere does not count.
        matching: Pattern of the line of a write.
        log: Where the lines go.
    """
    notes = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if log else None
    count, sync = 0, os.fsync

    def note(event: str, path: str) -> None:
        nonlocal count
        line = f"{event} {path}"
        if not path:
            return
        if notes is not None:
            os.write(notes, f"{line}\n".encode())
        if re.search(matching, line):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and arguments[2] & _WRITING):
            note(event, _inside(arguments[0], folder))

    def noted_sync(handle: int) -> None:
        note("fsync", _inside(os.readlink(f"/proc/self/fd/{handle}"), folder))
        sync(handle)

    sys.addaudithook(hook)
    os.fsync = noted_sync


def stall(place: str, *, after: int = 0) -> None:
    """Let a function say `stalled` and do nothing for long.

    Args:
        place: Of the function: "composer.train.setup:_open".
        after: Calls that are carried out before the one that stalls.
    """
    module, name = place.split(":")
    owner: Any = importlib.import_module(module)
    *owners, name = name.split(".")
    for one in owners:
        owner = getattr(owner, one)
    original = getattr(owner, name)
    calls = 0

    def stalled(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls > after:
            os.write(2, b"stalled\n")
            until = time.monotonic() + _STALL_SECONDS
            while time.monotonic() < until:
                time.sleep(0.01)
        return original(*arguments, **named)

    setattr(owner, name, stalled)


def tell_every_step() -> None:
    """Let the log have a line a step, not one every ten seconds."""
    importlib.import_module("composer.cli.progress")._QUIET_SECONDS = 0.0


def _inside(path: object, folder: Path) -> str:
    """Give a path seen from `folder`; empty for a path elsewhere, and for an open file."""
    if not isinstance(path, str | bytes | os.PathLike):
        return ""
    absolute = os.path.abspath(os.fsdecode(path))
    return os.path.relpath(absolute, folder) if absolute.startswith(f"{folder}/") else ""
