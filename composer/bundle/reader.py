"""Open a bundle, from a folder or a zip, and trust nothing in it before it is checked.

    bundle = open_bundle("home")                         # every byte of every file is checked
    bundle.check_backbone(fingerprints, tensors)         # it was made for this backbone
    arrays = bundle.read_part("intent")                  # {"0.attention.down": array, ...}

Parts are read again, and checked again, each time they are asked for: a bundle holds no
file open and no weights in memory.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from composer.bundle.agreement import refuse_disagreement
from composer.bundle.archive import ArchiveSource
from composer.bundle.fingerprint import Fingerprints, fingerprints_of
from composer.bundle.graphs import WEIGHTS, graph_file
from composer.bundle.jsontext import canonical_json, one_line, parse_json
from composer.bundle.layout import ADAPTERS
from composer.bundle.manifest import (
    BACKBONE,
    MANIFEST,
    MANIFEST_LIMIT,
    TOKENIZER,
    Manifest,
    parse_manifest,
)
from composer.bundle.records import FILE_LIMIT, FileRecord, row_fault
from composer.bundle.shapes import Shape, adapter_tensors, read_shape
from composer.bundle.signing import signature_beside, verify_manifest
from composer.bundle.source import FolderSource, Source, chunks, read_file
from composer.bundle.sparse import unpacked
from composer.bundle.tensors import parse_tensors
from composer.errors import BundleError, did_you_mean
from composer.recipe.sizes.sparsity import sparsity_of

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TENSOR = re.compile("[!-~]{1,256}")  # as in a safetensors header


@dataclass(frozen=True, kw_only=True)
class OpenedBundle:
    """A bundle of which everything has been checked.

    Attributes:
        manifest: What it says about itself.
        backbone_tensors: Name -> digest of every tensor of the backbone it was made for.
        source: Where its files are read from.
    """

    manifest: Manifest
    backbone_tensors: Mapping[str, str]
    source: Source = field(repr=False)

    @property
    def path(self) -> Path:
        """The folder, or the zip."""
        return self.source.path

    def read_part(self, name: str) -> dict[str, np.ndarray]:
        """Read a part's tensors, sorted by name; those of a sparse one in full, zeros included.

        Raises:
            BundleError: If there is none of that name, or it changed since it was opened.
        """
        parts = self.manifest.parts
        if name not in parts:
            raise BundleError(f"{self.path}: no part {name!r}; {did_you_mean(name, parts)}")
        part = parts[name]
        data = _read_checked(self.source, part.file, part)
        place = f"{self.path}: {part.file}"
        stored = parse_tensors(data, place=place, expected=part.types, error=BundleError)
        if part.kind not in ADAPTERS:
            return stored
        shape = read_shape(part.config)
        if not isinstance(shape, Shape) or sparsity_of(shape) is None:
            return stored
        backbone = self.manifest.backbone
        lengths = adapter_tensors(shape, size=backbone.hidden_size, layers=backbone.layers)
        return unpacked(stored, dict(lengths), place=place, error=BundleError).tensors

    def read_tokenizer(self) -> bytes:
        """Read `tokenizer.json`."""
        return self.read_file(TOKENIZER)

    def read_graph(self, name: str) -> bytes:
        """Read a graph's structure."""
        graphs = self.manifest.graphs
        if name not in graphs:
            raise BundleError(f"{self.path}: no graph {name!r}; {did_you_mean(name, graphs)}")
        return self.read_file(graph_file(name))

    def read_graph_weights(self) -> dict[str, np.ndarray]:
        """Read the frozen weights that the graphs share."""
        data = _read_checked(self.source, WEIGHTS, self.manifest.files[WEIGHTS])
        return parse_tensors(data, place=f"{self.path}: {WEIGHTS}", error=BundleError)

    def read_file(self, name: str) -> bytes:
        """Read a file that the manifest lists and that is no part."""
        files = self.manifest.files
        if name not in files:
            raise BundleError(f"{self.path}: no file {name!r}; {did_you_mean(name, files)}")
        return bytes(_read_checked(self.source, name, files[name]))

    def is_trimmed_of(self, fingerprints: Fingerprints) -> bool:
        """Say whether the bundle holds a part of the vocabulary of this very backbone."""
        recorded = self.manifest.backbone
        return recorded.trimmed is not None and fingerprints == Fingerprints(
            body=recorded.body, vocabulary=recorded.trimmed.parent
        )

    def check_backbone(self, fingerprints: Fingerprints, tensors: Mapping[str, str]) -> None:
        """Hold a backbone to the one that the bundle was made for.

        Args:
            fingerprints: The backbone's.
            tensors: Name -> digest, as `tensor_digests` tells them.

        Raises:
            BundleError: Naming the first tensor that differs.
        """
        recorded = self.manifest.backbone
        if fingerprints == Fingerprints(body=recorded.body, vocabulary=recorded.vocabulary):
            return
        if recorded.trimmed and self.is_trimmed_of(fingerprints):
            raise BundleError(
                f"{self.path} holds {recorded.trimmed.kept:,} of the {recorded.trimmed.rows:,} "
                "token embeddings of this backbone, and answers by its own graph only"
            )
        raise BundleError(
            f"{self.path} was made for another backbone ({one_line(recorded.name)}, "
            f"{recorded.source}, "
            f"body {recorded.body[:12]}): {_first_difference(self.backbone_tensors, tensors)}"
        )


