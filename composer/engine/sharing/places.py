"""What the name of a place means, to pull from or to push to.

    owner/name                       a model repository on the Hub
    hf://owner/name@v2               the same, at a branch, tag or commit
    https://huggingface.co/owner/name/tree/v2      the same, as a browser shows it
    https://host/home.zip            a bundle in one file, on a server
    https://host/home/               a folder on a server
    s3://bucket/home                 a folder or .zip in a bucket; gs://, abfs://, file:///folder
    ./home, home.zip                 a folder or .zip on this machine

A name like `owner/name` that is a folder here as well is refused: nobody should have to guess.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from composer.errors import TransferError, did_you_mean

BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "az", "memory", "file")
SERVERS = ("https", "http")

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_WORD}/{_WORD}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class HubPlace:
    """A model repository.

    Attributes:
        name: `owner/name`.
        revision: A branch, tag or commit; None: the main branch.
    """

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        """Write it as it may be given."""
        return f"hf://{self.name}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Address:
    """A URL that is not the Hub's.

    Attributes:
        url: As it was given; may hold a signature of its own behind a question mark.
    """

    url: str

    @property
    def scheme(self) -> str:
        """What stands before `://`."""
        return urlsplit(self.url).scheme.lower()

    def __str__(self) -> str:
        """Write it without what is behind a question mark, which is often a secret."""
        return re.split(r"[?#]", self.url)[0]


Place = HubPlace | Address | Path


def read_place(text: str, *, endpoint: str, revision: str | None = None) -> Place:
    """Say what a name means.

    Args:
        text: As it was typed.
        endpoint: Of the Hub, for example "https://huggingface.co".
        revision: Asked for beside it.

    Raises:
        TransferError: It means nothing, several things, or has no revisions.
    """
    place = _place(text, endpoint.rstrip("/"))
    if revision is None:
        return place
    if not isinstance(place, HubPlace):
        raise TransferError(f"--revision: {place} has none; only repositories on the Hub do")
    if place.revision not in (None, revision):
        raise TransferError(f"--revision: {revision} is asked for, and {place.revision} by {text}")
    return HubPlace(name=place.name, revision=_checked_revision(revision))


def _place(text: str, endpoint: str) -> Place:
    if text.startswith(f"{endpoint}/"):
        return _hub_page(text.removeprefix(f"{endpoint}/"), text)
    scheme, marked, rest = text.partition("://")
    if not marked:
        return _short(text)
    scheme = scheme.lower()
    if scheme == "hf":
        return _hub(rest, text)
    if scheme not in (*BUCKETS, *SERVERS):
        hint = did_you_mean(scheme[:40], ("hf", *SERVERS, *BUCKETS))
        raise TransferError(f"{text[:200]!r}: {scheme[:40]}:// is unknown; {hint}")
    parts = urlsplit(text)
    if ":" in parts.netloc.rpartition("@")[0]:
        host = parts.netloc.rpartition("@")[2]
        raise TransferError(
            f"{scheme}://{host}: a password in a URL ends up in logs; give credentials by the "
            "environment, or in the files of the provider"
        )
    return Address(text)


def _short(text: str) -> Place:
    """Tell a repository from a path: only two words with a slash between are a repository."""
    name, _, _ = text.partition("@")
    is_path = not _NAME.fullmatch(name) or text.endswith(".zip")
    if is_path:
        return Path(text)
    if Path(text).exists():
        raise TransferError(
            f"{text} is a folder here, and may be a repository on the Hub; write ./{text} or "
            f"hf://{text}"
        )
    return _hub(text, text)


def _hub(rest: str, text: str) -> HubPlace:
    name, at, revision = rest.partition("@")
    if not _NAME.fullmatch(name):
        raise TransferError(f"{text[:200]!r} is no repository on the Hub; write owner/name")
    return HubPlace(name=name, revision=_checked_revision(revision) if at else None)


def _hub_page(rest: str, text: str) -> HubPlace:
    owner, _, more = rest.strip("/").partition("/")
    name, _, page = more.partition("/")
    if page and not page.startswith("tree/"):
        raise TransferError(f"{text[:200]!r} is a page of a repository; write hf://{owner}/{name}")
    return _hub(f"{owner}/{name}" + (f"@{page.removeprefix('tree/')}" if page else ""), text)


def _checked_revision(revision: str) -> str:
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise TransferError(
            f"--revision: {revision[:200]!r} is no branch, tag or commit; one has letters, "
            "digits, '.', '_', '-' and '/'"
        )
    return revision
