import json
from pathlib import Path

import pytest

from composer.engine.storage.store import Store
from composer.engine.storage.timings import note_seconds, read_seconds
from composer.errors import StoreError

KEY = "0a" * 32
OTHER = "0b" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def path(store: Store) -> Path:
    return store.folder / "timings.jsonl"


def test_the_last_time_of_each_key_is_known(store: Store):
    for key, seconds in ((KEY, 1.04), (OTHER, 2), (KEY, 3.0)):
        note_seconds(store, key, seconds)
    assert read_seconds(store) == {KEY: 3.0, OTHER: 2.0}


def test_without_the_file_no_time_is_known(store: Store):
    assert read_seconds(store) == {}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"key": "0a',
        b"\0" * 40,
        b"\xff\xfe",
        b"[1]",
        b'{"key": {}, "seconds": 1}',
        b'{"key": "a", "seconds": "1"}',
        b'{"key": "a", "seconds": -1}',
        b'{"key": "a", "seconds": NaN}',
        b'{"key": "a", "seconds": 1e999}',
        b'{"key": "a", "seconds": 1' + b"0" * 400 + b"}",
        b'{"key": "a", "seconds": ' + b"9" * 5000 + b"}",
        b'{"key": "a"}',
        b"[" * 100_000,
    ],
    ids=lambda line: line[:24].decode("latin-1"),
)
def test_a_line_that_is_torn_or_no_time_is_named_and_harms_no_other(
    store: Store, path: Path, line: bytes, caplog: pytest.LogCaptureFixture
):
    note_seconds(store, KEY, 1)
    path.write_bytes(path.read_bytes() + line)  # as a power cut leaves it: with no end
    note_seconds(store, OTHER, 2)
    assert read_seconds(store) == {KEY: 1.0, OTHER: 2.0}
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}:2: not a time; the line is left out"
    ] * bool(line)


def test_a_link_is_not_written_through(store: Store, path: Path, tmp_path: Path):
    (tmp_path / "mine").write_text("mine")
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(StoreError, match=r"timings\.jsonl: .*a plain file must be there; move"):
        note_seconds(store, KEY, 1)
    with pytest.raises(StoreError, match=r"timings\.jsonl is a symbolic link"):
        read_seconds(store)
    assert (tmp_path / "mine").read_text() == "mine"


def test_lines_are_json_with_a_fixed_spelling(store: Store, path: Path):
    note_seconds(store, KEY, 93.14)
    assert path.read_text() == json.dumps({"key": KEY, "seconds": 93.1}) + "\n"