def open_bundle(
    path: str | Path,
    *,
    public_key: str | Path | None = None,
    signature: str | Path | None = None,
    graphs_later: bool = False,
) -> OpenedBundle:
    """Open a bundle and check all of it: names, sizes, hashes, shapes, types, numbers.

    Args:
        path: The folder, or the zip of one; or a link to either. In it no link is followed.
        public_key: PEM file of who is trusted; the bundle must be signed with it.
        signature: The detached signature; left out, `home.sig` beside `home` or `home.zip`.
        graphs_later: Leave tokenizer and graphs to who reads them all next: they are checked
            whenever they are read.

    Raises:
        BundleError: For the first thing that is wrong; nothing of it is used then.
        MissingExtraError: A signature is asked for, and `model-signing` is not installed.
    """
    if signature is not None and public_key is None:
        raise BundleError(f"{signature}: a signature says nothing without the public key of whom")
    source = _source(Path(path))
    path = source.path
    manifest = read_manifest(source)
    if public_key is not None:
        verify_manifest(
            manifest.to_bytes(),  # what was read: no other bytes are accepted
            key=Path(public_key),
            signature=signature_beside(path) if signature is None else Path(signature),
            place=str(path),
        )
    listed = manifest.listed()
    _check_listing(source, listed)
    # What is read below, or next, is checked then; once is enough.
    read = {BACKBONE, *(part.file for part in manifest.parts.values())}
    if graphs_later:
        read |= {TOKENIZER, WEIGHTS, *map(graph_file, manifest.graphs)}
    for name in sorted(listed.keys() - read):
        _check_file(source, name, listed[name])
    tensors = _read_backbone(source, manifest)
    bundle = OpenedBundle(manifest=manifest, backbone_tensors=tensors, source=source)
    for name in manifest.parts:
        bundle.read_part(name)
    return bundle


def _source(path: Path) -> Source:
    if not os.path.exists(path):
        raise BundleError(f"{path} does not exist, or cannot be read")
    if os.path.islink(path):
        path = Path(os.path.realpath(path))  # once: `current` may lead elsewhere a moment later
    return FolderSource(path) if os.path.isdir(path) else ArchiveSource(path)


