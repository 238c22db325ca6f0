"""A bundle in one file: a zip that has exactly one spelling.

Entries are stored as they are, sorted by name, one right after another, dated 1980-01-01,
with the attributes `-rw-r--r--`; there are no comments, no extra fields, no zip64. Every
reader of zips opens it; this one reads nothing else, so a changed byte anywhere shows. As
nothing is compressed, a file is read where it lies, and nothing is unpacked.
"""

import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from composer.bundle.files import check_name, open_regular
from composer.bundle.source import CHUNK, Source, chunks
from composer.errors import BundleError, StoreError

SIZE_LIMIT = 2**32 - 1  # bytes of a zip without zip64
DIRECTORY_LIMIT = 4 * 2**20  # bytes
ENTRIES_LIMIT = 2**16 - 1

_VERSION = 20
_UNIX = 3
_DATE = 1 << 5 | 1  # 1980-01-01; the time is 0
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")


@dataclass(frozen=True, kw_only=True)
class ArchivedFile:
    """An entry of the archive.

    Attributes:
        crc: CRC-32 of its bytes.
        size: In bytes.
        start: Where its local header begins.
    """

    crc: int
    size: int
    start: int


class ArchiveSource:
    """The files of a bundle that is a zip."""

    def __init__(self, path: Path) -> None:
        """Read the directory at the zip's end, and hold every byte to it.

        Raises:
            BundleError: If the zip is not exactly what composer writes for those files.
        """
        self.path = path
        with open_regular(path) as (file, size):
            self._files = _read_directory(file, size, str(path))
            _check_spelling(file, size, self._files, str(path))

    def sizes(self) -> dict[str, int]:
        """Tell what the directory says."""
        return {name: entry.size for name, entry in self._files.items()}

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BufferedReader, int]]:
        """Open the archive where the file lies in it."""
        if name not in self._files:
            raise BundleError(f"{self.path}: {name!r} is not in it")
        entry = self._files[name]
        with open_regular(self.path) as (file, _):
            file.seek(entry.start + _LOCAL.size + len(name))
            yield file, entry.size


def write_archive(file: BinaryIO, source: Source) -> None:
    """Write all files of a bundle as one zip.

    Raises:
        StoreError: If that takes 4 GiB or more.
    """
    files: dict[str, ArchivedFile] = {}
    start = 0
    for name, size in sorted(source.sizes().items()):
        crc = 0
        for chunk in chunks(source, name):
            crc = zlib.crc32(chunk, crc)
        files[name] = ArchivedFile(crc=crc, size=size, start=start)
        start += _LOCAL.size + len(name) + size
    if start > SIZE_LIMIT - DIRECTORY_LIMIT:
        raise StoreError(f"{source.path}: {start:,} bytes are too many for one zip; use the folder")
    for name, entry in files.items():
        file.write(_local_header(name, entry))
        for chunk in chunks(source, name):
            file.write(chunk)
    file.write(_directory(files, start))


def _local_header(name: str, entry: ArchivedFile) -> bytes:
    return (
        _LOCAL.pack(
            *(b"PK\3\4", _VERSION, 0, 0, 0, _DATE),
            *(entry.crc, entry.size, entry.size, len(name), 0),
        )
        + name.encode()
    )


def _directory(files: Mapping[str, ArchivedFile], start: int) -> bytes:
    """Spell the central directory, which begins at `start`, and what ends a zip."""
    central = b"".join(
        _CENTRAL.pack(
            *(b"PK\1\2", _UNIX << 8 | _VERSION, _VERSION, 0, 0, 0, _DATE),
            *(entry.crc, entry.size, entry.size, len(name), 0, 0, 0, 0),
            *(_ATTRIBUTES, entry.start),
        )
        + name.encode()
        for name, entry in files.items()
    )
    count = len(files)
    return central + _END.pack(b"PK\5\6", 0, 0, count, count, len(central), start, 0)


def _read_directory(file: BinaryIO, size: int, place: str) -> dict[str, ArchivedFile]:
    """Read the central directory of a zip from anywhere."""
    if not _END.size <= size <= SIZE_LIMIT:
        raise BundleError(f"{place}: {size:,} bytes are no bundle")
    file.seek(size - _END.size)
    mark, _, _, _, count, length, start, _ = _END.unpack(file.read(_END.size))
    if mark != b"PK\5\6" or start + length + _END.size != size:
        raise _damaged(place, "no zip, or cut short, or with something added at its end")
    if length > DIRECTORY_LIMIT:
        raise BundleError(f"{place}: a directory of {length:,} bytes is too large")
    file.seek(start)
    central = file.read(length)
    files: dict[str, ArchivedFile] = {}
    at = 0
    while at < length:
        at, name, entry = _read_entry(central, at, place)
        if name in files:
            raise BundleError(f"{place}: {name!r} is in it twice")
        files[name] = entry
    if len(files) != count:
        raise _damaged(place, f"{count} files are declared, {len(files)} are listed")
    return files


def _read_entry(central: bytes, at: int, place: str) -> tuple[int, str, ArchivedFile]:
    if at + _CENTRAL.size > len(central) or central[at : at + 4] != b"PK\1\2":
        raise _damaged(place, "its directory is damaged")
    fields = _CENTRAL.unpack_from(central, at)
    method, (crc, packed, size, length, extra, comment) = fields[4], fields[7:13]
    attributes, start = fields[15:]
    after = at + _CENTRAL.size + length
    try:
        name = central[at + _CENTRAL.size : after].decode("ascii")
    except UnicodeDecodeError as fault:
        raise BundleError(f"{place}: the name of a file is not ASCII") from fault
    check_name(name, place=place)
    if stat.S_ISLNK(attributes >> 16):
        raise BundleError(f"{place}: {name!r} is a symbolic link")
    if method != 0 or packed != size:
        raise _damaged(place, f"{name!r} is compressed; a bundle's files are stored as is")
    return after + extra + comment, name, ArchivedFile(crc=crc, size=size, start=start)


def _check_spelling(
    file: BinaryIO, size: int, files: Mapping[str, ArchivedFile], place: str
) -> None:
    """Refuse a zip that is not, byte for byte, what composer writes for its files."""
    start = 0
    for name, entry in sorted(files.items()):
        header = _local_header(name, entry)
        file.seek(start)
        if entry.start != start or start + len(header) + entry.size > size:
            raise _damaged(place, f"{name!r} is not where it must lie")
        if file.read(len(header)) != header:
            raise _damaged(place, f"what stands before {name!r} is not as composer writes it")
        if _crc(file, entry.size) != entry.crc:
            raise _damaged(place, f"{name!r} is damaged")
        start += len(header) + entry.size
    file.seek(start)
    if file.read(DIRECTORY_LIMIT + _END.size + 1) != _directory(dict(sorted(files.items())), start):
        raise _damaged(place, "its directory is not as composer writes it")


def _damaged(place: str, what: str) -> BundleError:
    return BundleError(f"{place}: {what}; copy the bundle again, as it was exported")


def _crc(file: BinaryIO, left: int) -> int:
    crc = 0
    while left:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            return -1
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
    return crc
