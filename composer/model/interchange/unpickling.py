"""A `.bin` of PyTorch as safetensors, read where reading it can do no harm.

A pickle is a program. PyTorch's `weights_only` runs the few of its steps that make tensors, and
has had holes. So a process of its own reads it: it gets the open file and nowhere to write but
one other, limits on memory, time and size, no network where the system lets a process give that
up, and a hook that ends it when it opens anything, starts anything or connects anywhere.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from composer.bundle.jsontext import one_line
from composer.errors import Fault, InterchangeError

SECONDS = 120
_PROGRAM = Path(__file__).with_name("unpickling_process.py")
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")  # what Python and torch start with


@contextmanager
def unpickled(file: BinaryIO, *, limit: int, place: str) -> Iterator[tuple[BinaryIO, int]]:
    """Give a safetensors file of what a `.bin` holds, and its bytes, while the block runs.

    Args:
        file: A plain file at its beginning.
        limit: Bytes that what is made of it may have.
        place: For messages.

    Raises:
        InterchangeError: It holds more than tensors by name, or too much.
    """
    with tempfile.TemporaryDirectory(prefix="composer-import-") as scratch:
        with tempfile.TemporaryFile(dir=scratch) as made:
            failed = _run(file.fileno(), made.fileno(), limit, scratch)
            if failed is not None:
                raise InterchangeError([Fault(place, failed)])
            size = made.seek(0, os.SEEK_END)
            made.seek(0)
            yield made, size


def _run(read: int, write: int, limit: int, scratch: str) -> str | None:
    """Let the process work; say what was wrong, or None."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    command = [sys.executable, "-I", str(_PROGRAM), str(limit), os.pathsep.join(sys.path)]
    try:
        done = subprocess.run(
            command,
            stdin=read,
            stdout=write,
            stderr=subprocess.PIPE,
            env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            cwd=scratch,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"reading it took more than {SECONDS} seconds; it was given up"
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    why = one_line(said[-1], 300) if said else f"its reader ended with {done.returncode}"
    return (
        f"{why}; what is read of a .bin is tensors by name, nothing else: "
        "ask its author for safetensors"
    )
