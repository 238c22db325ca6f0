import errno
import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.engine.storage.faults import DamagedError
from composer.engine.storage.store import Store
from composer.errors import StoreError

KEY = "0a" * 32
OTHER = "0b" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fill(store: Store, key: str = KEY, text: str = "weights") -> None:
    """Do a stage's work up to the moment before it is published."""
    work = store.begin(key)
    (work.checkpoint / "state").write_text("half")
    (work.out / "adapter.safetensors").write_text(text)
    (work.out / "bundle").mkdir()
    (work.out / "bundle" / "part.json").write_text("{}")


def publish(store: Store, key: str = KEY, text: str = "weights") -> Path:
    fill(store, key, text)
    return store.publish(key, kind="task", stage={"settings": 1}).folder


def append_space(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def test_what_is_published_is_found_with_every_file_and_what_made_it(store: Store):
    folder = publish(store)
    found = store.open(KEY)
    assert found is not None
    assert found.folder == folder == store.find(KEY)
    assert list(found.manifest.files) == ["adapter.safetensors", "bundle/part.json"]
    assert found.manifest.sizes == {"adapter.safetensors": 7, "bundle/part.json": 2}
    assert found.manifest.stage == {"settings": 1}
    assert found.manifest.bytes == 9


def test_an_unknown_key_is_not_found_and_nothing_is_written_by_looking(store: Store):
    assert store.find(KEY) is None
    assert store.peek(KEY) is None
    assert store.open(KEY) is None
    assert not store.folder.exists()


def test_the_same_work_is_published_with_the_same_bytes(tmp_path: Path):
    one, other = (publish(Store(tmp_path / name)) for name in "ab")
    assert (one / "manifest.json").read_bytes() == (other / "manifest.json").read_bytes()


def test_the_digest_of_outputs_depends_on_files_and_not_on_what_made_them(store: Store):
    fill(store)
    one = store.publish(KEY, kind="task", stage={"name": "a"}).manifest
    fill(store, OTHER)
    same = store.publish(OTHER, kind="task", stage={"name": "b"}).manifest
    assert one.output_digest == same.output_digest
    publish(store, "0c" * 32, text="others")
    third = store.peek("0c" * 32)
    assert third is not None
    assert third.output_digest != one.output_digest


def test_a_checkpoint_outlives_the_run_and_goes_with_publication(store: Store):
    fill(store)
    again = store.begin(KEY)
    assert again.resumed
    assert (again.checkpoint / "state").read_text() == "half"
    assert list(again.out.iterdir()) == []
    assert store.has_work(KEY)
    publish(store)
    assert not store.has_work(KEY)
    assert not store.begin(OTHER).resumed


def test_the_first_of_two_publications_is_kept(store: Store, tmp_path: Path):
    elsewhere = Store(tmp_path / "elsewhere")
    publish(elsewhere, text="first")
    fill(store, text="second")
    shutil.copytree(elsewhere.folder / "objects", store.folder / "objects", dirs_exist_ok=True)
    second = store.publish(KEY, kind="task", stage={"settings": 1})
    assert (second.folder / "adapter.safetensors").read_text() == "first"
    assert not store.has_work(KEY)


@pytest.mark.parametrize("name", ["adapter.safetensors", "bundle/part.json", "manifest.json"])
def test_any_changed_byte_is_found_and_the_stage_can_be_made_again(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
):
    path = publish(store) / name
    data = bytearray(path.read_bytes())
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        assert store.open(KEY) is None, f"byte {place}"
    assert "this result is not used" in caplog.text
    publish(store)
    assert store.open(KEY) is not None
    assert len(list((store.folder / "damaged").iterdir())) == 1


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (lambda folder: (folder / "adapter.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / "extra").write_text(""), "does not belong here"),
        (lambda folder: (folder / "adapter.safetensors").write_text("w"), "has 1 bytes, not 7"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "neither a plain file"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "must be an object"),
        (lambda folder: (folder / "manifest.json").write_text(""), "line 1"),
        (lambda folder: append_space(folder / "manifest.json"), "its digest is another"),
    ],
)
def test_a_damaged_result_is_not_used_and_the_log_says_why(
    store: Store,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path], object],
    fault: str,
):
    harm(publish(store))
    assert store.open(KEY) is None
    assert fault in caplog.text


def test_a_result_under_another_key_is_not_used(store: Store):
    folder = publish(store)
    other = store.folder / "objects" / OTHER[:2] / OTHER
    other.parent.mkdir(exist_ok=True)
    shutil.copytree(folder, other)
    with pytest.raises(DamagedError, match="another key"):
        store.peek(OTHER)
    assert store.open(OTHER) is None


