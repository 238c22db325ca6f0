import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.bundle.files import (
    check_name,
    read_bytes,
    read_json,
    safe_join,
    sha256_file,
    unfinished_file,
    write_json,
)
from composer.errors import BundleError, StoreError


def test_what_is_written_reads_back(tmp_path: Path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "a": "ä"})
    assert read_json(tmp_path / "a.json") == {"a": "ä", "b": [1, 2.5, None]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    write_json(tmp_path / "a.json", {"old": 1})

    def write_half() -> None:
        with unfinished_file(tmp_path / "a.json") as file:
            file.write(b"{")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_value_that_cannot_be_written_leaves_the_old_file(tmp_path: Path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(StoreError, match="b: nan is not a finite number"):
        write_json(tmp_path / "a.json", {"a": 1, "b": float("nan")})
    assert read_json(tmp_path / "a.json") == {"old": 1}


def test_a_full_disk_leaves_the_old_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_json(tmp_path / "a.json", {"old": 1})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StoreError, match=r"a\.json cannot be written: No space left on device"):
        write_json(tmp_path / "a.json", {"new": 1})
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert len(list(tmp_path.iterdir())) == 1


def full_disk(handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_in_the_place_of_a_folder_is_a_store_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"a\.json cannot be written: Not a directory"):
        write_json(tmp_path / "file" / "a.json", {})


def test_a_folder_that_is_not_there_is_a_store_error(tmp_path: Path):
    with pytest.raises(StoreError, match=r"a\.json cannot be written: No such file"):
        write_json(tmp_path / "missing" / "a.json", {})


def test_a_larger_file_than_allowed_is_not_read(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x" * 11)
    with pytest.raises(BundleError, match="has 11 bytes; at most 10 are read"):
        read_bytes(tmp_path / "a", 10)


def test_the_caller_says_which_error_a_fault_is(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"[]")
    with pytest.raises(StoreError, match="must be an object"):
        read_json(tmp_path / "a", error=StoreError)
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        sha256_file(tmp_path / "missing", error=StoreError)


def make_link(place: Path) -> None:
    place.with_name("target").write_bytes(b"{}")
    place.symlink_to(place.with_name("target"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_link, "is a symbolic link"),
        (os.mkfifo, "is not a file"),
        (Path.mkdir, "is not a file"),
        (lambda place: None, "cannot be read: No such file"),
    ],
    ids=["link", "pipe", "folder", "nothing"],
)
def test_only_plain_files_are_read(make: Callable[[Path], None], message: str, tmp_path: Path):
    make(tmp_path / "a")
    with pytest.raises(BundleError, match=message):
        read_bytes(tmp_path / "a", 10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("//host/share", "is absolute"),
        ("..", "has a part '..'"),
        ("a/../../b", "has a part '..'"),
        ("./a", "has a part '.'"),
        ("a//b", "has a part ''"),
        ("a/", "has a part ''"),
        ("a\\..\\b", "has a backslash"),
        ("C:a", "has a colon"),
        ("a\nb", "has a control character"),
        ("a\x00", "has a control character"),
    ],
)
def test_a_path_that_may_leave_its_folder_is_refused(name: str, message: str, tmp_path: Path):
    with pytest.raises(BundleError, match=message.replace(".", r"\.")):
        safe_join(tmp_path, name)


def test_a_symbolic_link_on_the_way_is_refused(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert safe_join(tmp_path, "real/a") == tmp_path / "real" / "a"
    with pytest.raises(BundleError, match="link is a symbolic link"):
        safe_join(tmp_path, "link/a")


@settings(deadline=None)
@given(st.text(alphabet="./\\:ab\x00 \n~", max_size=12))
def test_what_is_accepted_stays_inside(name: str):
    try:
        check_name(name)
    except BundleError:
        return
    inside = os.path.normpath(f"/folder/{name}")
    assert inside == f"/folder/{name}"
