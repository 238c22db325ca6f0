"""A store that several hosts share: objects at a URL, and a working copy on each host.

    s3://bucket/team/
    ├── manifests/0a41….json        written last and created exclusively: now there is a result
    ├── files/0a41…/5f1c…/          its files; the second name is the digest of them all
    ├── leases/0a41…/               who works on a key; see `composer.engine.storage.leases`
    ├── checkpoints/0a41…/          see `composer.engine.storage.moving`
    ├── refs/home/task/intent.json  labels, as in a local store
    └── timings.jsonl               of all hosts

The working copy is laid out as a local store. A result is copied there, and checked to the last
byte, before it is used; what lies at the URL decides whether there is one. Files of different
bytes have different names, so that a worker that comes back from the dead cannot write over what
another one published; its own manifest is one too many, and is refused.

A result that is damaged at the URL is left there and followed by 0a41….1.json, and so on: the
first whole one counts.
"""

import hashlib
import itertools
import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from composer.bundle.files import (
    read_json,
    safe_join,
    write_bytes,
    write_json,
)
from composer.bundle.publish import unfinished_folder
from composer.data.samples.backbones import default_cache
from composer.engine.storage.faults import DamagedError, LostLeaseError, disk_faults
from composer.engine.storage.leases import EXPIRY_SECONDS, Holder, Lease, holders, take_lease
from composer.engine.storage.manifest import MANIFEST, Manifest, read_manifest, verify_files
from composer.engine.storage.mirror import Mirror
from composer.engine.storage.moving import SEND_SECONDS, Sender, bring_checkpoint, forget_checkpoint
from composer.engine.storage.remote import Remote, open_remote
from composer.engine.storage.store import Store, StoredResult, Work, check_key, open_store
from composer.errors import StoreError

logger = logging.getLogger(__name__)

_TRIES = 2  # to fetch: what was cut off on its way is whole the second time
_SMALL = 2**20  # bytes of a file that is fetched to be looked at


