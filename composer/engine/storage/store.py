"""The store: a folder of results by key, each complete or absent.

    .composer/
    ├── objects/0a/0a41…/      published: the stage's files, and manifest.json written last
    ├── work/0a41…/            in progress: out-5f1c…/ (the result to be) and checkpoint/
    ├── refs/home/task/intent.json    label -> key; see `composer.engine.storage.refs`
    ├── locks/0a41….lock       one worker a key
    ├── damaged/               results that were not what was published, moved aside
    ├── logs/                  what trackers write to disk
    └── timings.jsonl          how long stages took; see `composer.engine.storage.timings`

A stage fills work/…/out-…; publishing it is one rename. Whoever looks at `objects` finds the
whole result or none, whatever was killed when. Nobody else builds these paths.

Each `out` has a name of its own: if the store is deleted at work and another run makes it anew,
the first one cannot publish what the second has half done.

    store = open_store(".composer")              this folder, of one machine or one disk
    store = open_store("s3://bucket/team")       `composer.engine.storage.shared.SharedStore`
    open_store(store.place)                      the same store in another process or host

A shared store is a `Store` whose folder is a working copy of what lies elsewhere; whoever uses a
store need not know which one it is. A store may be pickled: it is opened again by its place.
"""

import errno
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from composer.bundle.files import UNFINISHED, sync_folder
from composer.engine.storage.faults import DamagedError, disk_faults
from composer.engine.storage.manifest import (
    MANIFEST,
    Kind,
    Manifest,
    read_manifest,
    verify_files,
    write_manifest,
)
from composer.errors import StoreError

logger = logging.getLogger(__name__)

DEFAULT_STORE = Path(".composer")

