"""Folders that are complete or absent: filled beside their place, then moved into it.

    with unfinished_folder(Path("home")) as folder:
        (folder / "manifest.json").write_bytes(...)

Whoever looks at `home` finds what was there before, or all of what is new. The store
publishes stages this way, the writer bundles.
"""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from composer.bundle.files import beside, sync_folder
from composer.errors import StoreError

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE


@contextmanager
def unfinished_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside `target` to fill; it takes the name once it is all on disk.

    A folder that is there already is replaced. Whether it may be is for the caller to know.

    Raises:
        StoreError: If a file cannot be written; nothing is left behind.
    """
    unfinished = beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir()
        yield unfinished
        _sync_tree(unfinished)
        if target.exists():
            _swap(unfinished, target)
        else:
            os.rename(unfinished, target)
        sync_folder(target.parent)
    except OSError as fault:
        raise StoreError(f"{target} cannot be written: {fault.strerror or fault}") from fault
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # after a swap: the old folder


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            with open(Path(root) / name, "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(root))


def _swap(unfinished: Path, target: Path) -> None:
    """Exchange two folders: in one step on Linux, elsewhere in two."""
    if _exchange(unfinished, target):
        return
    old = beside(target)
    os.rename(target, old)
    try:
        os.rename(unfinished, target)
    except OSError:
        os.rename(old, target)
        raise
    os.rename(old, unfinished)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names with `renameat2`, which Python has no name for, if it is there."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    done: int = renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return done == 0
