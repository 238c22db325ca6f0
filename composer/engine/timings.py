"""How long stages took, beside the results and no part of them.

    {"key": "0a41…", "seconds": 93.1}      one line a stage that ran from start to end

A stage that was interrupted and resumed leaves no line. Nothing but the plan's expected time
depends on this file; it may be deleted.
"""

import json
import logging

from composer.bundle.files import append_line, read_bytes
from composer.bundle.jsontext import parse_json
from composer.engine.faults import disk_faults
from composer.engine.store import Store
from composer.errors import StoreError

logger = logging.getLogger(__name__)

_LIMIT = 64 * 2**20  # bytes


def note_seconds(store: Store, key: str, seconds: float) -> None:
    """Append how long a stage took."""
    path = store.folder / "timings.jsonl"
    line = json.dumps({"key": key, "seconds": round(seconds, 1)}, sort_keys=True)
    with disk_faults(path):
        append_line(path, line.encode())


def read_seconds(store: Store) -> dict[str, float]:
    """Read the last time taken of each key; lines that cannot be read are named and left out."""
    path = store.folder / "timings.jsonl"
    with disk_faults(path):
        if not path.exists():
            return {}
        lines = read_bytes(path, _LIMIT, error=StoreError).splitlines()
    known: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        entry = _read_line(line)
        if entry is None:
            logger.warning("%s:%d: not a time; the line is left out", path, number)
        else:
            known[entry[0]] = entry[1]
    return known


def _read_line(line: bytes) -> tuple[str, float] | None:
    try:
        values = parse_json(line, place="the line", error=StoreError)
    except StoreError:
        return None
    key, seconds = values.get("key"), values.get("seconds")
    known = isinstance(key, str) and isinstance(seconds, int | float) and seconds >= 0
    return (str(key), float(seconds or 0)) if known else None
