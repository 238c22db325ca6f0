"""What runs have left in a store beside results: who works on a key, and what it can go on from.

    running   the key's lock is held by a process of this machine, or its lease by another host
    stopped   there is a checkpoint, and nobody works on it
    failed    it ended with an error, which is the last that is known of it

Looked at and never changed. Failures are those in the logs of runs:
`composer.engine.running.event_log`.
"""

import fcntl
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from composer.bundle.jsontext import parse_json
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.shared import SharedStore
from composer.engine.storage.store import Store, check_key
from composer.errors import StoreError

LOGS_READ = 20  # of the latest runs

_HEEDED = (b'"failed"', b'"started"', b'"made"')

TraceState = Literal["running", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What is known of a key without a result.

    Attributes:
        state: See the module.
        time: Seconds since the epoch: of the start, the checkpoint or the failure.
        said: Why it failed, or on which host it is running.
    """

    state: TraceState
    time: float
    said: str = ""


def read_failures(store: Store) -> dict[str, Trace]:
    """Read the last failure of each key in the latest logs, if no run took it up since."""
    folder = store.logs / "runs"
    known: dict[str, Trace] = {}
    with disk_faults(folder):
        for path in sorted(folder.glob("*.jsonl"))[-LOGS_READ:]:
            for line in path.read_bytes().splitlines():
                _heed(line, known)
    return known


def _heed(line: bytes, known: dict[str, Trace]) -> None:
    """Take in one line of a log; most tell of progress, and are not parsed."""
    if not any(one in line for one in _HEEDED):
        return
    try:
        values = parse_json(line, place="the line", error=StoreError)
        key, when = str(values["key"]), datetime.fromisoformat(str(values["time"])).timestamp()
    except (StoreError, KeyError, ValueError):  # torn, or another version's
        return
    if values.get("event") == "failed":
        known[key] = Trace(state="failed", time=when, said=str(values.get("said", "")))
    elif values.get("event") in ("started", "made"):
        known.pop(key, None)


def read_holders(store: Store, *, now: float) -> dict[str, Trace]:
    """Say what other hosts work on, by key; nothing where the store is this machine's alone."""
    if not isinstance(store, SharedStore):
        return {}
    return {
        key: Trace(
            state="running",
            time=now if holder.since is None else holder.since,
            said=f"on {holder.host or 'another host'}",
        )
        for key, holder in store.holders(now=now).items()
    }


def trace_of(
    store: Store, key: str, *, failed: Trace | None, elsewhere: Trace | None = None
) -> Trace | None:
    """Say what is known of a key without a result; None: nothing was ever begun.

    Args:
        store: Of results.
        key: Of the stage.
        failed: Its last failure.
        elsewhere: What a host does with it now.
    """
    work = store.folder / "work" / check_key(key)
    with disk_faults(work):
        if _is_held(store.folder / "locks" / f"{key}.lock"):
            return Trace(state="running", time=_latest([work, *work.glob("out-*")]))
        if elsewhere is not None:
            return elsewhere
        checkpoints = list((work / "checkpoint").glob("*"))
        stopped = _latest(checkpoints) if checkpoints else None
    if stopped is not None and (failed is None or failed.time < stopped):
        return Trace(state="stopped", time=stopped)
    return failed


def _is_held(lock: Path) -> bool:
    """Ask whether a process holds a lock, without taking it from one that is about to."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _latest(paths: list[Path]) -> float:
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:  # it was just published, or removed
            continue
    return max(times, default=time.time())
