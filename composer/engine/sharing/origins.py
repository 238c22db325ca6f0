"""Where files are pulled from: the Hub, a server, a bucket, a folder; each as names and bytes.

Nothing that an origin says is believed: not a name, not a size, not what a file holds. Whoever
fetches says how many bytes there may be, and checks what came.
"""

import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from urllib.parse import quote, unquote, urlsplit

from composer.bundle.files import open_regular, safe_join
from composer.bundle.source import CHUNK
from composer.engine.sharing.hub import Repository
from composer.engine.sharing.places import SERVERS, Address, HubPlace, Place
from composer.engine.storage.remote import Remote, open_remote
from composer.errors import TransferError

SECONDS = 30  # without a byte from a server

_GONE = (404, 410)
_THIS_MACHINE = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")


class Origin(Protocol):
    """Files by name, of which some may be asked for.

    Attributes:
        place: What messages call it; holds no secret.
    """

    place: str

    def sizes(self) -> Mapping[str, int] | None:
        """Tell the files that are there, in bytes; None: there is no way to know."""

    def fetch(self, name: str, to: Path, *, limit: int) -> bool:
        """Bring a file of at most `limit` bytes here; False: it is not there."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a place leads.

    Attributes:
        origin: Of its files.
        folder: Stands before the names of a bundle's files there: "home/", or nothing.
        archive: The one file that is the whole bundle, as `home.zip`; None: each file by itself.
        signature: What a detached signature is called there.
        commit: On the Hub, of the files.
    """

    origin: Origin
    folder: str
    archive: str | None
    signature: str
    commit: str | None = None


SIGNATURE = "bundle.sig"  # in a repository on the Hub, where nothing lies beside the bundle


def open_origin(place: Place, *, signed: bool = False) -> Found:
    """Find what a place leads to; of the Hub, at the commit that its revision is now.

    Args:
        place: To pull from.
        signed: Whether a signature will be demanded: only then may a server be without TLS.

    Raises:
        TransferError: It is not there, cannot be reached, or refuses.
    """
    if isinstance(place, HubPlace):
        repository = Repository(place.name)
        snapshot = repository.snapshot(place.revision)
        origin = HubOrigin(repository, snapshot.commit, snapshot.files)
        return Found(
            origin=origin, folder="", archive=None, signature=SIGNATURE, commit=snapshot.commit
        )
    if isinstance(place, Path):
        return _local(place)
    parts = urlsplit(place.url)
    if place.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise TransferError(f"{place}: write file:///FOLDER, with the folder from the root on")
        return _local(Path(unquote(parts.path)))
    name = PurePosixPath(unquote(parts.path)).name
    if place.scheme in SERVERS:
        _refuse_open_wire(place, signed=signed)
        if parts.query and not name.endswith(".zip"):
            raise TransferError(f"{place}: the URL of a folder has no ?")
        return _named(name, ServerOrigin(place.url), place)
    bucket = open_remote(str(place).rstrip("/").rpartition("/")[0], option="SOURCE")
    return _named(name, BucketOrigin(bucket), place)


class HubOrigin:
    """The files of a repository at one commit."""

    def __init__(self, repository: Repository, commit: str, files: Mapping[str, int]) -> None:
        self.place = repository.url
        self._repository, self._commit, self._files = repository, commit, files

    def sizes(self) -> Mapping[str, int]:
        """Tell what the Hub says is there."""
        return self._files

    def fetch(self, name: str, to: Path, *, limit: int) -> bool:
        """Bring a file here."""
        if name not in self._files:
            return False
        if self._files[name] > limit:
            raise _too_large(self.place, name, self._files[name], limit)
        self._repository.fetch(name, self._commit, to)
        if (size := to.stat().st_size) > limit:
            raise _too_large(self.place, name, size, limit)
        return True


