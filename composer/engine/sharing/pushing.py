"""Push a bundle or an adapter: checked here, then sent in one commit, or manifest last.

Nothing is sent before everything has been checked. On the Hub a push is one commit upon the one
that was looked at: who reads the repository finds what was there, or all of what is new. It takes
away what an earlier push brought and this one does not; a card that somebody has edited stays.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.files import JSON_LIMIT, read_bytes
from composer.bundle.jsontext import parse_json
from composer.bundle.manifest import MANIFEST
from composer.bundle.reader import OpenedBundle
from composer.bundle.signing import signature_beside, signed_digests
from composer.bundle.writer import copy_bundle, pack_bundle
from composer.device.verifying import verify_bundle
from composer.engine.sharing.adapters import verify_adapter, write_adapter_folder
from composer.engine.sharing.hub import NotThereError, Repository, Snapshot
from composer.engine.sharing.origins import SIGNATURE
from composer.engine.sharing.places import SERVERS, Address, HubPlace, Place
from composer.engine.storage.manifest import Manifest
from composer.engine.storage.remote import open_remote
from composer.engine.storage.store import StoredResult
from composer.errors import BundleError, TransferError

CARD = "README.md"

Destination = HubPlace | Address

_MARK = "<!-- composer push: "  # begins a card's last line, which holds the digest of the others
_COMMIT_DIGITS = 40
_PLAIN = (CARD, ".gitattributes", ".gitignore", "LICENSE")  # what a new repository may hold


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What is to be pushed, of which everything has been checked.

    Attributes:
        folder: Holds the files.
        files: Their names, the manifest's last.
        signature: Of a bundle that is signed.
        bundle: None: it is an adapter.
        adapter: None: it is a bundle.
    """

    folder: Path
    files: tuple[str, ...]
    signature: Path | None = None
    bundle: OpenedBundle | None = None
    adapter: Manifest | None = None

    def sizes(self) -> dict[str, int]:
        """Tell what goes there, in bytes, without the card."""
        found = {name: (self.folder / name).stat().st_size for name in self.files}
        if self.signature is not None:
            found[SIGNATURE] = self.signature.stat().st_size
        return found


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What a push did.

    Attributes:
        url: Where it is now.
        commit: On the Hub; None: it went elsewhere.
        created: Whether the repository was made.
        removed: Files of an earlier push that are gone.
        card_kept: Whether the card there was edited by somebody, and left.
        changed: False: all of it was there already.
    """

    url: str
    commit: str | None = None
    created: bool = False
    removed: tuple[str, ...] = ()
    card_kept: bool = False
    changed: bool = True


@contextmanager
def bundle_parcel(path: Path, *, public_key: Path | None = None) -> Iterator[Parcel]:
    """Check every byte of a bundle, its self-test and its signature.

    Args:
        path: The folder, or the zip, which is unpacked as long as this lasts.
        public_key: It must be signed with; left out, a signature beside it goes along if it is
            of this very bundle.

    Raises:
        BundleError: It is not what it says.
    """
    verified = verify_bundle(path, public_key=public_key)
    opened = verified.opened
    signature = signature_beside(opened.path)
    found = signature if signature.is_file() else None
    if found is not None:
        digest = hashlib.sha256(opened.manifest.to_bytes()).hexdigest()
        if digest not in signed_digests(found):
            raise BundleError(f"{found} is of another bundle than {path}; sign it again")
    with tempfile.TemporaryDirectory(prefix="composer-push-") as scratch:
        folder = Path(scratch) / "bundle"
        copy_bundle(opened.path, folder)  # nobody changes it while it is sent
        files = (*opened.manifest.listed(), MANIFEST)
        yield Parcel(folder=folder, files=files, signature=found, bundle=opened)


@contextmanager
def adapter_parcel(result: StoredResult) -> Iterator[Parcel]:
    """Copy an adapter out of the store, without the folders of this machine, and check it.

    Raises:
        AdapterError: It is no adapter.
    """
    with tempfile.TemporaryDirectory(prefix="composer-push-") as scratch:
        folder = Path(scratch)
        write_adapter_folder(result, folder)
        manifest = verify_adapter(folder)
        files = (*sorted(manifest.files), MANIFEST)
        yield Parcel(folder=folder, files=files, adapter=manifest)


def sealed_card(text: str) -> bytes:
    """End a card with a mark by which an edited one is told from one that was generated."""
    return f"{text}{_MARK}{_digest(text)} -->\n".encode()


def push(
    parcel: Parcel,
    place: Destination,
    *,
    card: bytes,
    message: str,
    private: bool = False,
    replace_card: bool = False,
) -> Pushed:
    """Send what was checked.

    Args:
        parcel: What.
        place: Where: a repository, made if it is not there, or a folder or .zip in a bucket.
        card: README.md, for the Hub.
        message: Of the commit.
        private: Make the repository so; refused if it is there and is not.
        replace_card: Replace a card that somebody has edited.

    Raises:
        TransferError: It does not get through, or something else is there.
    """
    if isinstance(place, HubPlace):
        files: dict[str, Path | bytes] = {name: parcel.folder / name for name in parcel.files}
        if parcel.signature is not None:
            files[SIGNATURE] = parcel.signature
        files[CARD] = card
        return _push_to_hub(
            files, place, message=message, private=private, replace_card=replace_card
        )
    return _push_to_bucket(parcel, place)


def checked_destination(place: Place) -> Destination:
    """Give a place back, if something can be pushed to it.

    Raises:
        TransferError: It is a web server, or on this machine.
    """
    if isinstance(place, HubPlace) or (isinstance(place, Address) and place.scheme not in SERVERS):
        return place
    raise TransferError(
        f"{place}: nothing can be pushed there; give owner/name for the Hub, or s3://, gs:// or "
        "abfs:// (to a folder on this machine: composer export NAME --to FOLDER)"
    )


def _push_to_hub(
    files: dict[str, Path | bytes],
    place: HubPlace,
    *,
    message: str,
    private: bool,
    replace_card: bool,
) -> Pushed:
    repository = Repository(place.name)
    before, created = _prepared(repository, place.revision, private=private)
    kept = False
    with tempfile.TemporaryDirectory(prefix="composer-push-") as scratch:
        removed = _of_earlier_push(repository, before, Path(scratch)) - files.keys()
        if not replace_card and _is_edited(repository, before, Path(scratch)):
            del files[CARD]
            kept = True
    commit = repository.commit(
        files, sorted(removed), message=message, parent=before, branch=place.revision
    )
    _check_arrived(repository, commit, files)
    return Pushed(
        url=repository.url,
        commit=commit,
        created=created,
        removed=tuple(sorted(removed)),
        card_kept=kept,
        changed=commit != before.commit,
    )


def _prepared(
    repository: Repository, branch: str | None, *, private: bool
) -> tuple[Snapshot, bool]:
    """Have a repository and a branch to push to, and look at them; say if it was made."""
    main, created = _look(repository), False
    if main is None:
        repository.create(private=private)
        main, created = repository.snapshot(), True
    if private and not main.private:
        raise TransferError(
            f"--private: {repository.url} is there, and everybody may read it; change that in its "
            "settings, or give another name"
        )
    if branch is None:
        return main, created
    if len(branch) == _COMMIT_DIGITS and set(branch) <= set("0123456789abcdef"):
        raise TransferError(f"--revision: {branch} is a commit; push to a branch")
    there = _look(repository, branch)
    if there is None:
        repository.create_branch(branch)
    return there or repository.snapshot(branch), created


def _look(repository: Repository, revision: str | None = None) -> Snapshot | None:
    try:
        return repository.snapshot(revision)
    except NotThereError:
        return None


def _of_earlier_push(repository: Repository, before: Snapshot, scratch: Path) -> set[str]:
    """List what an earlier push brought; refuse a repository that holds anything else's files."""
    if MANIFEST not in before.files:
        other = sorted(name for name in before.files if name not in _PLAIN)
        if other:
            raise _foreign(repository.url, other[0])
        return set()
    data = b""
    if before.files[MANIFEST] <= JSON_LIMIT:
        repository.fetch(MANIFEST, before.commit, scratch / MANIFEST)
        data = read_bytes(scratch / MANIFEST, JSON_LIMIT)
    named = _named_in(data)
    if not named:
        raise _foreign(repository.url, MANIFEST)
    return (named | {SIGNATURE}) & before.files.keys()


