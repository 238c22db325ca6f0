"""What of a store is wanted: all that labels and lock files name, and all that these rest on."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from composer.bundle.files import JSON_LIMIT, read_bytes
from composer.engine.planning.lock import SUFFIX, needed_lock, read_lock
from composer.engine.storage.faults import DamagedError, disk_faults
from composer.engine.storage.refs import all_refs, get_ref
from composer.engine.storage.store import Store
from composer.errors import StoreError

logger = logging.getLogger(__name__)


def kept_keys(store: Store, lock_files: Iterable[Path]) -> set[str]:
    """Give the keys of all results that must stay.

    Args:
        store: Of the results.
        lock_files: That name some; those beside the recipes of labels are found without.

    Raises:
        StoreError: A label or a lock file cannot be read, so that it is not known what to keep.
    """
    _check_labels(store)
    keys = {ref.key for ref in all_refs(store)}
    for path in lock_files:
        keys |= {stage.key for stage in needed_lock(path).stages.values()}
    for path in _found_locks(store):
        if (lock := read_lock(path)) is not None:
            keys |= {stage.key for stage in lock.stages.values()}
    return _with_needs(store, keys)


def _check_labels(store: Store) -> None:
    store.refresh("refs")
    folder = store.folder / "refs"
    with disk_faults(folder):
        paths = sorted(folder.rglob("*.json"))
    for path in paths:
        recipe, *stage = path.relative_to(folder).with_suffix("").parts
        if not stage or get_ref(store, recipe, "/".join(stage)) is None:
            raise StoreError(
                f"{path} is damaged, so that it is not known what it keeps; run its recipe again, "
                "or delete it"
            )


def _found_locks(store: Store) -> list[Path]:
    """Find lock files in the working folder and beside the recipes that labels tell of."""
    folders = {Path()}
    folders |= {store.folder / ref.about.get("folder", os.curdir) for ref in all_refs(store)}
    found: dict[Path, Path] = {}
    for folder in sorted(folders):
        with disk_faults(folder):
            paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
        found |= {path.resolve(): path for path in paths if path.is_file() and _is_ours(path)}
    return sorted(found.values())


def _is_ours(path: Path) -> bool:
    """Tell lock files of composer from those of other tools."""
    with disk_faults(path, option="--lock PATH"):
        data = read_bytes(path.resolve(), JSON_LIMIT, error=StoreError)
    return data.lstrip().startswith(b"{") and b'"stages"' in data and b'"versions"' in data


def _with_needs(store: Store, keys: set[str]) -> set[str]:
    kept: set[str] = set()
    queue = sorted(keys)
    while queue:
        key = queue.pop()
        if key in kept:
            continue
        kept.add(key)
        try:
            manifest = store.peek(key)
        except DamagedError as fault:
            logger.warning("%s; what it was made of is kept only if something else names it", fault)
            continue
        needs = manifest.stage.get("needs", ()) if manifest else ()
        queue += [str(need) for need in needs] if isinstance(needs, list | tuple) else []
    return kept
