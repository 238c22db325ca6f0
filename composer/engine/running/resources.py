"""What this machine has left of memory, as the container allows that this runs in.

Linux tells it in files, which are read here: /proc for the machine and for processes, cgroup v2
or v1 for the container. Where there are none, nothing is known and only `--jobs` bounds a run.
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")

_RESET_PEAK = "5"  # of /proc/PID/clear_refs
# Memory of a cgroup, v2 and v1: limit, use, and what of the use can be given back at once.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory(*, root: Path = ROOT) -> int | None:
    """Give how many bytes can be used without harm to anyone; None: not known."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    left = [1024 * int(found[1])] if found else []
    for folder in _cgroups(root):
        left += _left_in(folder)
    return min(left, default=None)


def resident_memory(process: int, *, root: Path = ROOT) -> int:
    """Give how many bytes a process and those that it began hold now; 0: not known."""
    tasks = (root / "proc" / str(process) / "task").glob("*/children")
    children = [int(child) for file in tasks for child in _read(file).split()]
    return _status(process, "VmRSS", root) + sum(
        resident_memory(child, root=root) for child in children
    )


def peak_memory(process: int | None = None, *, root: Path = ROOT) -> int | None:
    """Give how many bytes a process, left out this one, held at most since `reset_peak_memory`."""
    return _status(process or os.getpid(), "VmHWM", root) or None


def reset_peak_memory() -> None:
    """Let `peak_memory` count from now on, where the system allows it.

    What the last stage freed is given back first: glibc is told to keep it for the next step
    (see `composer.train.setup`), and another process may need it now.
    """
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write(_RESET_PEAK)


def _status(process: int, name: str, root: Path) -> int:
    text = _read(root / "proc" / str(process) / "status")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _left_in(folder: Path) -> list[int]:
    """Give what a cgroup leaves; nothing where it has no limit."""
    for limit, used, idle in _FILES:
        with suppress(ValueError):
            most, now = int(_read(folder / limit)), int(_read(folder / used))
            found = re.search(rf"^{idle} (\d+)", _read(folder / "memory.stat"), re.MULTILINE)
            return [max(0, most - now + (int(found[1]) if found else 0))]
    return []


def _cgroups(root: Path) -> Iterator[Path]:
    """Give the cgroup of this process and those around it, innermost first."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        base = root / "sys/fs/cgroup"
        if controllers:  # version 1: a tree for each controller
            if "memory" not in controllers.split(","):
                continue
            base = base / controllers if (base / controllers).is_dir() else base / "memory"
        inner = base / place.lstrip("/")
        if not inner.is_dir():  # in a container the path is the host's; its own is the root
            inner = base
        while True:
            yield inner
            if inner == base:
                break
            inner = inner.parent


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