def read_manifest(source: Source) -> Manifest:
    """Read the manifest alone, and hold it to itself."""
    if MANIFEST not in source.sizes():
        raise BundleError(f"{source.path} is no bundle: it has no {MANIFEST}")
    place = f"{source.path}: {MANIFEST}"
    manifest = parse_manifest(bytes(read_file(source, MANIFEST, MANIFEST_LIMIT)), place=place)
    refuse_disagreement(manifest, place=place)
    return manifest


def _check_listing(source: Source, listed: Mapping[str, FileRecord]) -> None:
    sizes = source.sizes()
    faults = [f"{name!r} is missing" for name in listed if name not in sizes]
    faults += [
        f"{name!r} is in it, but not in its manifest"
        for name in sizes
        if name not in listed and name != MANIFEST
    ]
    faults += [
        f"{name!r} has {sizes[name]:,} bytes, not {record.bytes:,}"
        for name, record in listed.items()
        if name in sizes and sizes[name] != record.bytes
    ]
    if faults:
        lines = [f"{source.path}: {fault}" for fault in faults[:20]]
        raise BundleError("\n".join([*lines, "copy the bundle again"]))


def _check_file(source: Source, name: str, record: FileRecord) -> None:
    hashed = hashlib.sha256()
    for chunk in chunks(source, name):
        hashed.update(chunk)
    _check_hash(source, name, hashed.hexdigest(), record)


def _read_checked(source: Source, name: str, record: FileRecord) -> bytearray:
    data = read_file(source, name, min(record.bytes, FILE_LIMIT))
    _check_hash(source, name, hashlib.sha256(data).hexdigest(), record)
    return data


def _check_hash(source: Source, name: str, found: str, record: FileRecord) -> None:
    if found != record.sha256:
        raise BundleError(
            f"{source.path}: {name} is damaged (SHA-256 {found[:12]}..., not "
            f"{record.sha256[:12]}...); copy the bundle again"
        )


def _read_backbone(source: Source, manifest: Manifest) -> dict[str, str]:
    """Read the digests of the backbone's tensors, and hold them to its fingerprints."""
    record, place = manifest.files[BACKBONE], f"{source.path}: {BACKBONE}"
    data = bytes(_read_checked(source, BACKBONE, record))
    values = parse_json(data, place=place)
    tensors, backbone = values.get("tensors"), manifest.backbone
    wanted = {"tensors", "rows"} if backbone.trimmed else {"tensors"}
    if set(values) != wanted or not isinstance(tensors, dict) or not tensors:
        raise BundleError(f"{place}: must have `{'`, `'.join(sorted(wanted))}` and nothing else")
    for name, digest in tensors.items():
        if not _TENSOR.fullmatch(name):
            raise BundleError(f"{place}: tensors: {name[:200]!r} is not the name of a tensor")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise BundleError(f"{place}: tensors.{name}: not a digest of 64 hex digits")
    if backbone.trimmed and (fault := row_fault(values["rows"], backbone.trimmed)):
        raise BundleError(f"{place}: {fault}")
    recorded = Fingerprints(body=backbone.body, vocabulary=backbone.vocabulary)
    if canonical_json(values) != data or _fingerprints(tensors, manifest, place) != recorded:
        raise BundleError(f"{place}: does not agree with the fingerprints in {MANIFEST}")
    return tensors


def _fingerprints(tensors: Mapping[str, str], manifest: Manifest, place: str) -> Fingerprints:
    return fingerprints_of(
        tensors, tokenizer=manifest.backbone.tokenizer, place=place, error=BundleError
    )


def _first_difference(recorded: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Name the first tensor that differs, layer 2 before layer 10."""
    for name in sorted(recorded.keys() | found.keys(), key=_by_number):
        if name not in found:
            return f"this one has no tensor {name!r}"
        if name not in recorded:
            return f"this one has a tensor {name!r} more"
        if recorded[name] != found[name]:
            return f"the tensor {name!r} differs"
    return "its weights are the same, its tokenizer differs"


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
