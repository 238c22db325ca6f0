"""Put a pulled adapter into the store, where commands use it by name.

    composer pull owner/intent --name intent       task/intent

It is published under a key that is made of its files and of nothing that it says: a stranger's
adapter is never found where a stage of a recipe looks for its own result. What it was is kept:

    "adopted": {"differs": null, "key": "0a41…"}       the key that it had where it was trained
"""

from collections.abc import Mapping
from pathlib import Path

from composer.engine.planning.record import Record, read_record, read_stage
from composer.engine.sharing.adapters import verify_adapter
from composer.engine.storage.ready import publish_ready
from composer.engine.storage.refs import all_refs, set_ref
from composer.engine.storage.store import Store
from composer.errors import Fault, RecipeError
from composer.recipe.expansion.keys import key_of


def keep_adapter(
    store: Store, folder: Path, name: str, *, recipe: str, about: Mapping[str, str]
) -> str:
    """Publish an adapter, and let a label point at it; give the stage that it is called.

    Args:
        store: To publish in.
        folder: Of an adapter that was pulled.
        name: Of the task, or the tag of the language.
        recipe: Whose label it gets.
        about: Of the label; see `composer.engine.storage.refs.Ref`.

    Raises:
        RecipeError: It was trained over language adapters that are not in the store.
    """
    manifest = verify_adapter(folder)
    record = _rested(read_record(manifest), store)
    stage = f"{manifest.kind}/{name}"
    read_stage(record, name=stage)  # it can be used at all
    key = key_of(
        {
            "kind": f"pulled-{manifest.kind}",
            "files": manifest.files,
            "settings": record.settings,
            "fingerprints": vars(record.fingerprints),
        }
    )
    result = publish_ready(
        store,
        key,
        (folder / one for one in manifest.files),
        kind=manifest.kind,
        stage=record.plain(),
        adopted={"key": manifest.key, "differs": None},
    )
    set_ref(store, recipe, stage, result.key, about=about)
    return stage


def _rested(record: Record, store: Store) -> Record:
    """Name the language adapters that it was trained over by the keys that they have here."""
    over = record.settings.get("over")
    if not isinstance(over, dict) or not over:
        return record.model_copy(update={"needs": ()})
    known = _languages(store)
    missing = sorted(tag for tag, key in over.items() if str(key) not in known)
    if missing:
        tags = ", ".join(missing)
        message = (
            f"it was trained over the language adapters of {tags}, which are not in "
            f"{store.place}; pull them first, each with --name TAG"
        )
        raise RecipeError([Fault("SOURCE", message)])
    here = {tag: known[str(key)] for tag, key in over.items()}
    settings = {**record.settings, "over": here}
    return record.model_copy(update={"settings": settings, "needs": tuple(sorted(here.values()))})


def _languages(store: Store) -> dict[str, str]:
    """Map the key that a language adapter has, or had where it was trained, to the one here."""
    known: dict[str, str] = {}
    for ref in all_refs(store):
        manifest = store.peek(ref.key) if ref.kind == "language" else None
        if manifest is not None:
            known[ref.key] = ref.key
            before = (manifest.adopted or {}).get("key")
            if isinstance(before, str):
                known.setdefault(before, ref.key)
    return known