class FolderOrigin:
    """The files of a folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder

    def sizes(self) -> None:
        """Leave it to `fetch`."""

    def fetch(self, name: str, to: Path, *, limit: int) -> bool:
        """Copy a plain file."""
        path = safe_join(self._folder, name, error=TransferError)
        if not os.path.lexists(path):
            return False
        with open_regular(path, error=TransferError) as (file, size), open(to, "xb") as copy:
            if size > limit:
                raise _too_large(self.place, name, size, limit)
            shutil.copyfileobj(file, copy, CHUNK)
        return True


class BucketOrigin:
    """The files below a folder of a bucket, or of all of it."""

    def __init__(self, remote: Remote) -> None:
        self.place = remote.url
        self._remote = remote

    def sizes(self) -> None:
        """Leave it to `fetch`."""

    def fetch(self, name: str, to: Path, *, limit: int) -> bool:
        """Copy an object."""
        entry = self._remote.list(name).get(name)
        if entry is None:
            return False
        if entry.size > limit:
            raise _too_large(self.place, name, entry.size, limit)
        return self._remote.get(name, to)


class ServerOrigin:
    """The files beside the one, or the folder, that a URL is of."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        above = parts.path.rstrip("/").rpartition("/")[0]
        self.place = f"{parts.scheme}://{parts.netloc}{above}"
        self._query = f"?{parts.query}" if parts.query else ""
        self._opener = urllib.request.build_opener(_Redirects(parts.scheme))

    def sizes(self) -> None:
        """Servers tell no lists."""

    def fetch(self, name: str, to: Path, *, limit: int) -> bool:
        """Download a file; more than `limit` bytes are not read."""
        url = f"{self.place}/{quote(name)}"
        headers = {"User-Agent": "adapter-composer", "Accept-Encoding": "identity"}
        request = urllib.request.Request(url + self._query, headers=headers)
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                _copy(response, to, limit, url)
        except urllib.error.HTTPError as fault:
            fault.close()
            if fault.code in _GONE:
                return False
            how = "leads nowhere with it" if fault.code < 400 else "refuses it"
            raise TransferError(f"{url}: the server {how} (status {fault.code})") from fault
        except (OSError, http.client.HTTPException) as fault:
            reason = getattr(fault, "reason", None) or fault
            host = urlsplit(url).netloc
            raise TransferError(
                f"{url}: {host} cannot be reached, or broke off ({type(reason).__name__}: "
                f"{str(reason)[:200]}); check the network, and run it again"
            ) from fault
        return True


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow a server elsewhere, but never from TLS to what is open on the wire."""

    def __init__(self, scheme: str) -> None:
        self._allowed = ("https",) if scheme == "https" else SERVERS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse a redirection to another protocol."""
        if urlsplit(newurl).scheme not in self._allowed:
            fp.close()
            place = req.full_url.partition("?")[0]
            raise TransferError(f"{place}: the server leads from https to another protocol")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copy(response: http.client.HTTPResponse, to: Path, limit: int, url: str) -> None:
    told = response.headers.get("Content-Length", "")
    expected = int(told) if told.isdecimal() else None
    if expected is not None and expected > limit:
        raise _too_large(url.rpartition("/")[0], url.rpartition("/")[2], expected, limit)
    copied = 0
    with open(to, "xb") as file:
        while chunk := response.read(min(CHUNK, limit + 1 - copied)):
            file.write(chunk)
            copied += len(chunk)
            if copied > limit:
                raise TransferError(f"{url}: has more than the {limit:,} bytes that are allowed")
    if expected is not None and copied != expected:
        raise TransferError(
            f"{url}: was cut short after {copied:,} of {expected:,} bytes; run it again"
        )


def _local(path: Path) -> Found:
    if not path.exists():
        raise TransferError(f"{path} does not exist, or cannot be read")
    path = Path(os.path.realpath(path))  # a link to a bundle is followed once, none in it
    return _named(path.name, FolderOrigin(path.parent), path, is_folder=path.is_dir())


def _named(name: str, origin: Origin, place: Place, *, is_folder: bool | None = None) -> Found:
    """Say what lies beside and below; without a disk to look at, a .zip is no folder."""
    if name.endswith((".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z")):
        raise TransferError(f"{place}: a bundle in one file is a .zip, as `composer export` makes")
    if not name:
        raise TransferError(f"{place}: give the folder, or the .zip, of a bundle")
    is_archive = not (is_folder if is_folder is not None else not name.endswith(".zip"))
    return Found(
        origin=origin,
        folder="" if is_archive else f"{name}/",
        archive=name if is_archive else None,
        signature=f"{name.removesuffix('.zip')}.sig",
    )


def _refuse_open_wire(place: Address, *, signed: bool) -> None:
    host = urlsplit(place.url).hostname or ""
    if place.scheme == "https" or signed or _THIS_MACHINE.fullmatch(host):
        return
    raise TransferError(
        f"{place}: what comes by http can be changed on its way; use https, or say whose signature "
        "it must have: --public-key WHO.pem"
    )


def _too_large(place: str, name: str, size: int, limit: int) -> TransferError:
    return TransferError(f"{place}: {name} has {size:,} bytes; at most {limit:,} are fetched")
