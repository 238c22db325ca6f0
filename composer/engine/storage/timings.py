"""How long stages took and what they held, beside the results and no part of them.

    {"key": "0a41…", "memory": 1289748480, "seconds": 93.1}      one line a stage

A stage that was interrupted and resumed leaves no line; where the system does not tell the
memory, a line has none. Nothing but the plan's expected time, and how many stages are carried
out side by side, depends on this file; it may be deleted.
"""

import json
import logging
from dataclasses import dataclass

from composer.bundle.files import append_line, read_bytes
from composer.bundle.jsontext import parse_json
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.store import Store
from composer.errors import StoreError

logger = logging.getLogger(__name__)

_NAME = "timings.jsonl"
_LIMIT = 64 * 2**20  # bytes


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a stage took.

    Attributes:
        seconds: From its start to its end.
        memory: At its peak, in bytes, of the process; None: not known.
    """

    seconds: float
    memory: int | None = None


def note_seconds(store: Store, key: str, seconds: float, *, memory: int | None = None) -> None:
    """Append how long a stage took, and what it held."""
    path = store.folder / _NAME
    values: dict[str, object] = {"key": key, "seconds": round(seconds, 1)}
    if memory is not None:
        values["memory"] = memory
    with disk_faults(path):
        append_line(path, json.dumps(values, sort_keys=True).encode())
    store.share(_NAME)


def read_measured(store: Store) -> dict[str, Measured]:
    """Read what each key took last; lines that cannot be read are named and left out."""
    path = store.folder / _NAME
    store.refresh(_NAME)
    with disk_faults(path):
        if not path.exists():
            return {}
        lines = read_bytes(path, _LIMIT, error=StoreError).splitlines()
    known: dict[str, Measured] = {}
    for number, line in enumerate(lines, start=1):
        entry = _read_line(line)
        if entry is None:
            logger.warning("%s:%d: not a time; the line is left out", path, number)
        else:
            known[entry[0]] = entry[1]
    return known


def read_seconds(store: Store) -> dict[str, float]:
    """Read the last time taken of each key."""
    return {key: one.seconds for key, one in read_measured(store).items()}


def _read_line(line: bytes) -> tuple[str, Measured] | None:
    try:
        values = parse_json(line, place="the line", error=StoreError)
    except StoreError:
        return None
    key, seconds, memory = (values.get(name) for name in ("key", "seconds", "memory"))
    if not isinstance(key, str) or not isinstance(seconds, int | float) or seconds < 0:
        return None
    known = memory if isinstance(memory, int) and memory > 0 else None
    return key, Measured(seconds=float(seconds), memory=known)
