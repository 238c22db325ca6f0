"""Disks that are full, read-only or closed for real, in a process of their own.

A child is forked; it may mount what it likes, as nobody else sees it, and give up what lets the
superuser write anywhere. Where the system forbids that, the test is skipped and says why; what
errors of the disk do is tested with injected ones in `test_store` as well.
"""

import ctypes
import os
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 0x1000, 0x4000, 0x40000
_CAPABILITIES = 0x20080522  # version 3 of the call
_MAY_WRITE_ANYWHERE = 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class CannotError(Exception):
    """This system does not let a test do that."""


def in_child(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a forked process and give back what it gives.

    Skips the test if the function raised `CannotError`; fails it if it raised anything else.
    """
    read, write = os.pipe()
    with warnings.catch_warnings():  # threads of libraries: the child uses none of them
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _end(write, function, arguments)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    ended, value = pickle.loads(said) if said else ("failed", "the process ended early")
    if ended == "cannot":
        pytest.skip(value)
    assert ended == "well", value
    return value


def _end(write: int, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    try:
        said: object = ("well", function(*arguments))
    except CannotError as error:
        said = ("cannot", str(error))
    except BaseException:
        said = ("failed", traceback.format_exc())
    try:
        os.write(write, pickle.dumps(said))
    finally:
        os._exit(0)


def small_disk(at: Path, options: str) -> None:
    """Put an empty disk at a folder; called in a child. `size=64k,nr_inodes=20`, for example."""
    if not os.path.ismount(at):
        _own_mounts()
        _mount("tmpfs", at, "tmpfs", 0, options)
    else:
        _mount("tmpfs", at, "tmpfs", _REMOUNT, options)


def read_only(at: Path) -> None:
    """Let nothing be written below a folder; called in a child, on a disk of its own."""
    _mount(at, at, None, _BIND)
    _mount("none", at, None, _BIND | _REMOUNT | _READ_ONLY)


def writable_again(at: Path) -> None:
    """Undo `read_only`."""
    _called(_libc().umount2(os.fsencode(at), 2), "unmount")


def as_anyone() -> None:
    """Give up what lets the superuser read and write whatever permissions say."""
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    _called(_libc().capget(header, sets), "ask for capabilities")
    for number in range(3):
        sets[number] &= ~_MAY_WRITE_ANYWHERE
    _called(_libc().capset(header, sets), "give up capabilities")


def _own_mounts() -> None:
    user, group = os.geteuid(), os.getegid()
    flags = _NEW_MOUNTS | (_NEW_USER if user else 0)
    _called(_libc().unshare(flags), "have mounts of its own")
    if user:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            Path("/proc/self", name).write_text(text)
    _mount("none", Path("/"), None, _RECURSIVE | _PRIVATE)


def _mount(what: str | Path, at: Path, kind: str | None, flags: int, options: str = "") -> None:
    done = _libc().mount(
        os.fsencode(what), os.fsencode(at), kind and kind.encode(), flags, options.encode() or None
    )
    _called(done, f"mount {kind or what}")


def _libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise CannotError("only Linux lets a process have mounts of its own")
    return ctypes.CDLL(None, use_errno=True)


def _called(status: int, what: str) -> None:
    if status:
        raise CannotError(f"a process may not {what} here: {os.strerror(ctypes.get_errno())}")
