"""Runs on disks that are full, read-only, closed or gone, by the system's own refusal."""

import os
import re
import resource
import shutil
from pathlib import Path

import pytest

from composer.errors import StoreError
from composer.recipe.expansion.stages import Stage
from composer.train.context import StageContext
from tests.engine.attempts import attempt, check_clean, check_done
from tests.engine.disks import as_anyone, in_child, read_only, small_disk, writable_again
from tests.engine.planning.test_plan import ALL

FULL = "No space left on device; free some space and run the same command again"
READ_ONLY = "Read-only file system; make it writable, or give another place with --store FOLDER"
CLOSED = "Permission denied; make it writable, or give another place with --store FOLDER"
TOO_LARGE = "File too large; no file may be that large there (see ulimit -f); give another place"


def _on_full_disks(folder: Path, at: Path, options: list[str]) -> list[str]:
    """Run on disk after disk, and again once there is room; give the faults."""
    faults = []
    for number, option in enumerate(options):
        disk = at / str(number)
        disk.mkdir()
        small_disk(disk, option)
        _, fault = attempt(folder, disk / "store")
        check_clean(disk / "store")
        small_disk(disk, "size=10m,nr_inodes=9999")
        check_done(folder, disk / "store")
        faults.append(fault)
    return faults


def _check_full(faults: list[str]) -> None:
    for fault in filter(None, faults):
        assert FULL in fault
        assert fault.count("run the same command again") == 1
    assert faults[0]
    assert not faults[-1]  # the last disk was large enough: every smaller place was tried


def test_a_disk_that_is_full_at_any_file_leaves_nothing_half_made(folder: Path, tmp_path: Path):
    options = [f"size=1m,nr_inodes={number}" for number in (*range(2, 24, 2), 30, 44, 63, 90)]
    faults = in_child(_on_full_disks, folder, tmp_path, options)
    _check_full(faults)
    assert len({re.sub("[0-9a-f]{16,}", "…", fault) for fault in faults}) >= 8  # places


def test_a_disk_that_is_full_at_any_byte_leaves_nothing_half_made(folder: Path, tmp_path: Path):
    options = [f"size={pages * 4}k" for pages in (1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 26, 33, 80)]
    faults = in_child(_on_full_disks, folder, tmp_path, options)
    _check_full(faults)
    assert len({re.sub("[0-9a-f]{16,}", "…", fault) for fault in faults}) >= 5


@pytest.mark.slow
def test_a_disk_that_is_full_at_every_file_and_byte_leaves_nothing_half_made(
    folder: Path, tmp_path: Path
):
    for kind in ("files", "bytes"):
        (tmp_path / kind).mkdir()
    files = [f"size=1m,nr_inodes={number}" for number in range(2, 90)]
    _check_full(in_child(_on_full_disks, folder, tmp_path / "files", files))
    pages = [f"size={number * 4}k" for number in range(1, 80)]
    _check_full(in_child(_on_full_disks, folder, tmp_path / "bytes", pages))


def _on_a_disk_that_becomes_read_only(folder: Path, at: Path, stage: str) -> None:
    small_disk(at, "size=5m")
    store = at / "store"

    def during(one: Stage, context: StageContext) -> None:
        if one.name == stage:
            read_only(store)

    made, fault = attempt(folder, store, during)
    assert made == ALL[: ALL.index(stage) + 1]
    assert READ_ONLY in fault
    check_clean(store)
    before = sorted(store.rglob("*"))
    assert READ_ONLY in attempt(folder, store)[1]
    assert sorted(store.rglob("*")) == before
    writable_again(store)
    check_done(folder, store)
    read_only(store)
    assert attempt(folder, store) == ([], "")  # what is done can be read from anywhere


@pytest.mark.parametrize("stage", ["language/en", "task/domain", "bundle/home"])
def test_a_disk_that_becomes_read_only_in_a_stage_is_told_and_what_was_made_is_kept(
    folder: Path, tmp_path: Path, stage: str
):
    at = tmp_path / "disk"
    at.mkdir()
    in_child(_on_a_disk_that_becomes_read_only, folder, at, stage)


