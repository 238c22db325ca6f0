"""Write a bundle: a folder that is complete or absent, or the zip of one.

    write_bundle("home", composer="0.1.0", backbone=..., parts={"intent": NewPart(...)}, ...)
    pack_bundle("home", "home.zip")

The same content gives the same bytes. A bundle that is there already is replaced as a whole;
anything else is left alone.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from composer.bundle.agreement import part_file, refuse_disagreement
from composer.bundle.archive import ArchiveSource, write_archive
from composer.bundle.files import (
    safe_join,
    sha256_file,
    unfinished_file,
    write_bytes,
    write_json,
)
from composer.bundle.graphs import WEIGHTS, GraphRecord, graph_file
from composer.bundle.jsontext import canonical_json, parse_json
from composer.bundle.layout import Kind
from composer.bundle.manifest import BACKBONE, MANIFEST, TOKENIZER, Manifest, build_manifest
from composer.bundle.publish import unfinished_folder
from composer.bundle.reader import open_bundle, read_manifest
from composer.bundle.records import (
    BackboneRecord,
    CompositionRecord,
    Role,
    ScoreRecord,
    SelfTest,
)
from composer.bundle.source import PARTS, FolderSource, read_file
from composer.bundle.sparse import parameter_count
from composer.bundle.tensors import tensor_types, write_tensors
from composer.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class NewPart:
    """A part that is to be written.

    Attributes:
        kind: Which tensors it has.
        role: What it is for.
        tensors: Named as in `composer.bundle.layout`.
        config: How it is to be run: placement, non-linearity and so on; plain JSON values.
        parents: Keys of the stages, or hashes of the files, that it was trained from.
        licence: An SPDX expression.
    """

    kind: Kind
    role: Role
    tensors: Mapping[str, np.ndarray]
    config: Mapping[str, object] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    licence: str = "unknown"


@dataclass(frozen=True, kw_only=True)
class NewGraphs:
    """Graphs of the backbone that are to be written.

    Attributes:
        records: Name -> what it can run.
        structures: Name -> bytes of the `.onnx` file.
        weights: Name -> array of all that the structures name.
    """

    records: Mapping[str, GraphRecord]
    structures: Mapping[str, bytes]
    weights: Mapping[str, np.ndarray]


def write_bundle(
    target: str | Path,
    *,
    composer: str,
    backbone: BackboneRecord,
    backbone_tensors: Mapping[str, str],
    tokenizer: bytes,
    rows: Sequence[int] | None = None,
    parts: Mapping[str, NewPart],
    compositions: Mapping[str, CompositionRecord],
    graphs: NewGraphs | None = None,
    scores: Iterable[ScoreRecord] = (),
    licences: Mapping[str, str] | None = None,
    recipe: Mapping[str, object] | None = None,
    lock: Mapping[str, object] | None = None,
    self_test: SelfTest | None = None,
) -> Manifest:
    """Write a bundle, open it as a device would, and only then give it its name.

    Args:
        target: A folder that is not there, is empty, or is a bundle, which is replaced.
        composer: The version that writes.
        backbone: What the parts were trained on.
        backbone_tensors: Name -> digest, as `tensor_digests` tells them.
        tokenizer: The bytes of the backbone's `tokenizer.json`.
        rows: Of the whole vocabulary, that were kept; None: it is not trimmed.
        parts: Name -> part.
        compositions: Name -> what the device can ask for.
        graphs: The backbone for devices; None: parts only.
        scores: In any order.
        licences: SPDX expressions of "backbone" and "data/NAME"; the parts say their own.
        recipe: As read, without paths of this machine.
        lock: As written.
        self_test: Inputs and expected outputs.

    Raises:
        BundleError: If the content does not agree with itself, or the target is not a bundle.
        AdapterError: If a tensor is not finite, or of a type that is not stored.
        StoreError: If a file cannot be written.
    """
    target = Path(os.path.abspath(target))
    _refuse_to_replace(target)
    languages = {tag for composition in compositions.values() for tag in composition.languages}
    with unfinished_folder(target) as folder:
        written, files = _write_files(folder, parts, _backbone(backbone_tensors, rows), tokenizer)
        files |= _write_graphs(folder, graphs) if graphs else {}
        values = {
            "composer": composer,
            "backbone": backbone,
            "parts": written,
            "files": files,
            "graphs": graphs.records if graphs else {},
            "compositions": dict(compositions),
            "languages": sorted(languages),
            "scores": sorted(scores, key=lambda score: score.model_dump_json()),
            "licences": _all_licences(parts, licences or {}),
            "recipe": _plain(recipe),
            "lock": _plain(lock),
            "self_test": self_test or SelfTest(),
        }
        manifest = build_manifest(values, place=str(target)).sealed()
        refuse_disagreement(manifest, place=str(target))
        write_bytes(folder / MANIFEST, manifest.to_bytes())
        return open_bundle(folder).manifest


def pack_bundle(bundle: str | Path, target: str | Path) -> None:
    """Check a bundle and write it as one zip.

    Args:
        bundle: A folder, or a zip.
        target: A file that is not there, or a zipped bundle, which is replaced.
    """
    target = Path(os.path.abspath(target))
    _refuse_to_replace_file(target)
    opened = open_bundle(bundle)
    with unfinished_file(target) as file:
        write_archive(file, opened.source)


def copy_bundle(bundle: str | Path, target: str | Path) -> None:
    """Check a bundle and write it as a folder, under the rules of `write_bundle`."""
    target = Path(os.path.abspath(target))
    _refuse_to_replace(target)
    opened = open_bundle(bundle)
    with unfinished_folder(target) as folder:
        (folder / PARTS).mkdir()
        for name, record in opened.manifest.listed().items():
            data = read_file(opened.source, name, record.bytes)
            write_bytes(safe_join(folder, name), bytes(data))
        write_bytes(folder / MANIFEST, opened.manifest.to_bytes())
        open_bundle(folder)  # what was copied is what was checked


def place_bundle(bundle: str | Path, target: Path) -> None:
    """Check a bundle and copy it to where it is wanted; a name that ends in .zip makes a zip."""
    place = pack_bundle if target.suffix == ".zip" else copy_bundle
    place(bundle, target)


def check_target(target: Path) -> None:
    """Refuse now what `place_bundle` would refuse once there is a bundle to place.

    Raises:
        BundleError: Something else than a bundle is there.
    """
    target = Path(os.path.abspath(target))
    (_refuse_to_replace_file if target.suffix == ".zip" else _refuse_to_replace)(target)


def _refuse_to_replace_file(target: Path) -> None:
    if os.path.lexists(target):
        try:
            read_manifest(ArchiveSource(target))
        except BundleError as fault:
            raise BundleError(f"{target} is there, and is no zipped bundle: {fault}") from fault


def _refuse_to_replace(target: Path) -> None:
    """Let nothing be overwritten but a bundle; what is damaged in it makes no difference."""
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise BundleError(f"{target} is there, and is no folder; give another name")
    if not any(target.iterdir()):
        return
    source = FolderSource(target)
    try:
        known = {MANIFEST, *read_manifest(source).listed()}
        other = sorted(source.sizes().keys() - known)
    except BundleError as fault:
        raise BundleError(
            f"{target} is there, and is no bundle: {fault}; give another name"
        ) from fault
    if other:
        raise BundleError(f"{target} holds {other[0]!r}, which is not of the bundle; move it away")


def _write_files(
    folder: Path, parts: Mapping[str, NewPart], backbone: Mapping[str, object], tokenizer: bytes
) -> tuple[dict[str, dict[str, object]], dict[str, dict[str, object]]]:
    """Write everything but the manifest; return what it says of parts and of other files."""
    (folder / PARTS).mkdir()
    written = {name: _write_part(folder, name, part) for name, part in sorted(parts.items())}
    write_json(folder / BACKBONE, backbone)
    write_bytes(folder / TOKENIZER, tokenizer)
    files = {name: _record(folder / name) for name in (BACKBONE, TOKENIZER)}
    return written, files


def _backbone(tensors: Mapping[str, str], rows: Sequence[int] | None) -> dict[str, object]:
    kept = {} if rows is None else {"rows": list(rows)}
    return {"tensors": dict(tensors), **kept}


def _write_graphs(folder: Path, graphs: NewGraphs) -> dict[str, dict[str, object]]:
    names = {graph_file(name): structure for name, structure in graphs.structures.items()}
    for name, structure in names.items():
        write_bytes(folder / name, structure)
    write_tensors(folder / WEIGHTS, graphs.weights)
    return {name: _record(folder / name) for name in (*names, WEIGHTS)}


def _write_part(folder: Path, name: str, part: NewPart) -> dict[str, object]:
    types = tensor_types(part.tensors, place=f"part {name!r}")
    file = part_file(name)
    path = safe_join(folder, file)
    write_tensors(path, part.tensors)
    return {
        "kind": part.kind,
        "role": part.role,
        "config": _plain(part.config),
        "parents": part.parents,
        "file": file,
        "tensors": {inner: str(type_) for inner, type_ in types.items()},
        "parameters": parameter_count(types),
        **_record(path),
    }


def _record(path: Path) -> dict[str, object]:
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}


def _all_licences(parts: Mapping[str, NewPart], given: Mapping[str, str]) -> dict[str, str]:
    of_parts = {f"part/{name}": part.licence for name, part in parts.items()}
    return {"backbone": "unknown", **of_parts, **given}


def _plain(value: Mapping[str, object] | None) -> dict[str, object]:
    """Turn tuples into lists and so on, as the file will have it."""
    return parse_json(canonical_json(dict(value or {})), place="a value for the manifest")
