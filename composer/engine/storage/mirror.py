"""Small files of a shared store, kept alike on this host: labels, times, and lists of results."""

import logging
import time
from pathlib import Path

from composer.bundle.files import append_line, read_bytes, safe_join, write_bytes
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.remote import Entry, Remote
from composer.errors import StoreError

logger = logging.getLogger(__name__)

_TIMINGS = "timings.jsonl"
_TIMES = 20_000  # lines; the last ones
_FRESH_SECONDS = 2.0  # that a list is used for again
_YOUNG_SECONDS = 60.0
_LIMIT = 2**20  # bytes of a label


class Mirror:
    """What lies at a URL, as far as it is small, in a folder of this host."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        self.remote, self.folder = remote, folder
        self._lists: dict[str, tuple[float, dict[str, Entry]]] = {}
        self._known: dict[str, Entry] = {}

    def list(self, prefix: str) -> dict[str, Entry]:
        """List objects; a list of the last seconds will do to look at."""
        at, known = self._lists.get(prefix, (0.0, {}))
        if not at or time.monotonic() - at > _FRESH_SECONDS:
            known = self.remote.list(prefix)
            self._lists[prefix] = (time.monotonic(), known)
        return known

    def forget(self, prefix: str) -> None:
        """Ask anew the next time."""
        self._lists.pop(prefix, None)

    def refresh(self, name: str) -> None:
        """Bring `refs`, or `timings.jsonl`, up to date with the URL."""
        if name == _TIMINGS:
            self._join_timings()
            return
        listed = self.list(f"{name}/")
        for path in (self.folder / name).rglob("*.json"):
            gone = path.relative_to(self.folder).as_posix() not in listed
            # A young one may be on its way to the URL, by another process of this host.
            if gone and time.time() - path.lstat().st_mtime > _YOUNG_SECONDS:
                path.unlink(missing_ok=True)
        for one, entry in listed.items():
            try:
                path = safe_join(self.folder, one, error=StoreError)
            except StoreError as fault:
                logger.warning("%s: %s; it is not used", self.remote.url, fault)
                continue
            if self._known.get(one) == entry and path.is_file():
                continue
            data = self.remote.read(one)
            if data is not None:
                with disk_faults(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_bytes(path, data)
                self._known[one] = entry

    def share(self, name: str) -> None:
        """Write a small file to the URL; times, which decide nothing, as well as it goes."""
        path = self.folder / name
        try:
            data = (
                self._join_timings()
                if name == _TIMINGS
                else read_bytes(path, _LIMIT, error=StoreError)
            )
            self.remote.write(name, data)
        except StoreError as fault:
            if name != _TIMINGS:
                raise
            logger.warning("%s; how long the stage took is known on this host only", fault)

    def _join_timings(self) -> bytes:
        """Add the times that other hosts have noted to those of this one.

        Of two hosts that write at once one is heard, and the other one when it writes again.
        """
        path, data = self.folder / _TIMINGS, self.remote.read(_TIMINGS) or b""
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            here = path.read_bytes() if path.is_file() else b""
            known = dict.fromkeys(here.splitlines())
            for line in data.splitlines()[-_TIMES:]:
                if line and line not in known:
                    known[line] = None
                    append_line(path, line)
        return b"".join(line + b"\n" for line in list(known)[-_TIMES:])
