import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.bundle.files import write_json
from composer.engine.storage.refs import set_ref
from composer.engine.storage.remote import open_remote
from composer.engine.storage.shared import SharedStore
from composer.engine.storage.store import Store
from composer.engine.upkeep.garbage import Leftover, find_leftovers, remove_leftovers
from composer.errors import RecipeError, StoreError
from tests.engine.hosts import EXPIRY

A, B, C, D = ("0a" * 32, "0b" * 32, "0c" * 32, "0d" * 32)
OLD = 10 * 86400.0
DAY = 86400.0

Opener = Callable[[], Store]


@pytest.fixture(params=["local", "shared"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Opener:
    """Opens the same store again and again."""
    monkeypatch.chdir(tmp_path)  # lock files are looked for there
    url = f"file://{tmp_path}/there"
    if request.param == "local":
        return lambda: Store(tmp_path / "here")
    return lambda: SharedStore(url, folder=tmp_path / "here", expiry=EXPIRY)


def make(store: Store, key: str, *, needs: tuple[str, ...] = (), bytes_: int = 1000) -> None:
    with store.lock(key):
        work = store.begin(key)
        (work.out / "weights").write_bytes(b"w" * bytes_)
        store.publish(key, kind="task", stage={"needs": list(needs)})


def age_all(folder: Path) -> None:
    """Let everything be ten days old."""
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            os.utime(Path(root) / name, (time.time() - OLD,) * 2)


def places(found: list[Leftover]) -> set[tuple[str, str]]:
    return {(one.kind, (one.key or one.place)[:2]) for one in found}


def test_what_labels_name_and_rest_on_is_kept_and_the_rest_goes(opened: Opener, tmp_path: Path):
    store = opened()
    make(store, A)
    make(store, B, needs=(A,))
    make(store, C, bytes_=5000)
    set_ref(store, "home", "task/intent", B, about={})
    age_all(tmp_path)
    found = find_leftovers(opened(), older_than=DAY)
    assert places(found) == {("result", C[:2])}
    assert found[0].bytes > 5000
    assert opened().open(C) is not None  # only shown so far
    removed = remove_leftovers(opened(), found)
    assert sorted(removed, key=str) == sorted(found, key=str)
    assert opened().open(C) is None
    assert opened().find(C) is None
    assert all(opened().open(key) for key in (A, B))
    assert find_leftovers(opened(), older_than=0) == []


def test_what_a_lock_file_names_is_kept(opened: Opener, tmp_path: Path):
    make(opened(), A)
    make(opened(), B, needs=(A,))
    age_all(tmp_path)
    stages = {"task/intent": {"key": B, "outputs": None, "threads": 2}}
    lock = {"backbone": {}, "format": 1, "precision": "float32", "recipe": "home"}
    (tmp_path / "given").mkdir()
    write_json(tmp_path / "given" / "x.lock", {**lock, "versions": {}, "stages": stages})
    given = [tmp_path / "given" / "x.lock"]
    assert find_leftovers(opened(), lock_files=given, older_than=DAY) == []
    assert len(find_leftovers(opened(), older_than=DAY)) >= 2
    (tmp_path / "given" / "x.lock").rename(tmp_path / "home.lock")  # found without being given
    (tmp_path / "poetry.lock").write_text("[[package]]\n")
    assert find_leftovers(opened(), older_than=DAY) == []


def test_a_lock_file_that_is_not_there_or_damaged_stops_it(opened: Opener, tmp_path: Path):
    make(opened(), A)
    with pytest.raises(RecipeError, match=r"no such file"):
        find_leftovers(opened(), lock_files=[tmp_path / "no.lock"], older_than=0)
    (tmp_path / "home.lock").write_text('{"stages": {}, "versions": {}, "format": 7}')
    with pytest.raises(StoreError, match=r"home\.lock: format 7"):
        find_leftovers(opened(), older_than=0)


def test_a_damaged_label_stops_it_as_what_it_kept_is_unknown(opened: Opener, tmp_path: Path):
    store = opened()
    make(store, A)
    set_ref(store, "home", "task/intent", A, about={})
    for path in tmp_path.rglob("intent.json"):
        path.write_text("{")
    with pytest.raises(StoreError, match=r"intent\.json is damaged, so that it is not known"):
        find_leftovers(opened(), older_than=0)


def test_what_is_young_is_left_alone(opened: Opener, tmp_path: Path):
    make(opened(), A)
    assert find_leftovers(opened(), older_than=DAY) == []
    age_all(tmp_path)
    assert find_leftovers(opened(), older_than=2 * OLD) == []
    assert find_leftovers(opened(), older_than=DAY) != []


def test_what_is_being_worked_on_is_left_alone(opened: Opener, tmp_path: Path):
    make(opened(), A)
    age_all(tmp_path)
    found = find_leftovers(opened(), older_than=DAY)
    with opened().lock(A):
        assert find_leftovers(opened(), older_than=DAY) == []
        assert remove_leftovers(opened(), found) == []
    assert opened().open(A) is not None


def test_what_was_named_since_it_was_found_is_left_alone(opened: Opener, tmp_path: Path):
    make(opened(), A)
    age_all(tmp_path)
    found = find_leftovers(opened(), older_than=DAY)
    set_ref(opened(), "home", "task/intent", A, about={})
    assert remove_leftovers(opened(), found) == []
    assert opened().open(A) is not None


def test_what_interrupted_stages_left_goes_unless_something_names_it(
    opened: Opener, tmp_path: Path
):
    for key in (A, B):
        store = opened()
        with store.lock(key):
            (store.begin(key).checkpoint / "training").write_text("step 3")
            store.give_up(key)
    set_ref(opened(), "home", "task/intent", A, about={})
    age_all(tmp_path)
    found = find_leftovers(opened(), older_than=DAY)
    assert places(found) - {("lease", A[:2]), ("lease", B[:2])} == {("work", B[:2])}
    remove_leftovers(opened(), found)
    again = opened()
    with again.lock(A):
        assert again.begin(A).resumed
    with again.lock(B):
        assert not again.begin(B).resumed


def test_damaged_results_that_were_moved_aside_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "here")
    make(store, A)
    (tmp_path / "here" / "objects" / "0a" / A / "weights").write_text("spoilt")
    make(store, A)
    set_ref(store, "home", "task/intent", A, about={})
    age_all(tmp_path)
    found = find_leftovers(store, older_than=DAY)
    assert [one.kind for one in found] == ["damaged"]
    remove_leftovers(store, found)
    assert not list((tmp_path / "here" / "damaged").iterdir())


def test_files_that_were_sent_and_never_published_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    url = f"file://{tmp_path}/there"
    remote = open_remote(url)
    remote.write(f"files/{D}/0123/weights", b"w" * 100)
    remote.write(f"leases/{D}/1", b"{}")
    store = SharedStore(url, folder=tmp_path / "here")
    assert find_leftovers(store, older_than=0) == []  # its worker may be alive
    age_all(tmp_path)
    found = find_leftovers(store, older_than=DAY)
    assert {one.kind for one in found} == {"files", "lease"}
    assert len(remove_leftovers(store, found)) == 2
    assert list(remote.list("")) == []
