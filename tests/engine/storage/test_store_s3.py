"""A shared store on S3, as moto serves it; what holds of any shared store is in another file."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.refs import all_refs
from composer.engine.storage.remote import ObjectStore, open_remote
from composer.engine.storage.shared import SharedStore
from composer.errors import StoreError
from composer.recipe.reading.reader import read_recipe
from tests.engine.fakes import FakeRunners
from tests.engine.hosts import KEY, Host, child, kill_at, make, run_child
from tests.engine.s3 import SECRET, s3_bucket, s3_server

ONLY = ["language/en", "task/intent"]
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def url(address: str) -> Iterator[str]:
    with s3_bucket(address) as url:
        yield url


def test_a_recipe_is_carried_out_on_one_host_and_found_done_on_another(
    url: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG, logger="composer")
    made = []
    for host in ("one", "two"):
        store, runners = SharedStore(url, folder=tmp_path / host), FakeRunners()
        plan = make_plan(wanted_of(read_recipe(folder / "home.yaml")), store)
        result = run_stages(
            plan, store, RunOptions(runners=runners, only=ONLY, lock_file=tmp_path / f"{host}.lock")
        )
        made.append(runners.calls)
        states = {one.state for one in plan.stages if one.stage.name in ONLY}
        assert states == ({"run"} if host == "one" else {"done"})
        assert all(one.folder.is_relative_to(tmp_path / host) for one in result.results.values())
    assert made == [ONLY, []]
    assert sorted(ref.stage for ref in all_refs(store)) == sorted(ONLY)
    assert (tmp_path / "one.lock").read_bytes() == (tmp_path / "two.lock").read_bytes()
    left = store.remote.list("")
    assert {name.split("/")[0] for name in left} == {"manifests", "files", "refs", "timings.jsonl"}
    assert len([name for name in left if name.startswith("manifests/")]) == len(ONLY)
    texts = [(store.remote.read(name) or b"").decode(errors="replace") for name in left]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*.json")]
    assert SECRET not in "".join(texts) + caplog.text


def _make_all(url: str, at: Path, log: Path) -> None:
    store = SharedStore(url, folder=at, expiry=2)
    for number in range(2):
        key = f"{number:064x}"
        with store.lock(key):
            if store.open(key) is None:
                with log.open("a") as file:
                    file.write(f"{number}\n")
                make(store, key, f"of {at.name}", lock=False)


def test_two_hosts_at_once_make_every_key_once(url: str, tmp_path: Path):
    log = tmp_path / "log"
    hosts = [tmp_path / "one", tmp_path / "two"]
    with child(lambda: _make_all(url, hosts[0], log)) as process:
        _make_all(url, hosts[1], log)
        assert os.waitpid(process, 0)[1] == 0
    assert sorted(log.read_text().split()) == ["0", "1"]
    store = SharedStore(url, folder=tmp_path / "three")
    assert all(store.open(f"{number:064x}") for number in range(2))
    assert {name.split("/")[0] for name in store.remote.list("")} == {"manifests", "files"}


def _killed(url: str, at: Path, number: int) -> None:
    store = Host(url, at).store(kill_at(number))
    make(store)


@pytest.mark.slow
def test_a_kill_before_any_operation_loses_nothing_and_publishes_once(url: str, tmp_path: Path):
    number, status = 1, -9
    while status == -9:
        at, place = tmp_path / str(number), f"{url}/{number}"
        status = run_child(lambda place=place, at=at, n=number: _killed(place, at / "one", n))
        make(Host(place, at / "two").store())
        store = Host(place, at / "one").store()
        found = store.open(KEY)
        assert found is not None, number
        assert list(store.remote.list("manifests/")) == [f"manifests/{KEY}.json"], number
        number += 1
    assert status == 0
    assert number > 10


def test_a_bucket_that_is_not_there_is_told(url: str, tmp_path: Path):
    bucket = url.split("/")[2]
    store = SharedStore(url.replace(bucket, "no-such-bucket"), folder=tmp_path / "one")
    said = r"no-such-bucket/team: there is no such bucket; make it, or give another place"
    with pytest.raises(StoreError, match=said):
        store.find(KEY)
    with pytest.raises(StoreError, match=said), store.lock(KEY):
        pass
    assert not (tmp_path / "one" / "objects").exists()


def test_a_server_that_cannot_be_reached_is_told_and_nothing_is_lost(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    host = Host(url, tmp_path / "one")
    make(host.store())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"it cannot be reached \(.*check the network"):
        host.store().open(KEY)
    assert time.monotonic() - start < 60  # bounded; a few seconds


def test_missing_and_refused_credentials_are_told(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match=r"access was denied \(.*check the credentials"):
        SharedStore(url, folder=tmp_path / "one").open(KEY)

    class Closed(ObjectStore):
        def _files(self) -> object:
            raise PermissionError("Access Denied")

    with pytest.raises(StoreError, match=r"access was denied \(Access Denied\)"):
        SharedStore(url, folder=tmp_path / "two", remote=Closed(url)).open(KEY)


def test_a_result_is_seen_by_whoever_lists_only_when_it_is_whole(url: str, tmp_path: Path):
    seen: list[bool] = []

    def look(line: str) -> None:
        if line.startswith(("put ", "create manifests")):
            other = SharedStore(url, folder=tmp_path / "two")
            seen.append(other.find(KEY) is not None or other.open(KEY) is not None)

    make(Host(url, tmp_path / "one").store(look))
    assert seen == [False, False, False]
    assert open_remote(url).read(f"manifests/{KEY}.json")
