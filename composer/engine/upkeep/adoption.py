"""Results that were made elsewhere, published under a stage's key as if they were made here.

    composer adopt home.yaml task/intent ../other/.composer/objects/0a/0a41…

What the result is must be what the recipe says: its kind, its shape, its labels, its backbone.
How it came about may differ, as its data or its training: that is what adopting is for. The
manifest says so for good:

    "adopted": {"differs": ["data_digest", "settings.training.epochs"], "key": "0a41…"}

`key` is the one that it had, null if it came without a manifest; `differs` then is, too.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.files import open_regular
from composer.engine.planning.plan import Plan, PlannedStage
from composer.engine.planning.record import KINDS, Record, read_record
from composer.engine.storage.faults import disk_faults
from composer.engine.storage.manifest import MANIFEST, Manifest, read_manifest, verify_files
from composer.engine.storage.store import Store, StoredResult
from composer.errors import Fault, RecipeError, StoreError, did_you_mean

_TRAINED = ("language", "task", "composition")

Check = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What was adopted.

    Attributes:
        result: As it is published now.
        differs: What was other when it was made; None: it came without a manifest.
    """

    result: StoredResult
    differs: tuple[str, ...] | None


def adoptable_stage(plan: Plan, name: str, store: Store) -> PlannedStage:
    """Find the stage that something is to be adopted as.

    Raises:
        RecipeError: There is none, it trains nothing, or it has a result.
    """
    known = {one.stage.name: one for one in plan.stages}
    if name not in known:
        raise _fault("STAGE", f"no stage is named {name!r}; {did_you_mean(name, known)}")
    planned = known[name]
    if KINDS[type(planned.stage)] not in _TRAINED:
        raise _fault(
            name, "scores and bundles are made, not adopted; adopt what they rest on, and run it"
        )
    if store.open(_key(planned)) is not None:
        raise _fault(name, "it has a result of its own; nothing is to be adopted")
    return planned


def adopt(
    store: Store, planned: PlannedStage, folder: Path, *, check: Check, recipe_place: str
) -> Adoption:
    """Copy a folder, hold the copy to what the stage makes, and publish it.

    Args:
        store: To publish in.
        planned: Of the stage; its needs have results.
        folder: Of plain files, with or without the manifest of a store.
        check: Called as `composer.train.adopting.check_adopted` is, without the backbone.
        recipe_place: For messages.

    Raises:
        ComposerError: It is damaged, not of that kind, or not what the recipe says.
    """
    key, inputs = _key(planned), _inputs(store, planned, recipe_place)
    with store.lock(key):
        if store.open(key) is not None:
            raise _fault(planned.stage.name, "somebody has just made its result")
        work = store.begin(key)
        try:
            manifest = _copy(folder, work.out)
            differs = _compare(planned, manifest)
            check(planned.stage, work.out, inputs=inputs)
            result = store.publish(
                key,
                kind=KINDS[type(planned.stage)],
                stage=planned.record.plain() if planned.record else {},
                adopted={
                    "key": manifest.key if manifest else None,
                    "differs": list(differs) if differs is not None else None,
                },
            )
        except BaseException:
            store.give_up(key)
            raise
    return Adoption(result=result, differs=differs)


def _inputs(store: Store, planned: PlannedStage, place: str) -> Mapping[str, Path]:
    found = {}
    for name, key in planned.needs.items():
        result = store.open(key)
        if result is None:
            message = f"it rests on {name}, which has no result; make that first: composer run"
            raise _fault(planned.stage.name, f"{message} {place} --only {name}")
        found[name] = result.folder
    return found


def _copy(folder: Path, out: Path) -> Manifest | None:
    """Copy plain files, so that what is checked is what is published; read the manifest."""
    if folder.is_symlink() or not folder.is_dir():
        raise _fault("FOLDER", f"{folder} is not a folder; give the one that holds training.json")
    manifest = None
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
    names = sorted(manifest.files) if manifest else sorted(_names(folder))
    for name in names:
        target = out / name
        if target.parent != out:
            raise StoreError(f"{folder / name} lies in a folder of its own; no training makes one")
        with disk_faults(target), open_regular(folder / name, error=StoreError) as (file, _):
            with open(target, "xb") as copy:
                shutil.copyfileobj(file, copy)
    if manifest is not None:
        verify_files(out, manifest)
    return manifest


def _names(folder: Path) -> list[str]:
    with disk_faults(folder):
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def _compare(planned: PlannedStage, manifest: Manifest | None) -> tuple[str, ...] | None:
    """Refuse another kind or backbone; list what else differs."""
    if manifest is None:
        return None
    kind, record = KINDS[type(planned.stage)], planned.record
    if manifest.kind != kind:
        message = f"FOLDER holds a result of kind {manifest.kind!r}, not {kind!r}"
        raise _fault(planned.stage.name, message)
    before = read_record(manifest)
    if record is not None and before.fingerprints.body != record.fingerprints.body:
        raise _fault(
            planned.stage.name,
            f"it was trained on the backbone {before.fingerprints.body[:12]}, the recipe's is "
            f"{record.fingerprints.body[:12]}; adapters fit their own backbone only",
        )
    return tuple(_differences(before, record)) if record else None


def _differences(before: Record, now: Record) -> list[str]:
    one, other = _flat(before.plain()), _flat(now.plain())
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _key(planned: PlannedStage) -> str:
    if planned.key is None:
        raise StoreError(f"{planned.stage.name}: planned before the backbone was fetched")
    return planned.key


def _fault(place: str, message: str) -> RecipeError:
    return RecipeError([Fault(place, message)])
