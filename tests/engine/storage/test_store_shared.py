"""A store that hosts share, on a folder they mount; `test_store_s3` repeats the heart of it."""

import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from composer.engine.storage.faults import LostLeaseError
from composer.engine.storage.leases import is_leased, take_lease
from composer.engine.storage.refs import all_refs, get_ref, resolve, set_ref
from composer.engine.storage.remote import open_remote
from composer.engine.storage.shared import SharedStore, working_folder
from composer.engine.storage.store import Store, open_store
from composer.engine.storage.timings import note_seconds, read_measured
from composer.errors import RecipeError, StoreError
from tests.engine.hosts import EXPIRY, KEY, OTHER, Host, did, kill_at, make, run_child

FORK = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/shared"


@pytest.fixture
def one(url: str, tmp_path: Path) -> Host:
    return Host(url, tmp_path / "one")


@pytest.fixture
def two(url: str, tmp_path: Path) -> Host:
    return Host(url, tmp_path / "two")


def objects(url: str, prefix: str = "") -> list[str]:
    return sorted(open_remote(url).list(prefix))


def test_what_one_host_publishes_another_one_finds_whole(one: Host, two: Host):
    folder = make(one.store())
    found = two.store().open(KEY)
    assert found is not None
    assert found.folder != folder
    for path in folder.rglob("*.*"):
        assert (found.folder / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert two.store().find(KEY) == found.folder
    assert make(two.store(), text="others") == found.folder


def test_looking_at_a_result_fetches_its_small_files_only(one: Host, two: Host):
    make(one.store())
    store = two.store()
    manifest = store.peek(KEY, contents=".json")
    folder = store.find(KEY)
    assert manifest is not None
    assert folder is not None
    assert sorted(path.name for path in folder.rglob("*.*")) == ["manifest.json", "training.json"]
    assert not [line for line in did(store) if "weights" in line]
    assert store.peek(OTHER) is None
    assert store.find(OTHER) is None
    assert store.open(OTHER) is None


def test_looking_for_a_thousand_keys_asks_for_one_list(one: Host):
    store = one.store()
    assert all(store.find(f"{number:064x}") is None for number in range(1000))
    assert len(did(store)) < 5


def test_a_store_is_opened_again_by_its_place_and_may_be_pickled(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COMPOSER_CACHE", str(tmp_path / "cache"))
    shared = open_store(url)
    again = pickle.loads(pickle.dumps(shared))
    assert isinstance(again, SharedStore)
    assert again.place == shared.place == url
    assert again.folder == shared.folder == working_folder(url)
    local = pickle.loads(pickle.dumps(open_store(tmp_path / "local")))
    assert type(local) is Store
    assert local.folder == tmp_path / "local"
    assert not (tmp_path / "cache").exists()  # nothing is written by opening


def test_the_result_of_other_bytes_that_comes_second_is_not_published(one: Host, two: Host):
    first, second = one.store(), two.store()
    work = second.begin(KEY)
    (work.out / "result").write_text("late")
    folder = make(first)
    published = second.publish(KEY, kind="task", stage={})
    assert sorted(path.name for path in published.folder.iterdir()) == [
        "adapter",
        "manifest.json",
        "training.json",
    ]
    assert (published.folder / "manifest.json").read_bytes() == (
        folder / "manifest.json"
    ).read_bytes()
    assert objects(first.url, "manifests/") == [f"manifests/{KEY}.json"]


@pytest.mark.parametrize("name", ["adapter/weights.bin", "training.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["truncated", "changed", "gone"])
def test_a_damaged_object_is_never_used_and_the_result_is_made_again_elsewhere(
    one: Host, two: Host, url: str, name: str, harm: str, caplog: pytest.LogCaptureFixture
):
    make(one.store())
    (there,) = [
        at
        for at in objects(url)
        if at.endswith(name)
        or f"/{KEY}.json" in f"{at}{name}"
        and name == "manifest.json"
        and at.startswith("manifests/")
    ]
    path = Path(url.removeprefix("file://")) / there
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:5] if harm == "truncated" else bytes([data[0] ^ 1]) + data[1:])
    store = two.store()
    assert store.open(KEY) is None
    if (name, harm) != ("manifest.json", "gone"):
        assert "this result is not used" in caplog.text
    make(store, text="again")
    found = Host(url, two.folder.with_name("three")).store().open(KEY)
    assert found is not None
    assert "again" in (found.folder / "training.json").read_text()


def test_a_damaged_working_copy_is_fetched_again(one: Host, two: Host):
    folder = make(one.store())
    whole = two.store().open(KEY)
    assert whole is not None
    for copy in (whole.folder, folder):
        (copy / "adapter" / "weights.bin").write_text("spoilt")
    for host in (one, two):
        again = host.store().open(KEY)
        assert again is not None
        assert (again.folder / "adapter" / "weights.bin").read_text() == "weights" * 10


def test_what_is_gone_at_the_url_and_whole_on_a_host_is_put_back_not_made_again(
    one: Host, two: Host, url: str
):
    make(one.store())
    remote = open_remote(url)
    remote.remove(objects(url))
    assert one.store().open(KEY) is None
    make(one.store(), text="made again")
    found = two.store().open(KEY)
    assert found is not None
    assert "made again" not in (found.folder / "training.json").read_text()


def test_labels_are_seen_by_other_hosts_and_go_when_they_are_removed(
    one: Host, two: Host, url: str
):
    first = one.store()
    make(first)
    set_ref(first, "home", "task/intent", KEY, about={"command": "composer run home.yaml"})
    assert resolve(two.store(), "intent").key == KEY
    assert get_ref(two.store(), "home", "task/intent") == get_ref(first, "home", "task/intent")
    open_remote(url).remove(["refs/home/task/intent.json"])
    os.utime(two.folder / "refs/home/task/intent.json", (1, 1))
    assert all_refs(two.store()) == []


def test_times_of_all_hosts_are_known_to_all(one: Host, two: Host):
    first, second = one.store(), two.store()
    assert read_measured(first) == read_measured(second) == {}
    note_seconds(first, KEY, 3.0)
    note_seconds(second, OTHER, 5.0)
    assert read_measured(one.store()).keys() == read_measured(two.store()).keys() == {KEY, OTHER}
    assert len((two.folder / "timings.jsonl").read_text().splitlines()) == 2


def test_a_label_with_a_hostile_name_is_left_where_it_is(
    one: Host, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = one.store()
    store.remote.write("refs/home/x.json", b"{}")
    listed = store.remote.list("refs/")
    hostile = {"refs/../../escaped.json": listed["refs/home/x.json"]}
    monkeypatch.setattr(store.remote, "list", lambda prefix: hostile)
    store.refresh("refs")
    assert not list(tmp_path.rglob("escaped.json"))


def test_of_two_hosts_one_works_and_the_other_waits_and_uses_what_it_made(one: Host, two: Host):
    begun, waited = threading.Event(), threading.Event()
    store = one.store()

    def first() -> None:
        with store.lock(KEY):
            begun.set()
            assert waited.wait(20)
            make(store, lock=False)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(20)
    second = two.store()
    with second.lock(KEY, waiting=waited.set):
        thread.join()
        found = second.open(KEY)
    assert waited.is_set()
    assert found is not None
    assert objects(store.url, "leases/") == []


def test_a_failed_stage_lets_go_at_once(one: Host, two: Host):
    with pytest.raises(RuntimeError), one.store().lock(KEY):
        raise RuntimeError
    with two.store().lock(KEY, waiting=pytest.fail):
        pass


def test_who_waits_for_another_host_may_stop_waiting(one: Host, two: Host):
    def stop() -> None:
        raise KeyboardInterrupt

    with one.store().lock(KEY):
        with pytest.raises(KeyboardInterrupt), two.store().lock(KEY, waiting=stop):
            pass
        assert is_leased(open_remote(one.url), KEY)


def test_a_worker_that_is_not_heard_of_is_taken_over_from_and_publishes_nothing(
    one: Host, two: Host, url: str
):
    sleeper = one.store()
    with sleeper.lock(KEY):
        work = sleeper.begin(KEY)
        (work.out / "result").write_text("of the sleeper")
        sleeper._leases[KEY]._stop.set()  # as a host that is suspended
        waited: list[float] = []
        with two.store().lock(KEY, waiting=lambda: waited.append(time.monotonic())):
            assert waited[-1] - waited[0] > EXPIRY / 2  # never sooner than it promised
            with pytest.raises(LostLeaseError, match=r"another worker took over 0a0a0a0a0a0a"):
                sleeper.publish(KEY, kind="task", stage={})
            assert objects(url, "manifests/") == []
            make(two.store(), lock=False)
    found = one.store().open(KEY)
    assert found is not None
    assert not (found.folder / "result").exists()


def test_a_sleeper_that_wakes_up_between_check_and_manifest_cannot_publish_a_second_time(
    one: Host, two: Host, url: str
):
    def other_host_is_quicker(line: str) -> None:
        if line == f"create manifests/{KEY}.json":
            make(two.store(), text="of the other host", lock=False)

    sleeper = one.store(other_host_is_quicker)
    with sleeper.lock(KEY):
        folder = make(sleeper, text="of the sleeper", lock=False)
    assert "of the other host" in (folder / "training.json").read_text()
    assert objects(url, "manifests/") == [f"manifests/{KEY}.json"]
    third = Host(url, two.folder.with_name("three")).store().open(KEY)
    assert third is not None
    assert "of the other host" in (third.folder / "training.json").read_text()


def test_clocks_of_hosts_are_never_asked(one: Host, two: Host, monkeypatch: pytest.MonkeyPatch):
    with one.store().lock(KEY):
        monkeypatch.setattr(time, "time", lambda: 4e9)  # a hundred years ahead
        waits = 0

        def wait() -> None:
            nonlocal waits
            waits += 1
            if waits == 30:  # twice the time after which a silent holder is taken over from
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), two.store().lock(KEY, waiting=wait):
            pass


def test_a_list_that_lags_behind_gives_no_lease_twice(
    url: str, one: Host, monkeypatch: pytest.MonkeyPatch
):
    remote = open_remote(url)
    leases = [take_lease(remote, KEY, waiting=pytest.fail)]
    leases[0]._stop.set()
    leases.append(take_lease(remote, KEY, waiting=lambda: None, dead=leases[0].token))
    assert [lease.number for lease in leases] == [1, 2]
    liar = open_remote(url)
    monkeypatch.setattr(liar, "list", lambda prefix: {})

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_lease(liar, KEY, waiting=stop)
    leases[1].check()
    for lease in leases:
        lease.release()


@FORK
def test_a_host_goes_on_at_once_where_its_own_process_was_killed(one: Host, url: str):
    def killed() -> None:
        store = one.store()
        with store.lock(KEY):
            work = store.begin(KEY)
            (work.checkpoint / "training").write_text("step 3")
            os.kill(os.getpid(), 9)

    assert run_child(killed) == -9
    store = one.store()
    with store.lock(KEY, waiting=pytest.fail):
        assert store.begin(KEY).resumed


@FORK
def test_another_host_goes_on_from_the_checkpoint_of_one_that_was_killed(
    one: Host, two: Host, url: str
):
    def killed() -> None:
        store = one.store(send_every=0)
        with store.lock(KEY):
            work = store.begin(KEY)
            part = work.checkpoint / "training.part"
            for step in range(1, 4):
                part.write_text(f"step {step}")
                did(store).clear()
                part.replace(work.checkpoint / "training")
                until = time.monotonic() + 20
                while not any(line.startswith("list checkpoints/") for line in did(store)):
                    assert time.monotonic() < until
                    time.sleep(0.01)
            os.kill(os.getpid(), 9)

    assert run_child(killed) == -9
    store = two.store()
    with store.lock(KEY):
        work = store.begin(KEY)
        assert work.resumed
        assert (work.checkpoint / "training").read_text() == "step 3"
        (work.out / "result").write_text("whole")
        store.publish(KEY, kind="task", stage={})
    assert objects(url, "checkpoints/") == []
    assert objects(url, "leases/") == []


def test_a_stopped_stage_leaves_its_last_checkpoint_for_other_hosts(one: Host, two: Host):
    store = one.store()
    with store.lock(KEY):
        (store.begin(KEY).checkpoint / "training").write_text("step 7")
        store.give_up(KEY)
    other = two.store()
    with other.lock(KEY, waiting=pytest.fail):
        assert (other.begin(KEY).checkpoint / "training").read_text() == "step 7"
        (other.begin(KEY).checkpoint / "training").write_text("step 9")
        other.give_up(KEY)
    with store.lock(KEY):  # what is here is older than what the other host left
        assert (store.begin(KEY).checkpoint / "training").read_text() == "step 9"


def test_a_damaged_checkpoint_is_told_and_not_used(
    one: Host, two: Host, url: str, caplog: pytest.LogCaptureFixture
):
    store = one.store()
    with store.lock(KEY):
        (store.begin(KEY).checkpoint / "training").write_text("step 7")
        store.give_up(KEY)
    for name in objects(url, "checkpoints/"):
        if not name.endswith(".json"):
            (Path(url.removeprefix("file://")) / name).write_text("step 8")
    other = two.store()
    with other.lock(KEY):
        assert not other.begin(KEY).resumed
    assert "this checkpoint is not used" in caplog.text


def test_a_sleeper_that_wakes_up_leaves_the_checkpoint_of_who_took_over(
    one: Host, two: Host, url: str
):
    sleeper = one.store(send_every=0)
    with sleeper.lock(KEY):
        work = sleeper.begin(KEY)
        sleeper._leases[KEY]._stop.set()
        sender = sleeper._senders[KEY]
        (work.checkpoint / "training").write_text("step 3")
        sender.send()
        other = two.store()
        with other.lock(KEY):
            further = other.begin(KEY)
            assert (further.checkpoint / "training").read_text() == "step 3"
            (further.checkpoint / "training").unlink()
            (further.checkpoint / "training").write_text("step 30")
            other._senders[KEY].send()
            (work.checkpoint / "training").unlink()
            (work.checkpoint / "training").write_text("step 4")
            with pytest.raises(LostLeaseError):
                sender.send_if_due()
            sender.send()  # begun before it knew
            sleeper.discard(KEY)
            other.give_up(KEY)
    third = Host(url, two.folder.with_name("three")).store()
    with third.lock(KEY):
        assert (third.begin(KEY).checkpoint / "training").read_text() == "step 30"


def _stage(host: Host, number: int) -> None:
    store = host.store(kill_at(number))
    with store.lock(KEY):
        if store.open(KEY) is not None:
            return
        work = store.begin(KEY)
        (work.checkpoint / "training").write_text("step 3")
        store._senders[KEY].send()
        (work.out / "result.json").write_text("{}")
        (work.out / "weights").write_text("w" * 100)
        store.publish(KEY, kind="task", stage={})


@FORK
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_kill_before_any_operation_at_the_url_loses_nothing_and_publishes_once(
    tmp_path: Path, step: int
):
    number, status = 1 - step, -9
    while status == -9:
        number += step
        at = tmp_path / str(number)
        url = f"file://{at}/shared"
        status = run_child(lambda at=at, url=url, n=number: _stage(Host(url, at / "one"), n))
        before = objects(url, "manifests/")
        second = Host(url, at / "two").store()
        found = second.open(KEY)
        assert (found is not None) == bool(before), number
        with second.lock(KEY):
            if second.open(KEY) is None:
                work = second.begin(KEY)
                (work.out / "result.json").write_text("{}")
                (work.out / "weights").write_text("w" * 100)
                second.publish(KEY, kind="task", stage={})
        assert objects(url, "manifests/") == [f"manifests/{KEY}.json"], number
        assert Host(url, at / "one").store().open(KEY) is not None, number
        assert not [name for name in objects(url) if name.endswith(".part")]
    assert status == 0
    assert number > 15


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gss://bucket/x", r"--store: no store can be kept on 'gss://'; did you mean 'gs'"),
        ("http://host/x", r"no store can be kept on 'http://'; known: "),
        ("s3://", r"write s3://BUCKET/FOLDER"),
        ("s3://bucket/../x", r"write s3://BUCKET/FOLDER"),
        ("file://host/x", r"write file:///FOLDER"),
        ("s3://bucket/x?key=secret", r"a store's URL has no \?"),
    ],
)
def test_a_url_where_no_store_can_be_is_refused(url: str, said: str):
    with pytest.raises(RecipeError, match=said):
        open_store(url)


def test_a_password_in_a_url_is_refused_and_not_shown():
    with pytest.raises(RecipeError, match=r"s3://bucket: a password in a URL") as caught:
        open_store("s3://me:hunter2@bucket/x")
    assert "hunter2" not in str(caught.value)


def test_a_store_whose_package_is_missing_says_how_to_install_it():
    with pytest.raises(Exception, match=r"gs:// needs gcsfs, .* run: pip install gcsfs"):
        open_store("gs://bucket/x")


def test_a_server_that_overwrites_what_is_created_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    remote = open_remote("memory://careless")
    files = remote._files()  # type: ignore[attr-defined]
    original = files.pipe_file
    monkeypatch.setattr(
        files, "pipe_file", lambda path, data, mode="overwrite": original(path, data)
    )
    store = SharedStore("memory://careless", folder=tmp_path / "one", remote=remote)
    with pytest.raises(StoreError, match=r"ignores If-None-Match"), store.lock(KEY):
        pass


def test_a_local_store_needs_nothing_of_what_a_shared_one_needs():
    code = (
        "import sys; from composer.engine.storage.store import open_store\n"
        "open_store('here').find('0a' * 32)\n"
        "print(*({'fsspec', 'composer.engine.storage.shared'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
