"""Where a shared store lies: objects by name, behind fsspec or in a folder that hosts share.

    s3://bucket/team        and s3a://, by s3fs       credentials, region and endpoint come
    gs://bucket/team        and gcs://, by gcsfs      from the environment or from the files
    abfs://container/team   and az://, by adlfs       of the provider, never from the URL
    memory://team           of this process, for trying things out
    file:///mnt/team        a folder; see `composer.engine.storage.shared_folder`

Only what can create an object exclusively may hold a store: two hosts that do the same at once
must be told apart. The first use tries it, as not every server that speaks S3 does it.
"""

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from composer.errors import Fault, MissingExtraError, RecipeError, StoreError, did_you_mean

PLACE = "--store"

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
    "memory": "",
    "file": "",
}
_FULL_HERE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "created")
_UNREACHED = ("connect", "timeout", "timedout", "endpoint", "dns", "gaierror", "ssl")
_DENIED = ("credential", "forbidden", "accessdenied", "token", "auth")


@dataclass(frozen=True)
class Entry:
    """What a list says of an object.

    Attributes:
        size: In bytes.
        modified: Seconds since 1970 by the server's clock; None: it does not say.
    """

    size: int
    modified: float | None


class Remote(Protocol):
    """Objects by name; each is there whole or not at all. All faults are `StoreError`.

    Attributes:
        url: Where; holds no secret.
    """

    url: str

    def read(self, name: str) -> bytes | None:
        """Read a small object; None: there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a small object, over what is there."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object that must not be there yet; False: somebody else's is."""

    def put(self, file: Path, name: str) -> None:
        """Copy a local file there."""

    def get(self, name: str, file: Path) -> bool:
        """Copy an object to a local file; False: there is none."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, if they are there."""

    def list(self, prefix: str) -> dict[str, Entry]:
        """List every object whose name begins with a folder's; may lag behind what is there."""


