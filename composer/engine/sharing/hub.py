"""The door to `huggingface_hub`: one model repository, read at a commit and written in one.

The endpoint (`HF_ENDPOINT`), the token (`HF_TOKEN`, or what `hf auth login` has stored), proxies
and time-outs are as that library documents them. A token is in no message: what the library and
the server say is told in words of our own, as their texts quote headers and signed URLs.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path

from composer.bundle.files import check_name
from composer.bundle.jsontext import one_line
from composer.errors import TransferError

_REMEDIES = {
    400: "the Hub does not accept it",
    401: "access was denied; log in with `hf auth login`, or set HF_TOKEN",
    403: "access was denied; the token may not do that there (it needs write access to push)",
    404: "there is no such thing; check the spelling",
    409: "the name is taken, or somebody else is at work there; look, and run it again",
    412: "somebody else has pushed meanwhile; look at what is there, and run it again",
    429: "too many requests; wait a little, and run it again",
}
_BY_CLASS = {
    "GatedRepoError": "its owner wants to be asked: accept the terms on its page, then log in "
    "with `hf auth login`, or set HF_TOKEN",
    "RepositoryNotFoundError": "there is no such repository, or it is private; check the "
    "spelling; for a private one log in with `hf auth login`, or set HF_TOKEN",
    "RevisionNotFoundError": "there is no such branch, tag or commit",
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set, so nothing is asked; unset it",
}
_UNREACHED = ("connect", "timeout", "ssl", "proxy", "resolution", "protocolerror", "network")


class NotThereError(TransferError):
    """The repository, or the revision, is not there, as far as one may see."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A repository at one commit.

    Attributes:
        commit: 40 hexadecimal digits.
        private: Whether only some may read it.
        files: Name -> bytes.
    """

    commit: str
    private: bool
    files: Mapping[str, int]


def endpoint() -> str:
    """Say where the Hub is: HF_ENDPOINT, or huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT).rstrip("/")


class Repository:
    """A model repository.

    Attributes:
        name: `owner/name`.
    """

    def __init__(self, name: str) -> None:
        """Nothing is asked yet."""
        from huggingface_hub import HfApi

        self.name = name
        self._endpoint = endpoint()
        self._api = HfApi(endpoint=self._endpoint, library_name="adapter-composer")

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"{self._endpoint}/{self.name}"

    def snapshot(self, revision: str | None = None) -> Snapshot:
        """Look at what is there.

        Raises:
            NotThereError: The repository or the revision is not there.
        """
        with self._faults(at=revision):
            info = self._api.model_info(self.name, revision=revision, files_metadata=True)
            siblings = info.siblings or []
            files = {one.rfilename: one.size or 0 for one in siblings}
            commit = str(info.sha)
        if len(commit) != 40 or not set(commit) <= set("0123456789abcdef"):
            raise TransferError(f"{self.url}: the Hub tells no commit")
        return Snapshot(commit=commit, private=bool(info.private), files=files)

    def fetch(self, name: str, commit: str, to: Path) -> None:
        """Fetch one file.

        Args:
            name: Of the file, checked before it becomes part of a path.
            commit: At which.
            to: Where it is put.
        """
        check_name(name, place=self.url, error=TransferError)
        scratch = to.with_name(f".{to.name}.hub")
        try:
            with self._faults(at=commit[:12]):
                found = self._api.hf_hub_download(
                    self.name, name, revision=commit, local_dir=scratch
                )
                os.replace(found, to)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def create(self, *, private: bool) -> None:
        """Make it; who may read it is the owner's default, unless it is to be private."""
        with self._faults(writing=True):
            self._api.create_repo(self.name, private=private or None, repo_type="model")

    def create_branch(self, branch: str) -> None:
        """Make a branch where the main one is."""
        with self._faults(at=branch, writing=True):
            self._api.create_branch(self.name, branch=branch)

    def commit(
        self,
        files: Mapping[str, Path | bytes],
        removed: Iterable[str],
        *,
        message: str,
        parent: Snapshot,
        branch: str | None,
    ) -> str:
        """Send files and take others away, in one commit; give its digits.

        Raises:
            TransferError: Nothing has changed then; what was sent before is in no commit.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, _content(file)) for name, file in files.items()),
            *(CommitOperationDelete(name, is_folder=False) for name in removed),
        ]
        with self._faults(at=branch, writing=True):
            done = self._api.create_commit(
                self.name,
                operations,
                commit_message=message,
                revision=branch,
                parent_commit=parent.commit,
            )
        return str(done.oid)

    @contextmanager
    def _faults(self, *, at: str | None = None, writing: bool = False) -> Iterator[None]:
        """Put into words whatever the library, and those under it, raise."""
        place = self.url + (f" at {at}" if at else "")
        try:
            with _quiet():
                yield
        except TransferError:
            raise
        except Exception as fault:
            raise _told(fault, place, self._endpoint, writing=writing) from fault


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library log no retries, as they hold signed URLs, and draw bars for people only."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    drawn = sys.stderr.isatty() or constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    if not drawn:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if not drawn:
            enable_progress_bars()


def _content(file: Path | bytes) -> str | bytes:
    return file if isinstance(file, bytes) else str(file)


def _told(fault: Exception, place: str, endpoint: str, *, writing: bool) -> TransferError:
    """Say what went wrong and what to do: by class, by the server's status, by the connection."""
    chain = list(_chain(fault))
    for one in () if writing else chain:  # who may not write is told of no repository either
        kinds = [kind.__name__ for kind in type(one).__mro__]
        known = next((_BY_CLASS[kind] for kind in kinds if kind in _BY_CLASS), None)
        if known is not None:
            missing = {"RepositoryNotFoundError", "RevisionNotFoundError"} & set(kinds)
            gone = bool(missing) and "GatedRepoError" not in kinds
            return (NotThereError if gone else TransferError)(f"{place}: {known}")
    for one in chain:
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int) and status >= 500:
            return TransferError(f"{place}: the Hub has a fault (status {status}); try again later")
        if isinstance(status, int):
            remedy = _REMEDIES.get(status, "the Hub refuses it")
            return TransferError(f"{place}: {remedy} (status {status})")
    for one in chain:
        words = " ".join(kind.__name__ for kind in type(one).__mro__).lower()
        if any(word in words for word in _UNREACHED):
            return TransferError(
                f"{place}: {endpoint} cannot be reached ({type(one).__name__}); check the "
                "network, the proxy and HF_ENDPOINT, and run it again"
            )
    return TransferError(f"{place}: {_without_token(fault)}")


def _chain(fault: BaseException | None) -> Iterator[BaseException]:
    """Give a fault, and those that it came from."""
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


def _without_token(fault: Exception) -> str:
    from huggingface_hub import get_token

    said = (str(fault).strip() or type(fault).__name__).splitlines()[0]
    token = get_token()
    return one_line(said.replace(token, "***") if token else said, 300)
