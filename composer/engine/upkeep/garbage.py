"""What a store holds and nobody wants: found, shown, and only then removed.

    result      neither a label nor a lock file names it, nor what they name rests on it
    work        left by a stage that was interrupted, and that nothing names
    damaged     moved aside, or half removed
    files       of a result that was never published, or of a fetch that was cut off
    lease       of a worker that was lost

Nothing young is removed, nor anything that is being worked on. A result goes all at once: who
looks for it finds the whole of it or nothing.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.files import UNFINISHED
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.leases import is_leased
from composer.engine.storage.manifest import MANIFEST
from composer.engine.storage.remote import Entry, Remote
from composer.engine.storage.shared import SharedStore
from composer.engine.storage.store import Store, is_key, remove_tree
from composer.engine.upkeep.kept import kept_keys
from composer.errors import StoreError

logger = logging.getLogger(__name__)

_DEAD_SECONDS = 3600.0  # without a beat, by the server's own clock
_FOLDERS = {"manifests": "result", "files": "files", "checkpoints": "work", "leases": "lease"}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something that nobody wants.

    Attributes:
        kind: See the module.
        place: Path or prefix in the store.
        key: Of the stage; None: of none.
        bytes: That it takes.
        age: Seconds since it was last written to.
        remote: Whether it lies at a shared store's URL; else in this host's folder.
    """

    kind: str
    place: str
    key: str | None
    bytes: int
    age: float
    remote: bool = False


class _BusyError(StoreError):
    """Somebody works on a key."""


def find_leftovers(
    store: Store, *, lock_files: Iterable[Path] = (), older_than: float
) -> list[Leftover]:
    """List what could be removed, largest first; nothing is changed.

    Args:
        store: To look through.
        lock_files: Whose results are kept; see `composer.engine.upkeep.kept`.
        older_than: Seconds; what was written to later is left alone.
    """
    kept = kept_keys(store, lock_files)
    found = [*_local(store)]
    if isinstance(store, SharedStore):
        found += _at_url(store.remote)
    unwanted = [one for one in found if one.age >= older_than and not _is_wanted(one, kept)]
    lost = {one.key for one in unwanted if one.kind == "lease"}
    free = [one for one in unwanted if one.key in lost or not _is_busy(store, one)]
    return sorted(free, key=lambda one: (-one.bytes, one.place))


def remove_leftovers(
    store: Store, leftovers: Iterable[Leftover], *, lock_files: Iterable[Path] = ()
) -> list[Leftover]:
    """Remove what was found, but what somebody has named or works on by now.

    Returns:
        What was removed.
    """
    kept, removed = kept_keys(store, lock_files), []
    for one in sorted(leftovers, key=lambda one: one.kind != "lease"):  # they would hinder
        if _is_wanted(one, kept):
            continue
        try:
            with _alone(store, one):
                _remove(store, one)
        except _BusyError:
            logger.warning("%s is being worked on; it is left", one.place)
        else:
            removed.append(one)
    return removed


def _is_wanted(one: Leftover, kept: set[str]) -> bool:
    return one.kind in ("result", "work") and one.key in kept


def _is_busy(store: Store, one: Leftover) -> bool:
    if one.key is None or one.kind == "lease":
        return False
    if isinstance(store, SharedStore) and is_leased(store.remote, one.key):
        return True
    try:
        with Store(store.folder).lock(one.key, waiting=_busy):
            return False
    except _BusyError:
        return True


@contextmanager
def _alone(store: Store, one: Leftover) -> Iterator[None]:
    if one.key is None or one.kind == "lease":
        yield
        return
    with store.lock(one.key, waiting=_busy):
        yield
        if isinstance(store, SharedStore):
            store.settle(one.key)


def _busy() -> None:
    raise _BusyError("busy")


def _local(store: Store) -> Iterator[Leftover]:
    """List all that could be left in a folder."""
    parts: dict[str, tuple[str, Callable[[Path], bool]]] = {
        "objects/*/*": ("result", lambda path: is_key(path.name)),
        "work/*": ("work", lambda path: is_key(path.name)),
        "looked-at/*": ("result", lambda path: is_key(path.name)),
        "damaged/*": ("damaged", lambda path: True),
        f"objects/*/.*{UNFINISHED}": ("files", lambda path: True),
    }
    with disk_faults(store.folder):
        for pattern, (kind, holds) in parts.items():
            for path in sorted(store.folder.glob(pattern)):
                if path.name.startswith(".") == (kind == "files") and holds(path):
                    yield _measured(path, kind, store.folder)


def _measured(path: Path, kind: str, folder: Path) -> Leftover:
    bytes_, newest = 0, path.lstat().st_mtime
    for root, folders, names in os.walk(path):
        for name in [*folders, *names]:
            with suppress(FileNotFoundError):
                status = os.lstat(Path(root) / name)
                bytes_ += status.st_size if name in names else 0
                newest = max(newest, status.st_mtime)
    return Leftover(
        kind=kind,
        place=path.relative_to(folder).as_posix(),
        key=path.name if is_key(path.name) else None,
        bytes=bytes_,
        age=time.time() - newest,
    )


def _at_url(remote: Remote) -> Iterator[Leftover]:
    """List all that could be left at a URL; ages are by the clock of its server."""
    now = _now(remote)
    groups: dict[tuple[str, str], dict[str, Entry]] = {}
    for name, entry in remote.list("").items():
        top, _, rest = name.partition("/")
        key = rest.split("/")[0].split(".")[0]
        if top in _FOLDERS and is_key(key):
            groups.setdefault((top, key), {})[name] = entry
    published = {key for top, key in groups if top == "manifests"}
    for (top, key), entries in sorted(groups.items()):
        if top == "files" and key in published:
            continue  # told of with the result
        if top == "manifests":
            entries = {**entries, **groups.get(("files", key), {})}
        times = [entry.modified for entry in entries.values()]
        age = now - max(time for time in times if time is not None) if None not in times else 0.0
        if top == "leases" and age < _DEAD_SECONDS:
            continue
        yield Leftover(
            kind=_FOLDERS[top],
            place=f"{top}/{key}",
            key=key,
            bytes=sum(entry.size for entry in entries.values()),
            age=age,
            remote=True,
        )


def _now(remote: Remote) -> float:
    """Ask a server for the time, by what it says of an object that was just written."""
    name = f"probes/{secrets.token_hex(8)}"
    remote.write(name, b"now")
    try:
        entry = remote.list("probes/").get(name)
    finally:
        remote.remove([name])
    return (entry.modified if entry else None) or 0.0  # unknown: nothing is old


def _remove(store: Store, one: Leftover) -> None:
    if one.remote and isinstance(store, SharedStore):
        names = sorted(store.remote.list(f"{one.place}/"))
        if one.kind == "result":
            manifests = [f"manifests/{one.key}.json"]
            manifests += [
                name
                for name in store.remote.list("manifests/")
                if name.startswith(f"manifests/{one.key}.")
            ]
            store.remote.remove(dict.fromkeys(manifests))  # without the first there is no result
            names = sorted(store.remote.list(f"files/{one.key}/"))
        store.remote.remove(names)
        return
    path = store.folder / one.place
    with disk_faults(path):
        if one.kind == "result" and (path / MANIFEST).exists():
            aside = store.folder / "damaged" / f"{path.name}-{secrets.token_hex(4)}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, aside)
            path = aside
        remove_tree(path)
