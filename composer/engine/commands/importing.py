"""Results that another library made, published in the store beside those of trainings.

    composer import adapterhub PATH --name sst     task/sst, or language/sw, or composition/few

Their key is made of their files: who imports the same folder twice has one result. What they
learnt from is not known; a command that needs it says so. The manifest says for good where a
result is from:

    "adopted": {"differs": null, "format": "adapterhub", "key": null,
                "model": "bert-base-uncased", "name": "sst-2"}
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from composer.bundle.files import sha256_file
from composer.bundle.fingerprint import Fingerprints
from composer.engine.commands.parts import COMMAND, UNKNOWN_DATA
from composer.engine.commands.single import Command, backbone_values
from composer.engine.planning.machine import versions
from composer.engine.planning.record import KINDS, Record, stage_settings
from composer.engine.storage.ready import publish_ready
from composer.engine.storage.refs import resolve, set_ref
from composer.engine.storage.store import Store, StoredResult
from composer.errors import Fault, RecipeError, StoreError
from composer.recipe.expansion.keys import key_of
from composer.recipe.expansion.stages import (
    DataUse,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.backbones import Backbone
from composer.recipe.grammar.block import LanguageTag, Name
from composer.recipe.grammar.composition import RESERVED, Composition
from composer.recipe.grammar.meaning import SCORES
from composer.recipe.grammar.tasks import TaskType
from composer.recipe.grammar.training import Training

ImportedStage = TrainTask | TrainLanguage | TrainComposition

_BACKBONE: TypeAdapter[Backbone] = TypeAdapter(Backbone)
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_TAG: TypeAdapter[str] = TypeAdapter(LanguageTag)


def backbone_of(command: Command) -> Backbone:
    """Give the block of the backbone that a command names.

    Raises:
        RecipeError: It names none, or none that could be.
    """
    if command.backbone is None:
        message = "give the backbone that it was trained on, as folder:bert-base-uncased"
        raise RecipeError([Fault(command.option("backbone"), message)])
    place = command.option("backbone")
    try:
        return _BACKBONE.validate_python(backbone_values(command.backbone, place=place))
    except ValidationError as error:
        faults = [Fault(place, str(one["msg"])) for one in error.errors()]
        raise RecipeError(faults) from error


def check_new_name(name: str, *, language: bool) -> str:
    """Return a name for a result, if composer can call one that.

    Raises:
        RecipeError: It cannot.
    """
    kind = _TAG if language else _NAME
    try:
        kind.validate_python(name)
    except ValidationError as error:
        what = "a language's is its tag (BCP 47)" if language else "a name has letters, digits, - _"
        message = f"{name[:80]!r} can be no name here: {what}; give one with --name"
        raise RecipeError([Fault("--name", message)]) from error
    if name in RESERVED:
        message = f"{name!r} has a meaning in compositions; give another name with --name"
        raise RecipeError([Fault("--name", message)])
    return name


def imported_task(
    name: str,
    shape: AdapterShape,
    *,
    type: TaskType,
    labels: tuple[str, ...] | None,
    pooling: str,
    languages: Sequence[str],
) -> TrainTask:
    """Say what training would have made an adapter of a task."""
    return TrainTask(
        name=f"task/{name}",
        shape=shape,
        task=_settings(type, labels, pooling),
        data=_unknown(languages),
        over={},
        training=Training(),
    )


def imported_language(tag: str, shape: AdapterShape) -> TrainLanguage:
    """Say what training would have made an adapter of a language."""
    name = f"language/{tag}"
    return TrainLanguage(name=name, shape=shape, data=_unknown([tag]), training=Training())


def imported_composition(
    name: str,
    composition: Composition,
    parts: Mapping[str, str],
    *,
    type: TaskType,
    labels: tuple[str, ...],
    pooling: str,
    languages: Sequence[str],
) -> TrainComposition:
    """Say what training would have made a fusion; `parts` are stages by name in it."""
    return TrainComposition(
        name=f"composition/{name}",
        composition=composition,
        parts=parts,
        task=_settings(type, labels, pooling),
        data=_unknown(languages),
        train_norm=False,
        training=Training(),
    )


def stored_member(store: Store, name: str) -> tuple[str, StoredResult]:
    """Find an adapter that a fusion was learnt over: its stage, and its result.

    Raises:
        RecipeError: Nothing in the store, or more than one thing, is called that.
    """
    place = f"--member ...={name}"
    ref = resolve(store, name, kinds=("task", "language"), place=place)
    result = store.open(ref.key)
    if result is None:
        raise StoreError(f"{ref.full_name}: its result is damaged; import it again")
    return ref.stage, result


def publish_import(
    store: Store,
    stage: ImportedStage,
    files: Path,
    *,
    needs: Mapping[str, str],
    backbone: Backbone,
    fingerprints: Fingerprints,
    origin: Mapping[str, str | None],
    about: Mapping[str, str],
) -> StoredResult:
    """Copy files into the store, and let a label point at them.

    Args:
        store: To publish in.
        stage: What would have made them.
        files: Folder of plain files, complete and checked.
        needs: Stage name -> key, for every need.
        backbone: The block of the backbone.
        fingerprints: Of the same.
        origin: What is known of where they are from.
        about: Of the label; see `composer.engine.storage.refs.Ref`.
    """
    record = _record(stage, needs, backbone, fingerprints)
    kind = KINDS[type(stage)]
    key = _key(f"import-{kind}", files, record)
    adopted: dict[str, object] = {"key": None, "differs": None, **origin}
    result = publish_ready(
        store, key, files.iterdir(), kind=kind, stage=record.plain(), adopted=adopted
    )
    set_ref(store, COMMAND, stage.name, key, about=about)
    return result


def _record(
    stage: ImportedStage,
    needs: Mapping[str, str],
    backbone: Backbone,
    fingerprints: Fingerprints,
) -> Record:
    return Record(
        settings=stage_settings(stage, needs),
        needs=tuple(sorted(set(needs.values()))),
        data_digest="",
        backbone=backbone,
        fingerprints=fingerprints,
        precision="float32",
        versions=dict(versions()),
    )


def _key(kind: str, files: Path, record: Record) -> str:
    """Make a key of what the files hold and what they are for; no path is in it."""
    return key_of(
        {
            "kind": kind,
            "files": {
                path.name: sha256_file(path, error=StoreError) for path in sorted(files.iterdir())
            },
            "settings": record.settings,
            "fingerprints": record.fingerprints.__dict__,
        }
    )


def label_about(store: Store, folder: Path, command: str) -> dict[str, str]:
    """Say what a label of this command tells: how it was made, and from where."""
    return {"command": command, "folder": Path(os.path.relpath(folder, store.folder)).as_posix()}


def _settings(type: TaskType, labels: tuple[str, ...] | None, pooling: str) -> TaskSettings:
    return TaskSettings(type=type, labels=labels or None, pooling=pooling, score=SCORES[type][0])


def _unknown(languages: Sequence[str]) -> DataUse:
    return DataUse(source=UNKNOWN_DATA, languages=tuple(languages))
