"""Any result of a store by a name: a label, long or short, or the beginning of its key."""

import re

from composer.engine.storage.refs import all_refs, resolve
from composer.engine.storage.store import Store, StoredResult
from composer.errors import Fault, RecipeError

_KEY = re.compile("[0-9a-f]{8,64}")


def named_result(store: Store, name: str) -> StoredResult:
    """Find a result, and check every file of it.

    Args:
        store: Of results.
        name: A label as in `composer.engine.storage.refs`, or eight digits of a key or more.

    Raises:
        RecipeError: Nothing, or more than one thing, is called that; or it is damaged.
    """
    keys = _keys(store, name) if _KEY.fullmatch(name) else set()
    if len(keys) > 1:
        raise _fault(f"{name!r} begins {len(keys)} keys; give more digits")
    key = keys.pop() if keys else resolve(store, name, kinds=None).key
    result = store.open(key)
    if result is None:
        raise _fault(f"the result of {name!r} is damaged; run the command again that made it")
    return result


def _keys(store: Store, beginning: str) -> set[str]:
    if len(beginning) == 64:
        return {beginning} if store.find(beginning) else set()
    return {ref.key for ref in all_refs(store) if ref.key.startswith(beginning)}


def _fault(message: str) -> RecipeError:
    return RecipeError([Fault("command line", message)])