def _in_a_closed_folder(folder: Path, at: Path) -> None:
    store = at / "store"
    store.mkdir(mode=0o555)
    as_anyone()
    made, fault = attempt(folder, store)
    assert (made, fault) == ([], f"{store / 'locks'}: {CLOSED}")
    assert not list(store.iterdir())
    store.chmod(0o755)
    check_done(folder, store)


def test_a_folder_that_may_not_be_written_to_is_told_before_anything_is_run(
    folder: Path, tmp_path: Path
):
    in_child(_in_a_closed_folder, folder, tmp_path)


def _with_closed_parts(folder: Path, at: Path) -> None:
    store = at / "store"
    as_anyone()
    check_done(folder, store)
    result = next(store.glob("objects/*/*"))
    before = sorted(at.rglob("*"))
    for path in (
        *(store, store / "objects", result.parent, result, result / "result.json"),
        *(result / "manifest.json", store / "refs", store / "refs/home/task/intent.json"),
        *(store / "work", store / "timings.jsonl"),
    ):
        mode = path.stat().st_mode & 0o777
        path.chmod(0)
        made, fault = attempt(folder, store)
        path.chmod(mode)
        assert made == [], path
        assert re.search("Permission denied; make it writable", fault), path
        assert sorted(at.rglob("*")) == before
        assert attempt(folder, store) == ([], "")


def test_a_part_of_a_store_that_may_not_be_read_is_told_and_is_not_damage(
    folder: Path, tmp_path: Path
):
    in_child(_with_closed_parts, folder, tmp_path)


def _with_a_limit(folder: Path, at: Path, sizes: list[int]) -> list[str]:
    faults = []
    endless = resource.RLIM_INFINITY
    for size in sizes:
        store = at / str(size) / "store"
        store.parent.mkdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, endless))
        _, fault = attempt(folder, store)
        resource.setrlimit(resource.RLIMIT_FSIZE, (endless, endless))
        check_clean(store)
        check_done(folder, store)
        faults.append(fault)
    return faults


def test_a_file_that_is_larger_than_the_system_allows_is_told(folder: Path, tmp_path: Path):
    faults = in_child(_with_a_limit, folder, tmp_path, [0, 200, 1600, 2000, 2300, 2**20])
    assert faults[-1] == ""
    assert all(TOO_LARGE in fault for fault in faults[:-1])
    assert "home.lock" in faults[0]
    assert any("/out-" in fault for fault in faults)


def _in_a_working_folder_that_goes(folder: Path, at: Path) -> None:
    os.chdir(shutil.copytree(folder, at / "here"))
    here, store = Path(), Path(".composer")

    def during(one: Stage, context: StageContext) -> None:
        if one.name == "task/intent":
            shutil.rmtree(at / "here")

    made, fault = attempt(here, store, during)
    assert made == ALL[:3]
    assert "it vanished while it was in use; run the same command again" in fault
    os.chdir(at)
    assert not list(at.iterdir())
    check_done(folder, at / "store")


def test_a_working_folder_that_is_deleted_under_a_run_is_told(folder: Path, tmp_path: Path):
    at = tmp_path / "at"
    at.mkdir()
    in_child(_in_a_working_folder_that_goes, folder, at)


def test_a_store_that_another_run_makes_anew_gets_nothing_half_made_from_the_first(
    folder: Path, tmp_path: Path
):
    """The store is deleted under a stage, and another run is in that stage when it ends."""
    store = tmp_path / "at" / "store"
    store.parent.mkdir()
    inner: list[tuple[list[str], str]] = []

    def second(one: Stage, context: StageContext) -> None:
        if one.name == "language/en":
            (context.out / "half").write_text("of the second run")
            raise StoreError("here the first run goes on")

    def first(one: Stage, context: StageContext) -> None:
        if one.name == "language/en":
            shutil.rmtree(store)
            inner.append(attempt(folder, store, second))

    assert "it vanished while it was in use" in attempt(folder, store, first)[1]
    assert inner == [(["language/en"], "here the first run goes on")]
    assert not list(store.glob("objects/*/*"))
    assert not list(store.glob("work/*/out-*/*"))
    check_done(folder, store)