def test_files_that_a_desktop_leaves_do_no_harm(store: Store):
    (publish(store) / ".DS_Store").write_text("seen")
    assert store.open(KEY) is not None


def test_a_stage_that_leaves_a_link_is_not_published(store: Store):
    fill(store)
    (out,) = (store.folder / "work" / KEY).glob("out-*")
    (out / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="neither a plain file nor a folder"):
        store.publish(KEY, kind="task", stage={})
    assert store.find(KEY) is None


@pytest.mark.parametrize("key", ["", "..", "0A" * 32, "0a" * 31, "../" + "0a" * 31])
def test_what_is_no_key_leads_nowhere(store: Store, key: str):
    with pytest.raises(StoreError, match="is no key"):
        store.find(key)


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def test_killed_at_any_step_a_result_is_whole_or_absent_and_then_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = publish(Store(tmp_path / "whole"))
    reached = 0
    for step in range(1, 100):
        store = Store(tmp_path / str(step))
        fill(store)
        with monkeypatch.context() as patch:
            _kill_at(patch, step)
            try:
                store.publish(KEY, kind="task", stage={"settings": 1})
            except Killed:
                reached = step
        found = store.open(KEY)
        if found is None:
            assert store.find(KEY) is None
            assert store.begin(KEY).resumed  # the checkpoint is still there
            publish(store)
            found = store.open(KEY)
        assert found is not None
        store.discard(KEY)
        for name in ("manifest.json", "adapter.safetensors"):
            assert (found.folder / name).read_bytes() == (whole / name).read_bytes()
        if reached < step:
            break
    assert reached >= 8  # two files, folders, the manifest, two renames


def _kill_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let nothing happen at call number `step` of those that put things on disk, and after."""
    count = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count >= step:
                raise Killed
            return original(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "rename"):
        patch.setattr(os, name, counted(getattr(os, name)))


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space and run the same command again"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "make it writable, or give another place with --store FOLDER"),
        (errno.EACCES, "make it writable, or give another place with --store FOLDER"),
        (errno.ENOENT, "vanished while it was in use"),
        (errno.EIO, "run the same command again when that is mended"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace", "rename", "mkdir"])
def test_a_fault_of_the_disk_names_path_cause_and_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int, remedy: str
):
    fill(store)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, _refuse(number))
        if call == "mkdir":
            patch.setattr(Path, "mkdir", _refuse(number))
        with pytest.raises(StoreError) as caught:
            store.publish(KEY, kind="task", stage={})
    assert str(store.folder) in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    assert str(caught.value).count(remedy) == 1
    assert store.find(KEY) is None
    assert publish(store)


def _refuse(number: int) -> Callable[..., object]:
    def call(*args: object, **kwargs: object) -> object:
        raise OSError(number, os.strerror(number))

    return call


def test_a_store_that_is_a_file_says_so(tmp_path: Path):
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match=r"give another place with --store FOLDER"):
        Store(tmp_path / "store").begin(KEY)


def test_a_file_that_may_not_be_read_is_told_and_is_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    publish(store)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", _refuse(errno.EACCES))
        with pytest.raises(StoreError, match="Permission denied; make it writable"):
            store.open(KEY)
    assert store.open(KEY) is not None


def test_a_folder_that_vanishes_at_work_is_told(store: Store):
    fill(store)
    shutil.rmtree(store.folder)
    with pytest.raises(StoreError, match="vanished while it was in use"):
        store.publish(KEY, kind="task", stage={})


def _hold(folder: Path, ready: object, seconds: float) -> None:
    with Store(folder).lock(KEY):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


def test_a_key_has_one_worker_and_the_next_one_waits(store: Store):
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=_hold, args=(store.folder, ready, 1.0))
    process.start()
    assert ready.wait(20)
    waited: list[int] = []
    with store.lock(KEY, waiting=lambda: waited.append(1)):
        pass
    process.join()
    assert waited


def test_who_waits_may_stop_waiting(store: Store):
    def stop() -> None:
        raise Killed

    with store.lock(KEY), pytest.raises(Killed), Store(store.folder).lock(KEY, waiting=stop):
        pass


def test_a_lock_is_free_again_after_a_fault(store: Store):
    with pytest.raises(Killed), store.lock(KEY):
        raise Killed
    with store.lock(KEY, waiting=pytest.fail):
        pass


def test_nothing_is_logged_about_a_result_that_is_whole(
    store: Store, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, logger="composer")
    publish(store)
    assert store.open(KEY) is not None
    assert not caplog.records
