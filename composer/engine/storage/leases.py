"""Leases: of all hosts on a shared store one works on a key, until it is not heard of.

    leases/0a41…/1         the first holder's: {"expiry": 60, "host": "n7", "token": "5f1c…"}
    leases/0a41…/1.beat    written again and again while it works: token and a count
    leases/0a41…/2         the second's, who had seen the beat of 1 unchanged for 60 seconds
    leases/0a41…/2.free    let go of without a result: whoever wants takes 3 at once

The number fences: it is created exclusively, so one of those who want it gets it, and a holder
that finds the next number taken has lost its own and publishes nothing. Clocks are never
compared: who waits measures, by its own clock, how long it has seen the same beat. Lists only
say where to begin to look; that a number is free is known from creating it.
"""

import json
import logging
import platform
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from composer.bundle.jsontext import canonical_json
from composer.engine.storage.faults import LostLeaseError
from composer.engine.storage.remote import Remote
from composer.errors import StoreError

logger = logging.getLogger(__name__)

EXPIRY_SECONDS = 60.0
BEATS = 6  # in the time after which a lease expires

_LONGEST = 3600.0  # that anyone waits, whatever a lease says
_POLL_SECONDS = 1.0


class Lease:
    """The right to work on a key, kept alive by a thread.

    Attributes:
        key: What is worked on.
        number: Fences; see the module.
        token: Of this holder.
        finished: Whether the result is published, so that nobody needs the lease any more.
    """

    def __init__(self, remote: Remote, key: str, *, number: int, token: str, expiry: float) -> None:
        self.key, self.number, self.token = key, number, token
        self.finished = False
        self.between_beats: Callable[[], None] = lambda: None
        self._remote, self._every = remote, expiry / BEATS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{key[:8]}", daemon=True)

    def start(self) -> None:
        """Begin to be heard of."""
        self._thread.start()

    def check(self) -> None:
        """See that nobody has taken over.

        Raises:
            LostLeaseError: Somebody has.
        """
        if self._remote.read(_name(self.key, self.number + 1)) is not None:
            raise LostLeaseError(
                f"{self._remote.url}: another worker took over {self.key[:12]}, as this one was "
                "not heard of for too long; run the same command again to use what it makes"
            )

    def release(self) -> None:
        """Let go: at once for those who wait, if the place can be reached; else it expires."""
        self._stop.set()
        self._thread.join()
        with suppress(StoreError):
            self.check()
            if self.finished:
                self._remote.remove(self._names())
            else:
                self._remote.write(f"{_name(self.key, self.number)}.free", b"")

    def _names(self) -> list[str]:
        """Name all that this holder and those before it have left, numbers last."""
        names = [_name(self.key, number) for number in range(1, self.number + 1)]
        marks = [f"{name}.beat" for name in names] + [f"{name}.free" for name in names[:-1]]
        return [*marks, *names]

    def _beat(self) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            try:
                name = f"{_name(self.key, self.number)}.beat"
                self._remote.write(name, f"{self.token} {count}".encode())
                self.between_beats()
            except (StoreError, OSError) as fault:  # the next beat may go through
                logger.debug("a beat of %s was lost: %s", self.key[:12], fault)
            self._stop.wait(self._every)


def take_lease(
    remote: Remote,
    key: str,
    *,
    waiting: Callable[[], None],
    expiry: float = EXPIRY_SECONDS,
    dead: str = "",
) -> Lease:
    """Take the lease of a key, waiting while somebody else is heard of.

    Args:
        remote: Of all hosts.
        key: To work on.
        waiting: Called again and again meanwhile; it may raise.
        expiry: Seconds of silence after which others may take over from this holder.
        dead: Token of a holder that is known to have ended.
    """
    watch, newest = _Watch(remote, key, dead), 0
    while True:
        newest = _newest(remote, key, at_least=newest)
        if newest == 0 or watch.is_over(newest):
            token = secrets.token_hex(16)
            about = {"expiry": expiry, "host": platform.node(), "token": token}
            said = canonical_json(about)
            if remote.create(_name(key, newest + 1), said):
                lease = Lease(remote, key, number=newest + 1, token=token, expiry=expiry)
                lease.start()
                return lease
            newest += 1  # somebody else was quicker
        waiting()
        time.sleep(min(_POLL_SECONDS, expiry / 10))


