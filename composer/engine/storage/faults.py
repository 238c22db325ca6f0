"""Faults of the disk under the store, put in words: which path, what happened, what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from composer.errors import StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CLOSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_GONE = frozenset({errno.ENOENT, errno.ESTALE})
_NO_FOLDER = frozenset({errno.ENOTDIR, errno.EEXIST})
_NO_FILE = frozenset({errno.EISDIR, errno.ELOOP})  # a link that is not followed is ELOOP
_TOO_LARGE = frozenset({errno.EFBIG})


class DamagedError(StoreError):
    """A published result is not what was published."""


class LostLeaseError(StoreError):
    """Another worker took a key over, since this one was not heard of for too long."""


@contextmanager
def disk_faults(path: Path, *, option: str = "--store FOLDER") -> Iterator[None]:
    """Turn what the system says about `path` into a `StoreError` with a remedy.

    Args:
        path: Named where the system names no file of its own.
        option: What to give on the command line for another place.
    """
    try:
        yield
    except StoreError as fault:  # of composer.bundle.files, which knows no remedy
        if not isinstance(fault.__cause__, OSError) or _is_damage(fault):
            raise
        raise _with_remedy(str(fault), fault.__cause__, option) from fault.__cause__
    except OSError as fault:
        place = fault.filename if isinstance(fault.filename, str) else path
        raise _with_remedy(f"{place}: {fault.strerror or fault}", fault, option) from fault


@contextmanager
def stage_faults(folder: Path) -> Iterator[None]:
    """Do the same for a stage that writes into the store at `folder`.

    What the system says about other files is left as it is: it is not the store's.
    """
    try:
        with disk_faults(folder):
            yield
    except StoreError as fault:
        cause = fault.__cause__
        if isinstance(cause, OSError) and not _is_of_store(cause, folder):
            raise cause from None
        raise


def _is_damage(fault: StoreError) -> bool:
    # A file that is there and may not be read is as good as it was.
    return isinstance(fault, DamagedError) and not isinstance(fault.__cause__, PermissionError)


def _is_of_store(fault: OSError, folder: Path) -> bool:
    if isinstance(fault.filename, str):
        if Path(fault.filename).is_relative_to(folder):
            return True  # as they are given: the working folder may be gone, and has no name then
        return Path(fault.filename).absolute().is_relative_to(folder.absolute())
    return fault.errno in _FULL | _CLOSED | _TOO_LARGE  # a write to an open file names none


def _with_remedy(message: str, cause: OSError, option: str) -> StoreError:
    remedy = _remedy(cause.errno, option)
    return StoreError(message if remedy in message else f"{message}; {remedy}")


def _remedy(number: int | None, option: str) -> str:
    if number in _FULL:
        return "free some space and run the same command again; it goes on where it stopped"
    if number in _TOO_LARGE:
        return f"no file may be that large there (see ulimit -f); give another place with {option}"
    if number in _CLOSED:
        return f"make it writable, or give another place with {option}"
    if number in _GONE:
        return "it vanished while it was in use; run the same command again"
    if number in _NO_FOLDER:
        return f"a folder must be there; give another place with {option}"
    if number in _NO_FILE:
        return "a plain file must be there; move away what is, and run the same command again"
    return "run the same command again when that is mended; it goes on where it stopped"
