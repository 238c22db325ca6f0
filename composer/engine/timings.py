"""How long stages took, beside the results and no part of them.

    {"key": "0a41…", "seconds": 93.1}      one line a stage that ran from start to end

A stage that was interrupted and resumed leaves no line. Nothing but the plan's expected time
depends on this file; it may be deleted.
"""

import json
import logging
import math

from composer.engine.faults import disk_faults
from composer.engine.store import Store

logger = logging.getLogger(__name__)


def note_seconds(store: Store, key: str, seconds: float) -> None:
    """Append how long a stage took."""
    path = store.folder / "timings.jsonl"
    line = json.dumps({"key": key, "seconds": round(seconds, 1)}, sort_keys=True)
    with disk_faults(path), path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")  # one short write to a file in append mode: lines stay whole


def read_seconds(store: Store) -> dict[str, float]:
    """Read the last time taken of each key; lines that cannot be read are named and left out."""
    path = store.folder / "timings.jsonl"
    with disk_faults(path):
        if not path.exists():
            return {}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    known: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        entry = _read_line(line)
        if entry is None:
            logger.warning("%s:%d: not a time; the line is left out", path, number)
        else:
            known[entry[0]] = entry[1]
    return known


def _read_line(line: str) -> tuple[str, float] | None:
    try:
        values = json.loads(line)
        key, seconds = values["key"], float(values["seconds"])
    except (ValueError, KeyError, TypeError):
        return None
    known = isinstance(key, str) and math.isfinite(seconds) and seconds >= 0
    return (key, seconds) if known else None
