"""The table of contents of a published result, its last file to appear.

    {
      "digest": "5f1c…",                            of the lines below
      "files": {"adapter.safetensors": "9d33…"},    SHA-256 of each file
      "format": 1,
      "key": "0a41…",                               of the stage
      "kind": "task",
      "sizes": {"adapter.safetensors": 1190040},    bytes
      "stage": {…}                                  see `composer.engine.planning.record`
    }

A result that was made elsewhere has one entry more, `adopted`: see
`composer.engine.upkeep.adoption`.

It is sealed: spelt canonically, and with its own digest, so one changed byte anywhere is found.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from composer.bundle.files import (
    JSON_LIMIT,
    open_regular,
    read_bytes,
    safe_join,
    sync_folder,
    write_json,
)
from composer.bundle.jsontext import canonical_json, is_canonical, parse_json
from composer.engine.storage.faults import DamagedError
from composer.errors import StoreError

MANIFEST = "manifest.json"
FORMAT = 1  # of what is sealed

Kind = Literal[
    "language-head", "language", "task", "composition", "choice", "evaluation", "language-loss",
    "bundle",
]  # fmt: skip


class Manifest(BaseModel):
    """What a published result holds.

    Attributes:
        format: Of this file.
        key: Of the stage that made it.
        kind: Of that stage.
        files: Relative path -> SHA-256.
        sizes: Relative path -> bytes.
        stage: What the stage was; see `composer.engine.planning.record`.
        adopted: Of a result that was made elsewhere and accepted: what is known of where.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = 1
    key: str
    kind: Kind
    files: dict[str, str]
    sizes: dict[str, int]
    stage: dict[str, object]
    adopted: dict[str, object] | None = None

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(self.sizes.values())

    @property
    def output_digest(self) -> str:
        """Digest of what the stage made: equal for equal bytes of all files."""
        return hashlib.sha256(canonical_json(self.files)).hexdigest()


def write_manifest(
    folder: Path,
    *,
    key: str,
    kind: Kind,
    stage: dict[str, object],
    adopted: dict[str, object] | None = None,
) -> Manifest:
    """Describe all files in `folder`, put them on disk, and write the manifest last."""
    names = sorted(_file_names(folder))
    manifest = Manifest(
        key=key,
        kind=kind,
        files={name: _hash(folder / name, sync=True) for name in names},
        sizes={name: (folder / name).stat().st_size for name in names},
        stage=stage,
        adopted=adopted,
    )
    for inner in sorted({(folder / name).parent for name in names}):
        sync_folder(inner)
    left_out = {"adopted"} if adopted is None else None
    write_sealed(folder / MANIFEST, manifest.model_dump(mode="json", exclude=left_out))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest without looking at the files that it names.

    Raises:
        DamagedError: It is not, byte for byte, what `write_manifest` wrote.
        StoreError: A later composer wrote it.
    """
    path = folder / MANIFEST
    values = read_sealed(path)
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DamagedError(f"{path}: {where}: {first['msg']}") from error


def write_sealed(path: Path, values: dict[str, object]) -> None:
    """Write values, their format among them, with a digest of them all."""
    digest = hashlib.sha256(canonical_json(values)).hexdigest()
    write_json(path, {**values, "digest": digest})


def read_sealed(path: Path) -> dict[str, object]:
    """Read what `write_sealed` wrote.

    Raises:
        DamagedError: The file is not, byte for byte, what was written.
        StoreError: A later composer wrote it; it is whole, and not for this one to replace.
    """
    data = read_bytes(path, JSON_LIMIT, error=DamagedError)
    values: dict[str, object] = parse_json(data, place=str(path), error=DamagedError)
    if not is_canonical(data, values) or values.pop("digest", None) != _digest_in(data):
        raise DamagedError(f"{path} is damaged: its digest is another")
    if values.get("format") != FORMAT:
        raise StoreError(
            f"{path}: format {values.get('format')!r}, this composer reads {FORMAT}; "
            "use the composer that wrote it, or give another place with --store FOLDER"
        )
    return values


def verify_files(folder: Path, manifest: Manifest, *, ending: str = "") -> None:
    """Check every file against the manifest: names, then sizes, then contents.

    Args:
        folder: Of the result.
        manifest: Of the same.
        ending: Contents are checked of files whose names end so.

    Raises:
        DamagedError: Naming the first file that differs.
    """
    found, named = set(_file_names(folder)), set(manifest.files)
    for name in sorted(found ^ named):
        fault = "is missing" if name in named else "does not belong here"
        raise DamagedError(f"{folder / name} {fault}")
    for name, size in sorted(manifest.sizes.items()):
        actual = safe_join(folder, name, error=DamagedError).stat().st_size
        if actual != size:
            raise DamagedError(f"{folder / name} has {actual:,} bytes, not {size:,}")
    for name, digest in sorted(manifest.files.items()):
        if name.endswith(ending) and _hash(folder / name) != digest:
            raise DamagedError(f"{folder / name} is damaged: its SHA-256 is another")


def _file_names(folder: Path) -> list[str]:
    """List what a stage wrote; nothing but plain files and folders may be among it."""
    if folder.is_symlink():
        raise DamagedError(f"{folder} is a symbolic link; results lie in the store itself")
    names = []
    for root, folders, files in os.walk(folder, onerror=_raise):
        inner = os.path.relpath(root, folder)
        for name in [*folders, *files]:
            mode = os.lstat(os.path.join(root, name)).st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise DamagedError(f"{Path(root, name)} is neither a plain file nor a folder")
        # Desktops leave hidden files in folders that they show.
        shown = [name for name in files if not name.startswith(".")]
        names += [name if inner == "." else Path(inner, name).as_posix() for name in shown]
    return [name for name in names if name != MANIFEST]


def _raise(fault: OSError) -> None:
    raise fault


def _hash(path: Path, *, sync: bool = False) -> str:
    with open_regular(path, error=DamagedError) as (file, _):
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
    return digest


def _digest_in(data: bytes) -> str:
    """Digest a sealed file without the line of its digest, which is how it was made.

    What is spelt canonically has one line that begins so: texts hold no line breaks, and what is
    further inside stands further to the right. `format` follows it, so a comma ends it.
    """
    before, found, after = data.partition(b'\n  "digest": ')
    return hashlib.sha256(before + after[after.find(b"\n") :] if found else data).hexdigest()
