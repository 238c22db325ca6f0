"""One trained adapter as files of its own: what the store holds of it, and nothing of this machine.

    intent/
    ├── manifest.json           of the store: digests, sizes, how it was trained
    ├── adapter.json            } kind, shape, the backbone's body
    ├── adapter.safetensors     }
    ├── head.json               } of a task
    ├── head.safetensors        }
    └── training.json

`composer adopt RECIPE STAGE FOLDER` takes such a folder, and holds it to the recipe.
"""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TypeGuard

from composer.bundle.files import open_regular, read_json
from composer.bundle.publish import unfinished_folder
from composer.bundle.tensors import read_tensors
from composer.engine.storage.manifest import (
    MANIFEST,
    Manifest,
    read_manifest,
    verify_files,
    write_manifest,
)
from composer.engine.storage.store import StoredResult
from composer.errors import AdapterError
from composer.recipe.checking.paths import why_outside

FILES = {
    "language": ("adapter.json", "adapter.safetensors", "training.json"),
    "task": (
        *("adapter.json", "adapter.safetensors", "head.json", "head.safetensors"),
        "training.json",
    ),
}
BYTES_LIMIT = 2**31  # of all files of an adapter


def write_adapter_folder(result: StoredResult, folder: Path) -> Manifest:
    """Copy an adapter out of the store, without the names of folders on this machine.

    Args:
        result: Of a task or a language.
        folder: Empty.

    Raises:
        AdapterError: It is another kind of result.
    """
    manifest = result.manifest
    check_kind(manifest, place=str(result.folder))
    for name in manifest.files:
        with open_regular(result.folder / name, error=AdapterError) as (file, _):
            with open(folder / name, "xb") as copy:
                shutil.copyfileobj(file, copy)
    kept = dict(manifest.stage)
    for keys in (("backbone", "path"), ("settings", "data", "source", "path")):
        kept = _without_folders(kept, keys)
    return write_manifest(
        folder, key=manifest.key, kind=manifest.kind, stage=kept, adopted=manifest.adopted
    )


def check_kind(manifest: Manifest, *, place: str) -> None:
    """Refuse what is no adapter, and files that no adapter has.

    Raises:
        AdapterError: Naming them.
    """
    if manifest.kind not in FILES:
        raise AdapterError(
            f"{place}: holds a result of kind {manifest.kind!r}; adapters are of kind "
            f"{' or '.join(sorted(FILES))}"
        )
    known = FILES[manifest.kind]
    if set(manifest.files) != set(known) or set(manifest.sizes) != set(known):
        other = sorted(set(known) ^ set(manifest.files) | set(known) ^ set(manifest.sizes))
        raise AdapterError(f"{place}: {other[0]!r:.200}: its files must be {', '.join(known)}")
    if sum(manifest.sizes.values()) > BYTES_LIMIT or min(manifest.sizes.values()) < 0:
        raise AdapterError(f"{place}: {manifest.bytes:,} bytes; at most {BYTES_LIMIT:,} are read")


def verify_adapter(folder: Path) -> Manifest:
    """Check every byte of an adapter from anywhere: digests, sizes, names, finite numbers.

    Whether it fits a backbone and a recipe is for `composer adopt`.

    Raises:
        AdapterError: A file is not what an adapter has.
        StoreError: A file is not what the manifest says.
    """
    manifest = read_manifest(folder)
    check_kind(manifest, place=str(folder))
    verify_files(folder, manifest)
    for name in manifest.files:
        if name.endswith(".json"):
            read_json(folder / name, error=AdapterError)
        else:
            read_tensors(folder / name, max_bytes=BYTES_LIMIT)
    return manifest


def check_adapter_target(target: Path) -> None:
    """Let nothing be overwritten but an adapter.

    Raises:
        AdapterError: Something else is there.
    """
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise AdapterError(f"{target} is there, and is no folder; give another name")
    names = {path.name for path in target.iterdir()}
    known = {MANIFEST, *(name for files in FILES.values() for name in files)}
    if names and (MANIFEST not in names or not names <= known):
        raise AdapterError(f"{target} is there, and holds something else; give another name")


def place_adapter(folder: Path, target: Path) -> None:
    """Copy a verified adapter to where it is wanted, whole or not at all."""
    target = Path(os.path.abspath(target))
    check_adapter_target(target)
    with unfinished_folder(target) as copy:
        for path in folder.iterdir():
            shutil.copyfile(path, copy / path.name, follow_symlinks=False)
        verify_adapter(copy)  # what was copied is what was checked


def _without_folders(values: dict[str, object], keys: tuple[str, ...]) -> dict[str, object]:
    """Leave of paths that lead out of the recipe's folder their last word."""
    first, *rest = keys
    inner = values.get(first)
    if rest:
        return {**values, first: _without_folders(inner, tuple(rest))} if _is(inner) else values
    if isinstance(inner, str):
        return {**values, first: _last_word(inner)}
    if _is(inner):
        return {**values, first: {k: _last_word(str(v)) for k, v in inner.items()}}
    return values


def _is(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _last_word(path: str) -> str:
    return path if why_outside(path) is None else PurePosixPath(path.replace("\\", "/")).name