def _named_in(manifest: bytes) -> set[str]:
    """List the files of a bundle or an adapter, of whatever format; none: it is neither's."""
    try:
        values = parse_json(manifest, place=MANIFEST)
        parts = [part["file"] for part in values.get("parts", {}).values()]
        named = {*values["files"], *parts, MANIFEST}
    except (BundleError, TypeError, KeyError, AttributeError):
        return set()
    return named if "digest" in values else set()


def _foreign(url: str, name: str) -> TransferError:
    return TransferError(
        f"{url} holds {name!r:.200}, which no push of composer brought; give another name"
    )


def _is_edited(repository: Repository, before: Snapshot, scratch: Path) -> bool:
    """Say whether there is a card that is not, to the letter, one that was generated."""
    size = before.files.get(CARD)
    if size is None:
        return False
    if size > JSON_LIMIT:
        return True
    repository.fetch(CARD, before.commit, scratch / CARD)
    text = read_bytes(scratch / CARD, JSON_LIMIT).decode(errors="replace")
    body, mark, digest = text.rpartition(_MARK)
    return digest.removesuffix(" -->\n") != _digest(body) if mark else bool(text.strip())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_arrived(repository: Repository, commit: str, files: Mapping[str, Path | bytes]) -> None:
    """Look whether everything is in the commit: what the repository's .gitignore names is not."""
    there = repository.snapshot(commit).files
    for name, file in files.items():
        size = len(file) if isinstance(file, bytes) else file.stat().st_size
        if there.get(name) != size:
            raise TransferError(
                f"{repository.url} at {commit[:12]}: {name} did not arrive; look at the "
                "repository's .gitignore, and push again"
            )


