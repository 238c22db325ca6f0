"""Pull a bundle or an adapter: fetched beside its place, checked whole, then given its name.

The manifest comes first and says what there must be; nothing else is fetched. What comes is held
to it as if it had been copied here by hand: names, sizes, digests, tensors, the signature if one is
demanded, and the self-test of a bundle with a graph. Until all of that has passed, nothing is at
the target; if any of it fails, nothing is left.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from composer.bundle.archive import SIZE_LIMIT
from composer.bundle.files import beside, check_name, read_json, safe_join
from composer.bundle.manifest import MANIFEST, MANIFEST_LIMIT
from composer.bundle.reader import read_manifest
from composer.bundle.signing import check_signature_target, keep_signature, signature_beside
from composer.bundle.source import PARTS, FolderSource
from composer.bundle.writer import check_target, place_bundle
from composer.device.verifying import Figures, Verified, verify_bundle
from composer.engine.sharing import adapters
from composer.engine.sharing.origins import Found, open_origin
from composer.engine.sharing.places import Place
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.manifest import read_manifest as read_stored
from composer.errors import AdapterError, BundleError, StoreError, TransferError

SIGNATURE_LIMIT = 2**20  # bytes
BESIDE = ("README.md", ".gitattributes", ".gitignore", "LICENSE")  # nothing to wonder about

_FETCHED = "fetched"

Kind = Literal["bundle", "adapter"]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What was pulled, and is at its target now.

    Attributes:
        kind: "bundle" or "adapter".
        path: The target.
        commit: On the Hub; None: it came from elsewhere.
        digest: Of the bundle; of an adapter the key of its result.
        files: How many.
        bytes: Of all of them.
        signature: Where the signature that came with it lies now; None: there was none.
        left: Names of what was there too, and was not fetched.
        figures: Of a bundle, what verifying it told.
        stage: Kind of an adapter: "task" or "language".
    """

    kind: Kind
    path: Path
    commit: str | None
    digest: str
    files: int
    bytes: int
    signature: Path | None = None
    left: tuple[str, ...] = ()
    figures: Figures | None = None
    stage: str = ""


def pull(
    place: Place,
    target: Path,
    *,
    public_key: Path | None = None,
    signature: Path | None = None,
    only: Kind | None = None,
) -> Pulled:
    """Bring a bundle or an adapter here.

    Args:
        place: Where it is.
        target: A new folder, or of a bundle a file that ends in .zip; a bundle that is there is
            replaced by a bundle, an adapter by an adapter.
        public_key: PEM file of who is trusted; the bundle must be signed with it.
        signature: Left out, the one that lies beside it there.
        only: What it must be; None: either.

    Raises:
        TransferError: It is not there, is the other, cannot be reached, or does not get through.
        BundleError, AdapterError, StoreError: It is not what it says; or the target is taken.
    """
    if signature is not None and public_key is None:
        raise BundleError(f"{signature}: a signature says nothing without the public key of whom")
    found = open_origin(place, signed=public_key is not None)
    with _scratch(target) as scratch, _named_as_there(found, scratch):
        fetched = scratch / _FETCHED
        kind = "bundle" if found.archive is not None else _fetch_manifest(found, fetched)
        if only not in (None, kind):
            raise TransferError(f"{place}: is of kind {kind}, and not of kind {only}")
        if kind == "adapter":
            if public_key is not None:
                raise BundleError(f"{fetched}: is an adapter, and only bundles are signed")
            return _pull_adapter(found, fetched, target)
        check_target(target)
        check_signature_target(signature_beside(target.absolute()))
        signed = signature or _fetch_signature(found, scratch, asked=public_key is not None)
        if public_key is not None and signed is None:
            raise BundleError(f"{place}: a signature was asked for, and there is none beside it")
        fetched = _fetch_bundle(found, fetched)
        trusted = signed if public_key is not None else None
        verified = verify_bundle(fetched, public_key=public_key, signature=trusted)
        return _place_bundle(found, verified, target, signed)


def _place_bundle(found: Found, verified: Verified, target: Path, signed: Path | None) -> Pulled:
    """Publish a bundle that was verified, and its signature beside it."""
    place_bundle(verified.opened.path, target)
    kept = None if signed is None else signature_beside(target.absolute())
    if signed is not None and kept is not None:
        keep_signature(signed, kept)
    manifest = verified.opened.manifest
    listed = manifest.listed()
    return Pulled(
        kind="bundle",
        path=target,
        commit=found.commit,
        digest=manifest.digest,
        files=1 + len(listed),
        bytes=len(manifest.to_bytes()) + sum(record.bytes for record in listed.values()),
        signature=kept,
        left=_left(found, {*listed, MANIFEST}),
        figures=verified.figures,
    )


