"""Hosts on one shared store: each with a working copy of its own, and ways to go wrong."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from composer.engine.storage.remote import Entry, Remote, open_remote
from composer.engine.storage.shared import SharedStore
from composer.engine.storage.store import Store

KEY, OTHER = "0a" * 32, "0b" * 32
EXPIRY = 0.3  # seconds; long enough for a beat every 50 ms


class Watched:
    """A remote place that notes what is done there and calls `before` first.

    Attributes:
        did: "read manifests/0a41….json" and so on.
    """

    def __init__(self, remote: Remote, before: Callable[[str], object] = lambda line: None) -> None:
        self.remote, self.before = remote, before
        self.url = remote.url
        self.did: list[str] = []
        self._lock = threading.Lock()

    def _note(self, what: str, name: str) -> None:
        line = f"{what} {name}"
        if ".beat" not in name:  # those come from a thread, at any time
            with self._lock:
                self.did.append(line)
                self.before(line)

    def read(self, name: str) -> bytes | None:
        self._note("read", name)
        return self.remote.read(name)

    def write(self, name: str, data: bytes) -> None:
        self._note("write", name)
        self.remote.write(name, data)

    def create(self, name: str, data: bytes) -> bool:
        self._note("create", name)
        return self.remote.create(name, data)

    def put(self, file: Path, name: str) -> None:
        self._note("put", name)
        self.remote.put(file, name)

    def get(self, name: str, file: Path) -> bool:
        self._note("get", name)
        return self.remote.get(name, file)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._note("remove", name)
            self.remote.remove([name])

    def list(self, prefix: str) -> dict[str, Entry]:
        self._note("list", prefix)
        return self.remote.list(prefix)


class Host:
    """One host on a URL; `Host(url, tmp_path / "a")` twice on other folders is two hosts."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def store(
        self, before: Callable[[str], object] = lambda line: None, *, send_every: float = 60
    ) -> SharedStore:
        remote = Watched(open_remote(self.url), before)
        return SharedStore(
            self.url, folder=self.folder, remote=remote, expiry=EXPIRY, send_every=send_every
        )


def did(store: Store) -> list[str]:
    """Give what a host's store did at the URL so far."""
    assert isinstance(store, SharedStore)
    assert isinstance(store.remote, Watched)
    return store.remote.did


def make(store: Store, key: str = KEY, text: str = "weights", *, lock: bool = True) -> Path:
    """Do a whole stage's work, unless its result is there; give its folder."""
    if not lock:
        return _make(store, key, text)
    with store.lock(key):
        found = store.open(key)
        return found.folder if found else _make(store, key, text)


def _make(store: Store, key: str, text: str) -> Path:
    work = store.begin(key)
    (work.out / "adapter").mkdir()
    (work.out / "adapter" / "weights.bin").write_text(text * 10)
    (work.out / "training.json").write_text(f'{{"text": "{text}"}}')
    return store.publish(key, kind="task", stage={"settings": 1}).folder


@contextmanager
def child(function: Callable[[], object]) -> Iterator[int]:
    """Fork a process that calls a function and ends; it is gone at the end of the block."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):  # it was waited for
            os.waitpid(process, 0)


def run_child(function: Callable[[], object]) -> int:
    """Fork a process that calls a function; give its exit status, or minus the signal."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_at(number: int) -> Callable[[str], object]:
    """Give what kills its process before an operation; counted from 1."""
    count = 0

    def before(line: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return before