def open_remote(url: str, *, option: str = PLACE) -> Remote:
    """Make what a URL means; nothing is asked of it yet.

    Args:
        url: Of a store, or of what else is kept there.
        option: That it was given by, for messages.

    Raises:
        RecipeError: No store can be there.
        MissingExtraError: Its package is not installed.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in _PACKAGES:
        hint = did_you_mean(scheme, _PACKAGES)
        raise _fault(f"no store can be kept on {f'{scheme[:40]}://'!r}; {hint}", option)
    if "@" in parts.netloc and ":" in parts.netloc.rpartition("@")[0]:
        raise _fault(
            f"{scheme}://{parts.netloc.rpartition('@')[2]}: a password in a URL ends up in logs; "
            "give credentials by the environment, or in the files of the provider",
            option,
        )
    if parts.query or parts.fragment:
        place = f"{scheme}://{parts.netloc}{parts.path}"
        raise _fault(f"{place}: a store's URL has no ? and no #", option)
    if scheme == "file":
        from composer.engine.storage.shared_folder import SharedFolder

        if parts.netloc not in ("", "localhost") or not parts.path.strip("/"):
            raise _fault(f"{url}: write file:///FOLDER, with the folder from the root on", option)
        return SharedFolder(Path(parts.path))
    if not parts.netloc or ".." in parts.path.split("/"):
        raise _fault(f"{url}: write {scheme}://BUCKET/FOLDER", option)
    package = _PACKAGES[scheme]
    if package and find_spec(package) is None:
        needed = f"what is on {scheme}://"
        raise MissingExtraError(
            library=package, needed_for=needed, install=f"pip install {package}"
        )
    return ObjectStore(f"{scheme}://{parts.netloc}{parts.path}".rstrip("/"), option=option)


class ObjectStore:
    """Objects of a bucket, through fsspec."""

    def __init__(self, url: str, *, option: str = PLACE) -> None:
        self.url = url
        self._option = option
        self._opened: tuple[int, Any] | None = None  # process, file system
        self._exclusive = False

    def read(self, name: str) -> bytes | None:
        """Read a small object; None: there is none."""
        try:
            data: bytes = self._call("cat_file", self._path(name))
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a small object, over what is there."""
        self._call("pipe_file", self._path(name), data, missing=self._no_bucket)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object that must not be there yet; False: somebody else's is."""
        self._check_exclusive()
        return self._create(name, data)

    def put(self, file: Path, name: str) -> None:
        """Copy a local file there."""
        file.stat()  # that it is not here must not be taken for what is not there
        self._call("put_file", str(file), self._path(name), missing=self._no_bucket)

    def get(self, name: str, file: Path) -> bool:
        """Copy an object to a local file; False: there is none."""
        try:
            self._call("get_file", self._path(name), str(file))
        except FileNotFoundError:
            return False
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, if they are there."""
        for name in names:
            with suppress(FileNotFoundError):
                self._call("rm_file", self._path(name))

    def list(self, prefix: str) -> dict[str, Entry]:
        """List every object whose name begins with a folder's; may lag behind what is there."""
        root = self._path("")
        try:
            found: Mapping[str, Mapping[str, object]] = self._call(
                "find", self._path(prefix), detail=True
            )
        except FileNotFoundError as fault:
            bucket = root.strip("/").split("/")[0]
            if self.url.startswith("memory:") or self._call("exists", bucket):
                return {}
            raise self._no_bucket() from fault
        return {
            path.lstrip("/").removeprefix(root.lstrip("/")): _entry(info)
            for path, info in found.items()
            if path.lstrip("/").startswith(root.lstrip("/"))
        }

    def _create(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        try:
            self._call("pipe_file", path, data, mode="create", missing=self._no_bucket)
        except FileExistsError:
            # It may be ours: the answer to the first try was lost, and the library tried again.
            return self.read(name) == data
        return True

    def _check_exclusive(self) -> None:
        if self._exclusive:
            return
        name = f"probes/{secrets.token_hex(8)}"
        once, twice = (self._create(name, secrets.token_bytes(8)) for _ in range(2))
        self.remove([name])
        if not once or twice:
            raise StoreError(
                f"{self.url}: this server overwrites what is to be created once (it ignores "
                "If-None-Match), so that two hosts could not be told apart; use one that does "
                "not, or a folder"
            )
        self._exclusive = True

    def _path(self, name: str) -> str:
        return f"{self.url.partition('://')[2]}/{name}"

    def _files(self) -> Any:
        """Give the file system of this process: a fork must not use its parent's."""
        if self._opened is None or self._opened[0] != os.getpid():
            import fsspec

            scheme = self.url.partition("://")[0]
            options = {"skip_instance_cache": True, "use_listings_cache": False}
            self._opened = (os.getpid(), fsspec.filesystem(scheme, **options))
        return self._opened[1]

    def _call(
        self,
        what: str,
        /,
        *given: object,
        missing: Callable[[], StoreError] | None = None,
        **named: object,
    ) -> Any:
        """Call the file system; whatever its library raises becomes a `StoreError`.

        An object that is not there, or is there already, is told as Python does.
        """
        try:
            return getattr(self._files(), what)(*given, **named)
        except FileExistsError:
            raise
        except FileNotFoundError as fault:
            if missing is None:
                raise
            raise missing() from fault
        except Exception as fault:  # every file system has errors of its own
            if isinstance(fault, OSError) and fault.errno in _FULL_HERE:
                raise
            raise StoreError(f"{self.url}: {_told(fault)}") from fault

    def _no_bucket(self) -> StoreError:
        return StoreError(
            f"{self.url}: there is no such bucket; make it, or give another place with "
            f"{self._option}"
        )


def _told(fault: Exception) -> str:
    """Say what went wrong and what to do; libraries name errors by class or in their text."""
    kind = type(fault).__name__
    said = " ".join(str(fault).split())[:200] or kind
    words = f"{kind} {said}".lower().replace(" ", "")
    if isinstance(fault, PermissionError) or any(word in words for word in _DENIED):
        remedy = "check the credentials in the environment, and what they may do there"
        return f"access was denied ({said}); {remedy}"
    if isinstance(fault, ConnectionError | TimeoutError) or any(w in words for w in _UNREACHED):
        remedy = "check the network and the endpoint, and run the same command again"
        return f"it cannot be reached ({said}); {remedy}"
    return f"{said}; run the same command again when that is mended; it goes on where it stopped"


def _entry(info: Mapping[str, object]) -> Entry:
    size = info.get("size")
    times = (info.get(name) for name in _MODIFIED)
    return Entry(
        size=size if isinstance(size, int) else 0,
        modified=next((_seconds(time) for time in times if time is not None), None),
    )


def _seconds(time: object) -> float | None:
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            return None
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else None


def _fault(message: str, option: str) -> RecipeError:
    return RecipeError([Fault(option, message)])