def _pull_adapter(found: Found, fetched: Path, target: Path) -> Pulled:
    if target.suffix == ".zip":
        raise TransferError(f"{target}: an adapter is a folder; give the name of one")
    adapters.check_adapter_target(target)
    manifest = read_stored(fetched)
    adapters.check_kind(manifest, place=str(fetched / MANIFEST))
    _fetch_all(found, manifest.sizes, fetched)
    adapters.verify_adapter(fetched)
    adapters.place_adapter(fetched, target)
    return Pulled(
        kind="adapter",
        path=target,
        commit=found.commit,
        digest=manifest.key,
        files=1 + len(manifest.files),
        bytes=(target / MANIFEST).stat().st_size + manifest.bytes,
        left=_left(found, {*manifest.files, MANIFEST}),
        stage=manifest.kind,
    )


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Have a folder on the target's disk that is gone afterwards, whatever happens."""
    target = target.absolute()
    above = next(folder for folder in target.parents if folder.is_dir())
    scratch = beside(above / target.name)
    with disk_faults(scratch, option="--to PATH"):
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _named_as_there(found: Found, scratch: Path) -> Iterator[None]:
    """Let messages name a file where it came from, not where it lay while it was checked."""
    there = f"{found.origin.place}/{found.archive or found.folder}".rstrip("/")
    try:
        yield
    except (BundleError, AdapterError, StoreError) as fault:
        said = str(fault).replace(str(scratch / f"{_FETCHED}.zip"), there)
        said = said.replace(str(scratch / _FETCHED), there).replace(f"{scratch}/", "")
        raise type(fault)(said) from fault


def _fetch_signature(found: Found, scratch: Path, *, asked: bool) -> Path | None:
    """Fetch the signature beside a bundle, if there is one; not every server says 404."""
    to = scratch / "signature"
    try:
        return to if found.origin.fetch(found.signature, to, limit=SIGNATURE_LIMIT) else None
    except TransferError:
        if asked:
            raise
        return None


def _fetch_manifest(found: Found, folder: Path) -> Kind:
    """Fetch what says what there must be; tell what it is of."""
    origin, name = found.origin, f"{found.folder}{MANIFEST}"
    folder.mkdir()
    if not origin.fetch(name, folder / MANIFEST, limit=MANIFEST_LIMIT):
        raise TransferError(
            f"{origin.place}/{found.folder} holds neither a bundle nor an adapter of composer: it "
            f"has no {MANIFEST}"
        )
    values = read_json(folder / MANIFEST)
    return "adapter" if {"key", "kind", "stage"} <= values.keys() else "bundle"


def _fetch_bundle(found: Found, folder: Path) -> Path:
    """Fetch a zip; or what a manifest lists, once it agrees with itself."""
    if found.archive is not None:
        place, to = found.origin.place, folder.with_name(f"{_FETCHED}.zip")
        limit = min(SIZE_LIMIT, shutil.disk_usage(to.parent).free)
        if not found.origin.fetch(check_name(found.archive, place=place), to, limit=limit):
            raise TransferError(f"{place}/{found.archive}: there is no such file")
        return to
    manifest = read_manifest(FolderSource(folder))
    (folder / PARTS).mkdir()
    sizes = {name: record.bytes for name, record in manifest.listed().items()}
    _fetch_all(found, sizes, folder)
    return folder


def _fetch_all(found: Found, sizes: Mapping[str, int], folder: Path) -> None:
    """Fetch files whose sizes are known, if they are all there and there is room for them."""
    origin, known = found.origin, found.origin.sizes()
    if known is not None:
        faults = list(_listing_faults(sizes, known))
        if faults:
            lines = [f"{origin.place}: {fault}" for fault in faults[:20]]
            raise TransferError("\n".join([*lines, "nothing was fetched; push it again"]))
    whole, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if whole > free:
        raise TransferError(f"{origin.place}: {whole:,} bytes are too many; {free:,} are free here")
    for name, size in sizes.items():
        to = safe_join(folder, name, error=TransferError)
        if not origin.fetch(f"{found.folder}{name}", to, limit=size):
            raise TransferError(f"{origin.place}/{found.folder}{name} is missing; push it again")


def _listing_faults(sizes: Mapping[str, int], known: Mapping[str, int]) -> Iterator[str]:
    for name, size in sizes.items():
        if name not in known:
            yield f"{name} is missing"
        elif known[name] != size:
            yield f"{name} has {known[name]:,} bytes, its manifest says {size:,}"


def _left(found: Found, taken: set[str]) -> tuple[str, ...]:
    known = found.origin.sizes() or {}
    return tuple(sorted(known.keys() - taken - {found.signature, *BESIDE}))