class SharedStore(Store):
    """Results by key at a URL, through a working copy on this host.

    Attributes:
        url: Holds no secret.
    """

    def __init__(
        self,
        url: str,
        *,
        folder: Path | None = None,
        remote: Remote | None = None,
        expiry: float = EXPIRY_SECONDS,
        send_every: float = SEND_SECONDS,
    ) -> None:
        self.remote = remote or open_remote(url)
        self.url = self.remote.url
        super().__init__(folder or working_folder(self.url))
        self._expiry, self._send_every = expiry, send_every
        self._leases: dict[str, Lease] = {}
        self._senders: dict[str, Sender] = {}
        self._known: dict[str, int] = {}  # key -> lease that this host had before
        self._mirror = Mirror(self.remote, self.folder)

    def __reduce__(self) -> tuple[Callable[[str | Path], Store], tuple[str]]:
        return (open_store, (self.url,))

    @property
    def place(self) -> str:
        """The URL."""
        return self.url

    def find(self, key: str) -> Path | None:
        """Give the folder of a published result, unchecked, or None; see `Store.find`."""
        check_key(key)
        if _manifest_name(key, 0) not in self._mirror.list("manifests/"):
            return None
        return super().find(key) or self._look_at(key)

    def open(self, key: str) -> StoredResult | None:
        """Fetch a published result and check every file; None if it is absent or damaged.

        With the lock held, a result that only this host still has is put back.
        """
        for number in itertools.count():
            data = self.remote.read(_manifest_name(check_key(key), number))
            if data is None:
                break
            try:
                result = self._fetched(key, number, data)
            except DamagedError as fault:
                logger.warning("%s: %s; this result is not used", self.url, fault)
            else:
                self.settle(key)
                return result
        return self._put_back(key) if key in self._leases else None

    @contextmanager
    def lock(self, key: str, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Be the only one of all hosts to work on a key; see `composer.engine.storage.leases`."""
        with super().lock(key, waiting=waiting):
            note = self.folder / "locks" / f"{key}.lease"
            token, self._known[key] = _last_lease(note)
            lease = take_lease(
                self.remote,
                key,
                waiting=waiting or (lambda: None),
                expiry=self._expiry,
                dead=token,  # this host's file lock is held: whoever held both has ended
            )
            self._leases[key] = lease
            try:
                with disk_faults(note):
                    about = {"host": platform.node(), "token": lease.token, "number": lease.number}
                    write_json(note, about)
                yield
            finally:
                self._senders.pop(key, None)
                del self._leases[key]
                lease.release()
                if lease.finished:
                    note.unlink(missing_ok=True)

    def begin(self, key: str) -> Work:
        """Prepare the folders that a stage works in, with what another host left to go on from."""
        work, lease = super().begin(key), self._leases.get(key)
        if lease is None:
            return work
        with disk_faults(work.checkpoint):
            left = bring_checkpoint(self.remote, key, work.checkpoint, known=self._known[key])
            sender = Sender(self.remote, key, lease.number, work.checkpoint, every=self._send_every)
            sender.has_sent, sender.may_send = left, lease.check
            resumed = any(work.checkpoint.iterdir())
        self._senders[key], lease.between_beats = sender, sender.send_if_due
        return Work(out=work.out, checkpoint=work.checkpoint, resumed=resumed)

    def discard(self, key: str) -> None:
        """Remove what a stage worked in, here and, with the lock held, at the URL."""
        sender = self._stop_sending(key)
        super().discard(key)
        if key in self._leases and (sender is None or sender.has_sent):
            with suppress(LostLeaseError):  # it is the other worker's now
                self._leases[key].check()
                forget_checkpoint(self.remote, key, self._leases[key].number)

    def give_up(self, key: str) -> None:
        """Leave nothing of a stage that failed but its checkpoint, here and at the URL."""
        sender = self._stop_sending(key)
        with suppress(StoreError, OSError):
            if sender is not None and key in self._leases:
                self._leases[key].check()
                sender.send()
        super().give_up(key)

    def settle(self, key: str) -> None:
        """Let the lock, when it is let go of, leave nothing behind: the key needs no worker."""
        if key in self._leases:
            self._leases[key].finished = True

    def refresh(self, name: str) -> None:
        """Bring `refs`, or `timings.jsonl`, up to date with the URL."""
        self._mirror.refresh(name)

    def share(self, name: str) -> None:
        """Write a small file to the URL; times, which decide nothing, as well as it goes."""
        self._mirror.share(name)

    def holders(self, *, now: float) -> dict[str, Holder]:
        """Say who works on which key, on this host or another."""
        return holders(self.remote, now=now)

    def _commit(self, key: str, out: Path, manifest: Manifest) -> None:
        """Publish at the URL: files first, then the manifest, unless somebody else's is there."""
        lease = self._leases.get(key)
        folder = _files_folder(key, manifest)
        for name in sorted(manifest.files):
            self.remote.put(out / name, f"{folder}{name}")
        listed = self.remote.list(folder)
        for name, size in manifest.sizes.items():
            entry = listed.get(f"{folder}{name}")
            if entry is not None and entry.size != size:
                raise StoreError(
                    f"{self.url}/{folder}{name} has {entry.size:,} bytes, not the {size:,} that "
                    "were sent; run the same command again"
                )
        if lease is not None:
            lease.check()
        data = (out / MANIFEST).read_bytes()
        for number in itertools.count():
            if self.remote.create(_manifest_name(key, number), data):
                break
            if self._is_whole(key, number):  # the first of two publications is kept
                break
        self._mirror.forget("manifests/")
        self.settle(key)

    def _is_whole(self, key: str, number: int) -> bool:
        data = self.remote.read(_manifest_name(key, number))
        try:
            return data is not None and bool(self._fetched(key, number, data))
        except DamagedError:
            return False

    def _put_back(self, key: str) -> StoredResult | None:
        """Publish again what was removed from the URL, or damaged there, and is whole here."""
        result = self._copied(key)
        if result is not None:
            logger.warning("%s: %s is whole on this host, and is put back", self.url, key[:12])
            self._commit(key, result.folder, result.manifest)
        return result

    def _stop_sending(self, key: str) -> Sender | None:
        """Send no more checkpoints; what was sent is left."""
        if key in self._leases:
            self._leases[key].between_beats = lambda: None
        return self._senders.get(key)

    def _fetched(self, key: str, number: int, data: bytes) -> StoredResult:
        """Give the working copy of what a manifest at the URL says, fetched if need be.

        Raises:
            DamagedError: It cannot be had whole.
        """
        if (known := self._copied(key, data)) is not None:
            return known
        target = self._object(key)
        with disk_faults(target):
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "locks" / f"{key}.fetch"):
                if (known := self._copied(key, data)) is not None:
                    return known
                for left in reversed(range(_TRIES)):
                    try:
                        manifest = self._fetch(key, number, data, target)
                        break
                    except DamagedError:
                        if not left:
                            raise
        return StoredResult(key=key, folder=target, manifest=manifest)

    def _copied(self, key: str, data: bytes | None = None) -> StoredResult | None:
        """Give the working copy of a result, if it is whole and has this manifest."""
        folder = self._object(key)
        with disk_faults(folder):
            if not (folder / MANIFEST).is_file():
                return None
            if data is not None and (folder / MANIFEST).read_bytes() != data:
                return None
            try:
                manifest = read_manifest(folder)
                verify_files(folder, manifest)
            except DamagedError as fault:
                logger.warning("%s; this copy is not used", fault)
                return None
        if manifest.key != key:
            return None
        return StoredResult(key=key, folder=folder, manifest=manifest)

    def _fetch(
        self, key: str, number: int, data: bytes, target: Path, *, small: bool = False
    ) -> Manifest:
        with unfinished_folder(target) as folder:
            write_bytes(folder / MANIFEST, data)
            try:
                manifest = read_manifest(folder)
            except DamagedError as fault:
                name = _manifest_name(key, number)
                raise DamagedError(f"{name} is not what was published") from fault
            if manifest.key != key or manifest.files.keys() != manifest.sizes.keys():
                raise DamagedError(f"{_manifest_name(key, number)} is of another result")
            for name, size in manifest.sizes.items():
                path = safe_join(folder, name, error=DamagedError)
                if small and not (name.endswith(".json") and size <= _SMALL):
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                there = f"{_files_folder(key, manifest)}{name}"
                if not self.remote.get(there, path):
                    raise DamagedError(f"{there} is missing")
            if not small:
                _verify(folder, manifest, f"files/{key}")
        return manifest

    def _look_at(self, key: str) -> Path | None:
        """Fetch the manifest and the small files of a result, to be looked at."""
        folder = self.folder / "looked-at" / key
        name = _manifest_name(key, 0)
        with disk_faults(folder):
            if not (folder / MANIFEST).is_file():
                data = self.remote.read(name)
                if data is None:
                    return None
                self._fetch(key, 0, data, folder, small=True)
        return folder

    def peek(self, key: str, *, contents: str | None = None) -> Manifest | None:
        """Read a result's manifest; of one that is not copied yet, small files are checked."""
        folder = self.find(key)
        if folder is None or folder == self._object(key):
            return super().peek(key, contents=contents) if folder else None
        with disk_faults(folder):
            manifest = read_manifest(folder)
            for name, digest in manifest.files.items() if contents is not None else ():
                path = safe_join(folder, name, error=DamagedError)
                if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                    (folder / MANIFEST).unlink()  # so that it is fetched again
                    raise DamagedError(f"{path} is damaged: its SHA-256 is another")
        return manifest


def working_folder(url: str) -> Path:
    """Give the place of this host's working copy of what lies at a URL."""
    return default_cache() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _verify(folder: Path, manifest: Manifest, named: str) -> None:
    try:
        verify_files(folder, manifest)
    except DamagedError as fault:
        raise DamagedError(str(fault).replace(str(folder), named)) from fault


def _last_lease(note: Path) -> tuple[str, int]:
    """Read token and number of the lease that this working copy had last, on this same host."""
    try:
        values = read_json(note, error=StoreError) if note.exists() else {}
    except StoreError:
        return "", 0
    if values.get("host") != platform.node():
        return "", 0
    token, number = values.get("token"), values.get("number")
    return (token, number) if isinstance(token, str) and isinstance(number, int) else ("", 0)


def _manifest_name(key: str, number: int) -> str:
    return f"manifests/{key}.{number}.json" if number else f"manifests/{key}.json"


def _files_folder(key: str, manifest: Manifest) -> str:
    return f"files/{key}/{manifest.output_digest[:16]}/"