_KEY = re.compile(r"[0-9a-f]{64}")
_LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """A published result, every file of which was just checked.

    Attributes:
        key: Of the stage.
        folder: Holds the files; read only.
        manifest: What they are.
    """

    key: str
    folder: Path
    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where a stage works before its result is published.

    Attributes:
        out: Empty folder for the result.
        checkpoint: Folder for training state; what an interrupted run left is still there.
        resumed: Whether there is such a state.
    """

    out: Path
    checkpoint: Path
    resumed: bool


def open_store(place: str | Path) -> "Store":
    """Open the store at a folder or a URL; nothing is written, and nothing asked, by opening it.

    Args:
        place: `.composer`, `s3://bucket/folder`, `gs://…`, `abfs://…`, or `file:///mnt/folder`
            for a folder that several hosts share.

    Raises:
        RecipeError: The URL's protocol is unknown, or a password is in it.
        MissingExtraError: The package for this protocol is not installed; says the line.
    """
    if isinstance(place, str) and "://" in place:
        from composer.engine.storage.shared import SharedStore

        return SharedStore(place)
    return Store(Path(place))


class Store:
    """Results by key in one local folder, made when it is first written to.

    Attributes:
        folder: On this machine; of a shared store, its working copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outs: dict[str, Path] = {}  # key -> what `begin` gave last

    def __reduce__(self) -> "tuple[Callable[[str | Path], Store], tuple[str | Path]]":
        place: str | Path = self.place if "://" in self.place else self.folder
        return (open_store, (place,))

    @property
    def place(self) -> str:
        """What `open_store` opens this store by, and what messages call it."""
        return str(self.folder)

    def refresh(self, name: str) -> None:
        """Bring small files, `refs` or `timings.jsonl`, up to date before they are read."""

    def share(self, name: str) -> None:
        """Let other hosts see a file, `refs/…` or `timings.jsonl`, that was just written."""

    @property
    def logs(self) -> Path:
        """Folder for what trackers write; no part of any result."""
        return self.folder / "logs"

    def find(self, key: str) -> Path | None:
        """Give the folder of a published result, unchecked, or None.

        Of a result in a shared store only the small files may be there; `open` fetches the rest.
        """
        folder = self._object(key)
        with disk_faults(folder):
            return folder if (folder / MANIFEST).exists() else None

    def peek(self, key: str, *, contents: str | None = None) -> Manifest | None:
        """Read a result's manifest; None if there is none.

        Args:
            key: Of the result.
            contents: Check its files too, and the contents of those whose names end so.

        Raises:
            DamagedError: It is not what was published.
        """
        folder = self.find(key)
        if folder is None:
            return None
        with disk_faults(folder):
            manifest = read_manifest(folder)
            if manifest.key != key:
                raise DamagedError(f"{folder} holds the result of another key, {manifest.key[:12]}")
            if contents is not None:
                verify_files(folder, manifest, ending=contents)
        return manifest

    def open(self, key: str) -> StoredResult | None:
        """Check every file of a published result; None if it is absent or damaged.

        A damaged one is left where it is until `begin` moves it aside, as whoever makes it
        again holds the lock.
        """
        try:
            manifest = self.peek(key, contents="")
        except DamagedError as fault:
            logger.warning("%s; this result is not used", fault)
            return None
        if manifest is None:
            return None
        return StoredResult(key=key, folder=self._object(key), manifest=manifest)

    @contextmanager
    def lock(self, key: str, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Be the only one, of all processes on this store, to work on a key.

        On a shared store it is a lease: it is lost by who is not heard of for too long.

        Args:
            key: Of the stage.
            waiting: Called again and again while another process holds the lock. It may raise.
        """
        path = self.folder / "locks" / f"{check_key(key)}.lock"
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            while not _acquired(lock):
                if waiting is not None:
                    waiting()
        try:
            yield
        finally:
            lock.release()

    def begin(self, key: str) -> Work:
        """Prepare the folders that a stage works in; call it with the key's lock held.

        What another host has left to go on from is brought here.
        """
        folder = self._work(key)
        out, checkpoint = folder / f"out-{secrets.token_hex(8)}", folder / "checkpoint"
        with disk_faults(folder):
            if os.path.lexists(self._object(key)):
                self._move_aside(key)
            self._object(key).parent.mkdir(parents=True, exist_ok=True)  # a fault is told now
            _own_folder(folder)
            _own_folder(checkpoint)
            for left in (*folder.glob("out*"), *checkpoint.glob(f"*{UNFINISHED}")):
                remove_tree(left)
            out.mkdir()
            self._outs[key] = out
            return Work(out=out, checkpoint=checkpoint, resumed=any(checkpoint.iterdir()))

    def publish(
        self,
        key: str,
        *,
        kind: Kind,
        stage: dict[str, object],
        adopted: dict[str, object] | None = None,
    ) -> StoredResult:
        """Make what lies in the `out` that `begin` gave the key's result.

        A result that is there already is kept.

        Raises:
            LostLeaseError: Another worker took the key over; nothing was published. Taking the
                lock again waits for it, and `open` then gives its result.
        """
        out, target = self._outs[key], self._object(key)
        with disk_faults(target):
            manifest = write_manifest(out, key=key, kind=kind, stage=stage, adopted=adopted)
            self._commit(key, out, manifest)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(out, target)
            except OSError as fault:
                if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            sync_folder(target.parent)
            sync_folder(target.parent.parent)
        self.discard(key)
        published = self.open(key)
        if published is None:
            raise StoreError(f"{target} was published and is damaged; check the disk it is on")
        return published

    def discard(self, key: str) -> None:
        """Remove what a stage worked in, its checkpoint too, if it is there."""
        folder = self._work(key)
        with disk_faults(folder):
            remove_tree(folder)

    def withdraw(self, key: str) -> None:
        """Take a published result away, to make it anew; call it with the key's lock held."""
        target, work = self._object(key), self._work(key)
        with disk_faults(target):
            if os.path.lexists(target):
                _own_folder(work)
                old = work / f"out-{secrets.token_hex(8)}"  # `begin` removes what is left of it
                os.rename(target, old)
                remove_tree(old)

    def give_up(self, key: str) -> None:
        """Leave nothing of a stage that failed but its checkpoint, if there is one to go on from.

        What the failure itself was is being told; whatever hinders this is met again, and told,
        when the stage is begun again.
        """
        folder = self._work(key)
        with suppress(OSError):
            if any((folder / "checkpoint").iterdir()):
                remove_tree(self._outs[key])
            else:
                remove_tree(folder)

    def has_work(self, key: str) -> bool:
        """Say whether an interrupted or running stage left anything to go on from."""
        folder = self._work(key)
        with disk_faults(folder):
            return folder.exists()

    def _commit(self, key: str, out: Path, manifest: Manifest) -> None:
        """Publish elsewhere first what is about to be published here."""

    def _object(self, key: str) -> Path:
        return self.folder / "objects" / check_key(key)[:2] / key

    def _work(self, key: str) -> Path:
        return self.folder / "work" / check_key(key)

    def _move_aside(self, key: str) -> None:
        aside = self.folder / "damaged" / f"{key}-{secrets.token_hex(4)}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.rename(self._object(key), aside)
        logger.warning("the damaged result was moved to %s; look at it or delete it", aside)


def check_key(key: str, *, error: type[StoreError] = StoreError) -> str:
    """Return a key as it is, if it is one: it becomes part of paths."""
    if not is_key(key):
        raise error(f"{key[:80]!r} is no key; a key is 64 hexadecimal digits")
    return key


def is_key(text: str) -> bool:
    """Say whether a name is a key."""
    return _KEY.fullmatch(text) is not None


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=_LOCK_POLL_SECONDS, poll_interval=_LOCK_POLL_SECONDS / 4)
    except Timeout:
        return False
    return True


def _own_folder(path: Path) -> None:
    """Have a folder that is no link: what is worked in is emptied, and lies in the store."""
    if path.is_symlink() or not path.is_dir():
        remove_tree(path)
    path.mkdir(parents=True, exist_ok=True)


def remove_tree(path: Path) -> None:
    """Remove whatever is there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
