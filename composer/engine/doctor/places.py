"""Where composer writes and finds things: the store, the cache, sample backbones."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from composer.engine.doctor.check import Check

FULL = 2 * 10**9  # bytes, below which a disk may be full after a few runs


def store_check(place: str | Path) -> Check:
    """Check that results can be written; nothing is left behind.

    Args:
        place: Of the store: a folder, or the URL of a shared one.
    """
    if isinstance(place, str) and "://" in place:
        return _shared_store_check(place)
    return _folder_check("store", Path(place), option="--store FOLDER")


def cache_check() -> Check:
    """Check that backbones can be unpacked and fetched."""
    from composer.data.samples.backbones import default_cache

    return _folder_check("cache", default_cache(), option="the variable COMPOSER_CACHE")


def backbone_checks() -> Iterator[Check]:
    """Check which sample backbones are there; they are neither unpacked nor read."""
    from composer.data.samples.backbones import SAMPLE_BACKBONES, default_cache
    from composer.engine.doctor.requirements import installed_version

    for one in SAMPLE_BACKBONES.values():
        version = installed_version(one.package)
        if version is None:
            found, remedy, right = "not installed", one.install, True
        else:
            found, remedy, right = f"{one.package} {version}", "", version == one.version
        if not right:
            found += f", and its files are known of {one.version} alone"
            remedy = f"pip install '{one.package}=={one.version}'"
        yield Check(name=one.name, status="ok" if right else "warning", found=found, remedy=remedy)
    fetched = sorted(path.name for path in (default_cache() / "hub").glob("*/") if path.is_dir())
    if fetched:
        named = ", ".join(name.replace("--", "/", 1) for name in fetched)
        yield Check(name="hub backbones", status="ok", found=f"fetched: {named}")


def _folder_check(name: str, folder: Path, *, option: str) -> Check:
    """Write a file that is gone again in the folder, or where the folder would be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    remedy = f"make it writable, or give another place with {option}"
    if not there.is_dir():
        found = f"{there} is no folder"
        return Check(name=name, status="fault", found=found, remedy=f"move it, or {remedy}")
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"composer")
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as fault:
        found = f"{there} cannot be written: {fault.strerror}"
        return Check(name=name, status="fault", found=found, remedy=remedy)
    said = (
        f"{folder}: {'writable' if there == folder else 'can be made'}, {free / 10**9:.1f} GB free"
    )
    if free < FULL:
        remedy = f"free some space, or give another place with {option}"
        return Check(name=name, status="warning", found=said, remedy=remedy)
    return Check(name=name, status="ok", found=said)


def _shared_store_check(place: str) -> Check:
    from composer.engine.storage.store import open_store
    from composer.errors import ComposerError

    try:
        store = open_store(place)
        store.refresh("refs")
    except ComposerError as fault:
        return Check(name="store", status="fault", found=str(fault), remedy="see docs/store.md")
    return Check(name="store", status="ok", found=f"{place}: can be read; it was not written to")
