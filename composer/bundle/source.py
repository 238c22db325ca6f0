"""Where a bundle's files are read from: a folder, or the zip of one.

    with source.open("parts/de.safetensors") as (file, size):
        ...

Nothing stays open between calls.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Protocol

from composer.bundle.files import open_regular, safe_join
from composer.errors import BundleError

PARTS = "parts"  # the one folder in a bundle
FILES_LIMIT = 20_000
CHUNK = 2**20  # bytes


class Source(Protocol):
    """A bundle's files by name, from a folder or an archive."""

    @property
    def path(self) -> Path:
        """Where it is, for messages."""

    def sizes(self) -> dict[str, int]:
        """Tell the size of every file, in bytes; names have `/` between their parts."""

    def open(self, name: str) -> AbstractContextManager[tuple[BufferedReader, int]]:
        """Open a file at its first byte, and tell how many there are to read."""


class FolderSource:
    """The files of a bundle that is a folder."""

    def __init__(self, path: Path) -> None:
        """Take a folder; nothing is read yet."""
        self.path = path

    def sizes(self) -> dict[str, int]:
        """Walk the folder; what is neither a plain file nor the folder of parts is refused."""
        found = {name: size for name, size in _walk(self.path, inner=False) if name != PARTS}
        if (self.path / PARTS).is_dir():
            inner = _walk(self.path / PARTS, inner=True)
            found.update({f"{PARTS}/{name}": size for name, size in inner})
        return dict(sorted(found.items()))

    def open(self, name: str) -> AbstractContextManager[tuple[BufferedReader, int]]:
        """Open a plain file."""
        return open_regular(safe_join(self.path, name))


def read_file(source: Source, name: str, limit: int) -> bytearray:
    """Read a file of at most `limit` bytes."""
    with source.open(name) as (file, size):
        if size > limit:
            raise BundleError(
                f"{source.path}: {name} has {size:,} bytes; at most {limit:,} are read"
            )
        data = bytearray(size)
        if file.readinto(data) != size:
            raise BundleError(f"{source.path}: {name} changed while it was read")
        return data


def chunks(source: Source, name: str) -> Iterator[bytes]:
    """Read a file in pieces, without holding it in memory."""
    with source.open(name) as (file, left):
        while left:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                raise BundleError(f"{source.path}: {name} changed while it was read")
            left -= len(chunk)
            yield chunk


def _walk(folder: Path, *, inner: bool) -> Iterator[tuple[str, int]]:
    """Tell name and size of what is in a folder, but not in its folders."""
    try:
        entries = list(islice(os.scandir(folder), FILES_LIMIT + 1))
        found = [(entry, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as fault:
        raise BundleError(f"{folder} cannot be read: {fault.strerror or fault}") from fault
    if len(found) > FILES_LIMIT:
        raise BundleError(f"{folder} has more than {FILES_LIMIT:,} files")
    for entry, status in found:
        if stat.S_ISDIR(status.st_mode) and (inner or entry.name != PARTS):
            raise BundleError(f"{folder}: the folder {entry.name!r} does not belong there")
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise BundleError(f"{folder}: {entry.name!r} is not a plain file (a link or a device)")
        yield entry.name, status.st_size
