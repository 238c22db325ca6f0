"""Zips as attackers make them: bombs, names that lead out, bytes that other readers overlook."""

import io
import shutil
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.bundle.reader import open_bundle
from composer.bundle.writer import pack_bundle
from composer.errors import BundleError
from tests.bundle.content import make_bundle

DATE = (1980, 1, 1, 0, 0, 0)
REMEDY = "; copy the bundle again"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    make_bundle(folder / "home")
    pack_bundle(folder / "home", folder / "home.zip")
    return folder / "home.zip"


def rezipped(packed: Path, *more: tuple[zipfile.ZipInfo, bytes], **options: object) -> bytes:
    """Zip the same files with Python's own library, and some more."""
    data = io.BytesIO()
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(data, "w", **options) as new:
        for name in sorted(old.namelist()):
            new.writestr(entry(name, new.compression), old.read(name))
        for info, content in more:
            new.writestr(info, content)
    return data.getvalue()


def entry(
    name: str, compression: int = zipfile.ZIP_STORED, mode: int = stat.S_IFREG | 0o644
) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.external_attr, info.create_system, info.compress_type = mode << 16, 3, compression
    return info


def deflated_bomb(packed: Path) -> bytes:
    """Hold a hundred megabytes of zeros in a hundred kilobytes."""
    bomb = entry("zeros.json", zipfile.ZIP_DEFLATED)
    return rezipped(packed, (bomb, bytes(10**8)))


def nested_bomb(packed: Path) -> bytes:
    """Hold a zip in a zip in a zip."""
    inner = deflated_bomb(packed)
    for number in range(3):
        inner = rezipped(packed, (entry(f"z{number}.json"), inner))
    return inner


def overlapping_bomb(packed: Path) -> bytes:
    """Let ten thousand files be one stretch of bytes (Fifield, 2019)."""
    name, content = "0.json", bytes(1000)
    local = struct.pack(
        "<4s5H3L2H",
        *(b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(content), len(content), len(content), len(name)),
        0,
    )
    body, count = local + name.encode() + content, 10_000
    central = b""
    for number in range(count):
        other = f"{number}.json".encode()
        central += struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", 0x314, 20, 0, 0, 0, 33, zlib.crc32(content), len(content), len(content)),
            *(len(other), 0, 0, 0, 0, (stat.S_IFREG | 0o644) << 16, 0),
        )
        central += other
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), len(body), 0)
    return body + central + end


def zip64(packed: Path) -> bytes:
    """Say sizes in the fields of zip64, as a reader that knows it would take them."""
    data = io.BytesIO()
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(data, "w") as new:
        for name in sorted(old.namelist()):
            with new.open(entry(name), "w", force_zip64=True) as file:
                file.write(old.read(name))
    return data.getvalue()


def zip64_end(packed: Path) -> bytes:
    """Put zip64's two records before the end, and nothing but ones into it."""
    data = packed.read_bytes()
    at = data.rindex(b"PK\5\6")
    length, start = struct.unpack_from("<2L", data, at + 12)
    more = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 8, 8, length, start)
    more += struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", *[2**16 - 1] * 4, *[2**32 - 1] * 2, 0)
    return data[:at] + more + end


def changed(field: str, value: int) -> Callable[[Path], bytes]:
    """Change one number of the first file's entry in the directory."""
    at, form = {
        "flags": (8, "<H"),
        "method": (10, "<H"),
        "packed": (20, "<L"),
        "size": (24, "<L"),
        "name": (28, "<H"),
        "extra": (30, "<H"),
        "comment": (32, "<H"),
        "start": (42, "<L"),
    }[field]

    def change(packed: Path) -> bytes:
        data = bytearray(packed.read_bytes())
        struct.pack_into(form, data, data.index(b"PK\1\2") + at, value)
        return bytes(data)

    return change


def ended(field: str, value: int) -> Callable[[Path], bytes]:
    """Change one number of what ends the zip."""
    at, form = {"count": (10, "<H"), "length": (12, "<L"), "start": (16, "<L")}[field]

    def change(packed: Path) -> bytes:
        data = bytearray(packed.read_bytes())
        struct.pack_into(form, data, data.rindex(b"PK\5\6") + at, value)
        return bytes(data)

    return change


def local_name(packed: Path) -> bytes:
    """Name a file otherwise where it lies than in the directory."""
    data = bytearray(packed.read_bytes())
    at = data.rindex(b"tokenizer.json", 0, data.index(b"PK\1\2"))
    data[at : at + 14] = b"../../etc/name"
    return bytes(data)


def commented_end(packed: Path) -> bytes:
    data = packed.read_bytes()
    return data[:-2] + struct.pack("<H", 5) + b"hello"


def second_directory(packed: Path) -> bytes:
    """Append another zip: readers that look for the last end see that one alone."""
    return packed.read_bytes() + rezipped(packed)


ATTACKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "out of the folder": (
        lambda p: rezipped(p, (entry("../x"), b"")),
        r"'\.\./x' has a part '\.\.'",
    ),
    "deep out of it": (lambda p: rezipped(p, (entry("parts/../../x"), b"")), r"has a part '\.\.'"),
    "absolute": (lambda p: rezipped(p, (entry("/tmp/x"), b"")), "'/tmp/x' is absolute"),
    "a drive": (lambda p: rezipped(p, (entry("C:/x"), b"")), "has a colon"),
    "a share": (lambda p: rezipped(p, (entry("//host/x"), b"")), "is absolute"),
    "a backslash": (lambda p: rezipped(p, (entry("..\\x"), b"")), "has a backslash"),
    "a control character": (lambda p: rezipped(p, (entry("a\x1b[2Jb"), b"")), r"'a\\x1b\[2Jb' has"),
    "a folder": (lambda p: rezipped(p, (entry("more/"), b"")), "has a part ''"),
    "a link": (
        lambda p: rezipped(p, (entry("x.json", mode=stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "'x.json' is a symbolic link",
    ),
    "a pipe": (
        lambda p: rezipped(p, (entry("x.json", mode=stat.S_IFIFO | 0o644), b"")),
        "its directory is not as composer writes it",
    ),
    "a program": (
        lambda p: rezipped(p, (entry("x.json", mode=stat.S_IFREG | 0o4755), b"")),
        "its directory is not as composer writes it",
    ),
    "a file more": (
        lambda p: rezipped(p, (entry("x.json"), b"1")),
        "'x.json' is in it, but not in",
    ),
    "a pickle": (
        lambda p: rezipped(p, (entry("x.bin"), b"\x80\x04.")),
        "'x.bin' is in it, but not",
    ),
    "deflated": (lambda p: rezipped(p, compression=zipfile.ZIP_DEFLATED), "is compressed"),
    "bzip2": (lambda p: rezipped(p, compression=zipfile.ZIP_BZIP2), "is compressed"),
    "deflated bomb": (deflated_bomb, "'zeros.json' is compressed"),
    "nested bomb": (nested_bomb, "'z2.json' is in it, but not in its manifest"),
    "overlapping bomb": (overlapping_bomb, "'1.json' is not where it must lie|what stands before"),
    "zip64": (zip64, "what stands before 'backbone.json'"),
    "zip64's end": (zip64_end, "no zip, or cut short, or with something added"),
    "a comment": (commented_end, "no zip, or cut short, or with something added"),
    "something before": (lambda p: b"#!/bin/sh\n" + p.read_bytes(), "no zip, or cut short"),
    "something behind": (lambda p: p.read_bytes() + b"\n", "no zip, or cut short"),
    "a second zip behind": (second_directory, "no zip, or cut short|is not where it must lie"),
    "cut": (lambda p: p.read_bytes()[:-30], "no zip, or cut short"),
    "another name inside": (local_name, "what stands before 'tokenizer.json' is not as composer"),
    "encrypted": (changed("flags", 1), "its directory is not as composer writes it"),
    "method": (changed("method", 99), "is compressed"),
    "packed": (changed("packed", 1), "is compressed"),
    "size": (changed("size", 2**32 - 1), "is compressed"),
    "name": (changed("name", 2**16 - 1), "its directory is damaged|has a|not ASCII"),
    "extra": (changed("extra", 2**16 - 1), "8 files are declared, 1 are listed"),
    "comment of a file": (changed("comment", 2**16 - 1), "8 files are declared, 1 are listed"),
    "start": (changed("start", 2**32 - 1), "'backbone.json' is not where it must lie"),
    "count": (ended("count", 2**16 - 1), "65535 files are declared, 8 are listed"),
    "length": (ended("length", 2**32 - 1), "no zip, or cut short"),
    "start of the directory": (ended("start", 0), "no zip, or cut short"),
}


@pytest.mark.parametrize(("change", "message"), ATTACKS.values(), ids=ATTACKS)
def test_a_zip_that_attacks_is_refused_unpacked(
    change: Callable[[Path], bytes], message: str, packed: Path, tmp_path: Path
):
    data = change(packed)
    path = tmp_path / "deep" / "x.zip"
    path.parent.mkdir()
    path.write_bytes(data)
    del data
    tracemalloc.start()
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16 * 2**20  # a directory of at most 4 MiB, and pieces of 1 MiB
    assert str(caught.value).startswith(str(path))
    assert [one.name for one in tmp_path.rglob("*")] == ["deep", "x.zip"]


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.9, 0.99, 1.0])
def test_a_damaged_zip_says_what_to_do(at: float, packed: Path, tmp_path: Path):
    data = bytearray(packed.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(BundleError, match=REMEDY):
        open_bundle(tmp_path / "x.zip")


def test_a_directory_of_more_than_four_megabytes_is_refused_unread(packed: Path, tmp_path: Path):
    filler = bytes(5 * 2**20)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(filler), 0, 0)
    (tmp_path / "x.zip").write_bytes(filler + end)
    with pytest.raises(BundleError, match="a directory of 5,242,880 bytes is too large"):
        open_bundle(tmp_path / "x.zip")


def test_an_opened_zip_that_another_takes_the_place_of_is_refused(packed: Path, tmp_path: Path):
    path = Path(shutil.copy(packed, tmp_path / "home.zip"))
    bundle = open_bundle(path)
    path.write_bytes(b"x" * (path.stat().st_size - 5) + b"PK\5\6x")
    with pytest.raises(BundleError, match="parts/intent.safetensors is damaged"):
        bundle.read_part("intent")
    path.write_bytes(b"")
    with pytest.raises(BundleError, match="changed while it was read"):
        bundle.read_part("intent")