def _push_to_bucket(parcel: Parcel, place: Address) -> Pushed:
    """Copy the files, the manifest last, or the zip; what an earlier push left over is removed."""
    url = str(place).rstrip("/")
    above, _, name = url.rpartition("/")
    remote = open_remote(above, option="TO")
    if name.endswith(".zip"):
        if parcel.bundle is None:
            raise TransferError(f"{place}: an adapter is a folder; give the name of one")
        with tempfile.TemporaryDirectory(prefix="composer-push-") as scratch:
            pack_bundle(parcel.folder, Path(scratch) / "bundle.zip")
            remote.put(Path(scratch) / "bundle.zip", name)
    else:
        there = {one.removeprefix(f"{name}/") for one in remote.list(f"{name}/")}
        named = _named_in(remote.read(f"{name}/{MANIFEST}") or b"") if there else set()
        if there - named:
            raise _foreign(url, sorted(there - named)[0])
        if there:
            remote.remove([f"{name}/{MANIFEST}"])  # from here on it is no bundle, until it is one
        for one in parcel.files:
            remote.put(parcel.folder / one, f"{name}/{one}")
        remote.remove([f"{name}/{one}" for one in sorted(there - set(parcel.files))])
    signature = f"{name.removesuffix('.zip')}.sig"
    if parcel.signature is not None:
        remote.put(parcel.signature, signature)
    else:
        remote.remove([signature])  # of what was there before
    return Pushed(url=url)
