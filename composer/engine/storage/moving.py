"""Checkpoints that move between hosts, so that a lost host's stage goes on elsewhere.

    checkpoints/0a41…/2-9d33…   a file of the holder of lease 2, by its SHA-256
    checkpoints/0a41…/2.json    what that holder has reached, sealed, written last
        {"digest": …, "files": {"training": "9d33…"}, "format": 1, "key": …, "sizes": {…}}

Only what changed is sent, by the thread that keeps the lease, at most once a minute and for at
most a twentieth of the time; a stage that takes less than a minute sends nothing. A stage that is
stopped sends its last one. Nobody touches what the holder of a later lease has sent.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from composer.bundle.files import UNFINISHED, safe_join, sha256_file
from composer.engine.storage.faults import DamagedError
from composer.engine.storage.manifest import FORMAT, read_sealed, write_sealed
from composer.engine.storage.remote import Remote
from composer.errors import StoreError

logger = logging.getLogger(__name__)

SEND_SECONDS = 60.0
_SHARE = 20  # sending takes one part in so many of the time

State = tuple[tuple[str, int, int, int], ...]


class Sender:
    """Sends the checkpoint of one worker whenever it has changed.

    Attributes:
        folder: Of the checkpoint; its files are replaced, never written into.
        has_sent: Whether anything was sent, be it in part.
        may_send: Called before; raises when another worker has taken over.
    """

    def __init__(
        self, remote: Remote, key: str, number: int, folder: Path, *, every: float = SEND_SECONDS
    ) -> None:
        self.folder = folder
        self._remote, self._key, self._number, self._every = remote, key, number, every
        self.has_sent = False
        self.may_send: Callable[[], None] = lambda: None
        self._sent = _state(folder)
        self._next = time.monotonic() + every

    def send_if_due(self) -> None:
        """Send what has changed, if the last time is long enough ago."""
        if time.monotonic() >= self._next:
            self.may_send()
            start = time.monotonic()
            self.send()
            took = time.monotonic() - start
            self._next = time.monotonic() + max(self._every, _SHARE * took)

    def send(self) -> None:
        """Send what has changed since the last time."""
        state = _state(self.folder)
        if not state or state == self._sent:
            return
        with TemporaryDirectory(dir=self.folder.parent, prefix="sent-") as made:
            snapshot = Path(made)
            for name, *_ in state:
                os.link(self.folder / name, snapshot / name)  # what it is now, whatever follows
            self._send(snapshot, [name for name, *_ in state])
        self._sent = state

    def _send(self, snapshot: Path, names: list[str]) -> None:
        self.has_sent = True
        files = {name: sha256_file(snapshot / name, error=StoreError) for name in names}
        sizes = {name: (snapshot / name).stat().st_size for name in names}
        for name, digest in files.items():
            self._remote.put(snapshot / name, _file(self._key, self._number, digest))
        index = snapshot / f"{self._number}.json"
        values = {"format": FORMAT, "key": self._key, "files": files, "sizes": sizes}
        write_sealed(index, values)
        self._remote.write(f"{_folder(self._key)}{index.name}", index.read_bytes())
        keep = {_file(self._key, self._number, digest) for digest in files.values()}
        ours = _file(self._key, self._number, "")
        listed = self._remote.list(_folder(self._key))
        self._remote.remove([one for one in listed if one.startswith(ours) and one not in keep])


def bring_checkpoint(remote: Remote, key: str, folder: Path, *, known: int) -> bool:
    """Replace a checkpoint by what another host has left, if that is further.

    Args:
        remote: Of all hosts.
        key: Of the stage.
        folder: Of the checkpoint on this host.
        known: Number of the lease that this host had last: what is here is of that time.

    Returns:
        Whether another host has left anything.
    """
    listed = [name.removeprefix(_folder(key)) for name in remote.list(_folder(key))]
    numbers = [int(stem) for name in listed if (stem := name.removesuffix(".json")).isdecimal()]
    here = any(folder.iterdir())
    for number in sorted(numbers, reverse=True):
        if here and number <= known:
            break
        try:
            _bring(remote, key, number, folder)
        except DamagedError as fault:
            logger.warning("%s: %s; this checkpoint is not used", remote.url, fault)
        else:
            break
    return bool(listed)


def forget_checkpoint(remote: Remote, key: str, number: int) -> None:
    """Remove what the holder of a lease, and those before it, have sent."""
    folder = _folder(key)
    for name in sorted(remote.list(folder)):
        holder = name.removeprefix(folder).replace(".", "-").partition("-")[0]
        if holder.isdecimal() and int(holder) <= number:
            remote.remove([name])


def _bring(remote: Remote, key: str, number: int, folder: Path) -> None:
    index = f"{number}.json"
    with TemporaryDirectory(dir=folder.parent, prefix="brought-") as made:
        brought = Path(made)
        if not remote.get(f"{_folder(key)}{index}", brought / index):
            raise DamagedError(f"{_folder(key)}{index} is gone")
        values = read_sealed(brought / index)
        files = values.get("files")
        if values.get("key") != key or not isinstance(files, dict) or not files:
            raise DamagedError(f"{_folder(key)}{index} is of another stage")
        (brought / "files").mkdir()
        for name, digest in files.items():
            target = safe_join(brought / "files", str(name), error=DamagedError)
            there = remote.get(_file(key, number, str(digest)), target)
            if not there or sha256_file(target, error=DamagedError) != digest:
                raise DamagedError(f"{_file(key, number, str(digest))} is gone or damaged")
        shutil.rmtree(folder)
        os.rename(brought / "files", folder)


def _state(folder: Path) -> State:
    """Say which files there are, so that a replaced one is seen."""
    found = []
    if not folder.is_dir():
        return ()
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(UNFINISHED):
            status = path.stat()
            found.append((path.name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


def _file(key: str, number: int, digest: str) -> str:
    return f"{_folder(key)}{number}-{digest}"


def _folder(key: str) -> str:
    return f"checkpoints/{key}/"