def is_leased(remote: Remote, key: str) -> bool:
    """Say whether anybody may still work on a key; a dead holder is not told from a live one."""
    newest = _newest(remote, key, at_least=0)
    return newest > 0 and remote.read(f"{_name(key, newest)}.free") is None


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who works on a key, as far as one look tells.

    Attributes:
        host: Its name; empty if it does not say.
        since: Seconds since the epoch, by the server's clock; None: it does not say.
    """

    host: str
    since: float | None


def holders(remote: Remote, *, now: float) -> dict[str, Holder]:
    """Give who works on each key; for people to look at, and nothing is decided by it.

    Here alone clocks are compared: a lease whose last beat is older than twice its expiry is
    taken for a dead holder's.
    """
    listed = remote.list("leases/")
    newest: dict[str, int] = {}
    for key, mark in (name.split("/")[1:] for name in listed if name.count("/") == 2):
        if mark.isdecimal():
            newest[key] = max(newest.get(key, 0), int(mark))
    found = {}
    for key, number in newest.items():
        name = _name(key, number)
        if f"{name}.free" in listed or (data := remote.read(name)) is None:
            continue
        beat = listed.get(f"{name}.beat", listed[name]).modified
        if beat is None or now - beat <= 2 * _read(data)[1]:
            found[key] = Holder(host=_host(data), since=listed[name].modified)
    return found


class _Watch:
    """How long one holder has not been heard of."""

    def __init__(self, remote: Remote, key: str, dead: str) -> None:
        self.remote, self.key, self.dead = remote, key, dead
        self.seen: tuple[int, bytes | None] = (0, None)
        self.since = 0.0

    def is_over(self, number: int) -> bool:
        """Say whether a lease was let go of, or its holder is silent for as long as it said."""
        name = _name(self.key, number)
        if self.remote.read(f"{name}.free") is not None:
            return True
        token, expiry = _read(self.remote.read(name))
        if token and token == self.dead:
            return True
        seen = (number, self.remote.read(f"{name}.beat"))
        if seen != self.seen:
            self.seen, self.since = seen, time.monotonic()
        return time.monotonic() - self.since > expiry


def _newest(remote: Remote, key: str, *, at_least: int) -> int:
    """Find the highest number that is taken; 0: none is, as far as a list says.

    Args:
        remote: Of all hosts.
        key: Worked on.
        at_least: A number that was taken, whatever a list says; it may be gone by now.
    """
    folder = _folder(key)
    listed = [name.removeprefix(folder) for name in remote.list(folder)]
    newest = max((int(one) for one in listed if one.isdecimal()), default=0)
    if newest < at_least:
        newest = at_least if remote.read(_name(key, at_least)) is not None else newest
    while newest and remote.read(_name(key, newest + 1)) is not None:
        newest += 1
    return newest


def _read(data: bytes | None) -> tuple[str, float]:
    """Read token and expiry; what cannot be read says nothing, and expires as all do."""
    try:
        values = json.loads(data or b"{}")
        token, expiry = values.get("token", ""), float(values.get("expiry", EXPIRY_SECONDS))
    except (ValueError, AttributeError, TypeError):
        return "", EXPIRY_SECONDS
    return str(token), expiry if 0 < expiry < _LONGEST else EXPIRY_SECONDS


def _host(data: bytes) -> str:
    try:
        values = json.loads(data)
    except ValueError:
        return ""
    return str(values.get("host", "")) if isinstance(values, dict) else ""


def _folder(key: str) -> str:
    return f"leases/{key}/"


def _name(key: str, number: int) -> str:
    return f"{_folder(key)}{number}"
