"""A folder that several hosts mount, as the place of a shared store: `file:///mnt/team`.

An object is a file. It is written beside its place and linked or renamed into it, so that it is
there whole or not at all, and created by one host only.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from composer.bundle.files import UNFINISHED, beside, safe_join
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.remote import Entry
from composer.errors import StoreError


class SharedFolder:
    """Objects that are files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder.as_posix()}"

    def read(self, name: str) -> bytes | None:
        """Read a small object; None: there is none."""
        path = self._path(name)
        with disk_faults(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Write a small object, over what is there."""
        path = self._path(name)
        with disk_faults(path):
            os.replace(_written(path, data), path)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object that must not be there yet; False: somebody else's is."""
        path = self._path(name)
        with disk_faults(path):
            unfinished = _written(path, data)
            try:
                os.link(unfinished, path)
            except FileExistsError:
                # Over NFS the answer to the first try may be lost, and the second one fails.
                return path.read_bytes() == data
            finally:
                unfinished.unlink()
        return True

    def put(self, file: Path, name: str) -> None:
        """Copy a local file there."""
        path = self._path(name)
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = beside(path)
            try:
                shutil.copyfile(file, unfinished)
                os.replace(unfinished, path)
            finally:
                unfinished.unlink(missing_ok=True)

    def get(self, name: str, file: Path) -> bool:
        """Copy an object to a local file; False: there is none."""
        path = self._path(name)
        with disk_faults(path):
            try:
                shutil.copyfile(path, file)
            except FileNotFoundError:
                return False
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, if they are there, and folders that are empty then."""
        for name in names:
            path = self._path(name)
            with disk_faults(path):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or in use
                for parent in path.relative_to(self.folder).parents[:-1]:
                    (self.folder / parent).rmdir()

    def list(self, prefix: str) -> dict[str, Entry]:
        """List every object whose name begins with a folder's."""
        found = {}
        for root, _, names in os.walk(self.folder / prefix):
            for name in names:
                path = Path(root) / name
                if name.endswith(UNFINISHED):
                    continue
                with suppress(FileNotFoundError), disk_faults(path):
                    status = path.lstat()
                    entry = Entry(size=status.st_size, modified=status.st_mtime)
                    found[path.relative_to(self.folder).as_posix()] = entry
        return found

    def _path(self, name: str) -> Path:
        return safe_join(self.folder, name, error=StoreError)


def _written(path: Path, data: bytes) -> Path:
    """Write data beside its place, and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = beside(path)
    with open(unfinished, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return unfinished
