"""Publish files that were made elsewhere, and checked, as a result of their own."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from composer.engine.storage.faults import disk_faults
from composer.engine.storage.manifest import Kind
from composer.engine.storage.store import Store, StoredResult


def publish_ready(
    store: Store,
    key: str,
    files: Iterable[Path],
    *,
    kind: Kind,
    stage: dict[str, object],
    adopted: dict[str, object],
) -> StoredResult:
    """Copy plain files into the store and publish them; a result that is there is kept.

    Args:
        store: To publish in.
        key: Made of what the files hold, so that the same files have one result.
        files: Complete and checked.
        kind: Of the result.
        stage: What would have made them.
        adopted: What is known of where they are from.
    """
    with store.lock(key):
        result = store.open(key)
        if result is not None:
            return result
        out = store.begin(key).out
        try:
            with disk_faults(out):
                for path in files:
                    shutil.copyfile(path, out / path.name)
            return store.publish(key, kind=kind, stage=stage, adopted=adopted)
        except BaseException:
            store.give_up(key)
            raise
