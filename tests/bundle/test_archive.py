import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.bundle.archive import ArchiveSource
from composer.bundle.reader import open_bundle
from composer.bundle.source import read_file
from composer.bundle.writer import pack_bundle
from composer.errors import BundleError
from tests.bundle.content import make_bundle

DATE = (1980, 1, 1, 0, 0, 0)
Entries = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    make_bundle(folder / "home")
    pack_bundle(folder / "home", folder / "home.zip")
    return folder / "home.zip"


def entry(name: str, *, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.external_attr = mode << 16
    info.create_system = 3
    return info


def make_zip(path: Path, entries: Entries, *, comment: bytes = b"") -> None:
    """Write a zip with Python's own library."""
    with zipfile.ZipFile(path, "w") as file:
        for info, data in entries:
            file.writestr(info, data, info.compress_type)
        file.comment = comment


def entries_of(packed: Path) -> Entries:
    with zipfile.ZipFile(packed) as file:
        return [(entry(name), file.read(name)) for name in sorted(file.namelist())]


def test_other_readers_of_zips_read_it(packed: Path):
    with zipfile.ZipFile(packed) as file:
        assert file.testzip() is None
        assert file.namelist() == sorted(file.namelist())
        infos = file.infolist()
        assert {info.date_time for info in infos} == {DATE}
        assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
        assert {info.external_attr >> 16 for info in infos} == {stat.S_IFREG | 0o644}
        source = ArchiveSource(packed)
        assert {info.filename: info.file_size for info in infos} == source.sizes()
        for info in infos:
            assert read_file(source, info.filename, 10**6) == file.read(info)


def test_the_spelling_is_that_of_pythons_library(packed: Path, tmp_path: Path):
    make_zip(tmp_path / "x.zip", entries_of(packed))
    assert (tmp_path / "x.zip").read_bytes() == packed.read_bytes()


def compressed(entries: Entries) -> Entries:
    entries[0][0].compress_type = zipfile.ZIP_DEFLATED
    return [(entries[0][0], bytes(10**7)), *entries[1:]]


def dated(entries: Entries) -> Entries:
    entries[0][0].date_time = (2024, 1, 1, 0, 0, 0)
    return entries


def linked(entries: Entries) -> Entries:
    return [*entries[:-1], (entry("tokenizer.json", mode=stat.S_IFLNK | 0o777), b"/etc/passwd")]


def commented(entries: Entries) -> Entries:
    entries[0][0].comment = b"hello"
    return entries


def padded(entries: Entries) -> Entries:
    entries[0][0].extra = struct.pack("<2H", 0x9999, 0)
    return entries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: [*entries, (entry("../x"), b"x")], r"'\.\./x' has a part '\.\.'"),
        (lambda entries: [*entries, (entry("/etc/x"), b"x")], "'/etc/x' is absolute"),
        (lambda entries: [*entries, (entry("a\\b"), b"x")], "has a backslash"),
        (lambda entries: [*entries, (entry("C:x"), b"x")], "has a colon"),
        (lambda entries: [*entries, (entry("parts/"), b"")], "has a part ''"),
        (lambda entries: [*entries, (entry("é"), b"x")], "is not ASCII"),
        (linked, "'tokenizer.json' is a symbolic link"),
        (compressed, "'backbone.json' is compressed"),
        (dated, "what stands before 'backbone.json' is not as composer writes it"),
        (padded, "what stands before 'backbone.json' is not as composer writes it"),
        (commented, "its directory is not as composer writes it"),
        (lambda entries: entries[::-1], "is not where it must lie"),
    ],
    ids=range(12),
)
def test_a_zip_that_is_not_as_composer_writes_it_is_refused(
    change: Callable[[Entries], Entries], message: str, packed: Path, tmp_path: Path
):
    make_zip(tmp_path / "x.zip", change(entries_of(packed)))
    with pytest.raises(BundleError, match=message):
        ArchiveSource(tmp_path / "x.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(packed: Path, tmp_path: Path):
    entries = entries_of(packed)
    make_zip(tmp_path / "x.zip", [*entries, entries[0]])
    with pytest.raises(BundleError, match="'backbone.json' is in it twice"):
        ArchiveSource(tmp_path / "x.zip")


def repeat_directory(data: bytes) -> bytes:
    """Let one stretch of bytes be a thousand files, as a zip bomb does."""
    start, count = data.rindex(b"PK\5\6"), 1000
    first = struct.unpack_from("<L", data, start + 16)[0]
    length = data.index(b"PK\1\2", first + 4) - first
    record = data[first : first + length]
    name = record.index(b"backbone.json")
    records = b"".join(
        record[:name] + f"c{number:07}.json".encode() + record[name + 13 :]
        for number in range(1, count)
    )
    records = record + records
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(records), first, 0)
    return data[:first] + records + end


def other_crc(data: bytes) -> bytes:
    """Change the checksum of the first file in both places where it stands."""
    return data.replace(data[14:18], b"\1\2\3\4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_crc, "'backbone.json' is damaged"),
        (lambda data: data + b"x", "something added at its end"),
        (lambda data: b"x" + data, "something added at its end"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[: len(data) // 2], "cut short"),
        (lambda data: b"", "0 bytes are no bundle"),
        (lambda data: bytes(22), "no zip"),
        (lambda data: b"PK\5\6" + bytes(18), "is no bundle"),
        (repeat_directory, "'c0000001.json' is not where it must lie"),
    ],
    ids=range(9),
)
def test_damaged_ends_and_overlaps_are_refused(
    change: Callable[[bytes], bytes], message: str, packed: Path, tmp_path: Path
):
    (tmp_path / "x.zip").write_bytes(change(packed.read_bytes()))
    with pytest.raises(BundleError, match=message):
        open_bundle(tmp_path / "x.zip")


def test_a_zip_with_a_comment_is_refused(packed: Path, tmp_path: Path):
    make_zip(tmp_path / "x.zip", entries_of(packed), comment=b"hello")
    with pytest.raises(BundleError, match="something added at its end"):
        ArchiveSource(tmp_path / "x.zip")


def test_a_file_that_is_not_in_it_is_named(packed: Path):
    source = ArchiveSource(packed)
    with pytest.raises(BundleError, match="'x' is not in it"):
        read_file(source, "x", 10)


def test_an_archive_of_links_is_not_followed(packed: Path, tmp_path: Path):
    (tmp_path / "x.zip").symlink_to(packed)
    with pytest.raises(BundleError, match="is a symbolic link"):
        ArchiveSource(tmp_path / "x.zip")
