"""Files that are complete or absent, read only where they cannot lead astray.

Whoever reads says which error a fault is (`error=StoreError`); a write that fails is a
`StoreError`. What is not published yet is named `.NAME.0123456789abcdef.part`, beside the
place that it will take.
"""

import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from composer.bundle.jsontext import canonical_json, parse_json
from composer.errors import BundleError, ComposerError, StoreError

JSON_LIMIT = 8 * 2**20  # bytes
UNFINISHED = ".part"  # ends the name of everything that is not published yet

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe must not block
_BINARY = getattr(os, "O_BINARY", 0)


def write_json(path: Path, value: object) -> None:
    """Write canonical JSON; the file appears complete or not at all."""
    write_bytes(path, canonical_json(value))


def read_json(
    path: Path, limit: int = JSON_LIMIT, *, error: type[ComposerError] = BundleError
) -> dict[str, Any]:
    """Read an object from a file that may come from anywhere; see `parse_json`."""
    return parse_json(read_bytes(path, limit, error=error), place=str(path), error=error)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    with unfinished_file(path) as file:
        file.write(data)


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file that several processes add lines to; no link is followed.

    A line is one short write, so that lines stay whole; after a torn one a new line begins.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _NO_FOLLOW | _BINARY
    with open(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
        if (end := file.seek(0, os.SEEK_END)) > 0:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line + b"\n")


@contextmanager
def unfinished_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` to write to; it takes the name once it is all on disk."""
    unfinished = beside(path)
    try:
        with open(unfinished, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        sync_folder(path.parent)
    except OSError as fault:
        raise StoreError(f"{path} cannot be written: {fault.strerror or fault}") from fault
    finally:
        with suppress(OSError):  # published, or never made
            unfinished.unlink()


def write_hashed(file: BinaryIO, pieces: Iterable[bytes | memoryview]) -> None:
    """Write pieces one behind the other, and before them their SHA-256 as a line of digits."""
    hashed = hashlib.sha256()
    file.write(b" " * 2 * hashed.digest_size + b"\n")
    for piece in pieces:
        hashed.update(piece)
        file.write(piece)
    file.seek(0)
    file.write(hashed.hexdigest().encode())


def beside(path: Path) -> Path:
    """Name a file or folder that nobody else writes to, on the same disk as `path`."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}{UNFINISHED}")


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    if sys.platform == "win32":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def open_regular(
    path: Path, *, error: type[ComposerError] = BundleError
) -> Iterator[tuple[BufferedReader, int]]:
    """Open a file that must be a plain one: no link, pipe, device or folder.

    Yields:
        The file, and its size in bytes.
    """
    if os.path.islink(path):
        raise error(f"{path} is a symbolic link; copy the file itself")
    try:
        handle = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT | _BINARY)
    except OSError as fault:
        raise error(f"{path} cannot be read: {fault.strerror or fault}") from fault
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise error(f"{path} is not a file")
    with open(handle, "rb") as file:
        yield file, status.st_size


def read_bytes(path: Path, limit: int, *, error: type[ComposerError] = BundleError) -> bytes:
    """Read a plain file of at most `limit` bytes."""
    with open_regular(path, error=error) as (file, size):
        if size > limit:
            raise error(f"{path} has {size:,} bytes; at most {limit:,} are read")
        return file.read(size)


def sha256_file(path: Path, *, error: type[ComposerError] = BundleError) -> str:
    """Hash a file, in pieces; a symbolic link is followed (hub caches are made of them)."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise error(f"{path} cannot be read: {fault.strerror or fault}") from fault


def check_name(name: str, *, place: str = "", error: type[ComposerError] = BundleError) -> str:
    r"""Return a relative path as it is, if it cannot lead out of its folder on any system.

    >>> check_name("parts/de.safetensors")
    'parts/de.safetensors'
    >>> check_name("parts/../../x")
    Traceback (most recent call last):
    composer.errors.BundleError: the path 'parts/../../x' has a part '..'
    """
    where = f"{place}: " if place else ""
    for fault, holds in (
        ("is empty", not name),
        ("is absolute", name.startswith("/")),
        ("has a backslash", "\\" in name),
        ("has a colon", ":" in name),
        ("has a control character", any(ord(sign) < 32 or ord(sign) == 127 for sign in name)),
    ):
        if holds:
            raise error(f"{where}the path {name[:200]!r} {fault}")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise error(f"{where}the path {name[:200]!r} has a part {part!r}")
    return name


def safe_join(folder: Path, name: str, *, error: type[ComposerError] = BundleError) -> Path:
    """Join a folder and a relative path from elsewhere that must stay inside it."""
    path = folder
    for part in check_name(name, place=str(folder), error=error).split("/"):
        path = path / part
        if os.path.islink(path):
            raise error(f"{path} is a symbolic link; copy the file itself")
    return path
