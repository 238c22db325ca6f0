"""Keys: one SHA-256 of everything that decides a stage's result, and nothing else.

    {"kind": "train-task", "shape": {...}, "task": {...}, "data": {..., "digest": "9f.."},
     "over": {"en": "<key of the stage that trains it>"}, "training": {...},
     "backbone": {"body": "..", "vocabulary": ".."}, "precision": "float32",
     "versions": {"torch": ".."}}

No path, clock, host or name is in it: adapters stand as their keys, files as their digest.
A bundle is the exception, as the names that a device asks for are part of what it holds.
"""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Literal, assert_never

from composer.recipe.composition import (
    LANGUAGE,
    Composition,
    adapter_names,
    holds_fusion,
    holds_language,
    print_composition,
    rename,
)
from composer.recipe.schema import AdapterShape, FileData, OtherAdapter, SplitPaths, Training
from composer.recipe.stages import (
    BundledComposition,
    DataUse,
    Evaluate,
    Export,
    Stage,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)

Settings = dict[str, object]

_SHORT = 8


def stage_key(
    stage: Stage,
    *,
    needs: Mapping[str, str],
    data_digest: str = "",
    backbone: Mapping[str, str],
    precision: Literal["float32", "bfloat16"],
    versions: Mapping[str, str],
) -> str:
    """Give the key of a stage; see `stage_settings` for the arguments."""
    return key_of(
        stage_settings(
            stage,
            needs=needs,
            data_digest=data_digest,
            backbone=backbone,
            precision=precision,
            versions=versions,
        )
    )


def key_of(settings: Mapping[str, object]) -> str:
    """Hash settings in their canonical form; the order of keys does not matter.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def stage_settings(
    stage: Stage,
    *,
    needs: Mapping[str, str],
    data_digest: str = "",
    backbone: Mapping[str, str],
    precision: Literal["float32", "bfloat16"],
    versions: Mapping[str, str],
) -> Settings:
    """Say all that decides a stage's result, as plain JSON.

    Args:
        stage: Of `expand`.
        needs: Name -> key of at least the stages in `stage.needs`.
        data_digest: Of the bytes of its data; empty for a stage that reads none.
        backbone: Fingerprints, "body" and "vocabulary".
        precision: "auto" is resolved before anything is keyed.
        versions: Of torch and of composer's arithmetic.
    """
    return {
        "backbone": dict(backbone),
        "precision": precision,
        "versions": dict(versions),
        **_own_settings(stage, needs, data_digest),
    }


def stage_reasons(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Say which settings differ; digests are shortened.

    >>> stage_reasons({"training": {"epochs": 8}}, {"training": {"epochs": 4}})
    ['training.epochs: 8 -> 4']
    """
    before, after = _flat(old), _flat(new)
    return [
        f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _flat(settings: object, path: str = "") -> dict[str, str]:
    """Give every value its dotted path, as JSON; lists of plain values stay whole."""
    entries: list[tuple[object, object]] = []
    if isinstance(settings, Mapping):
        entries = list(settings.items())
    elif isinstance(settings, list) and any(isinstance(one, Mapping) for one in settings):
        entries = list(enumerate(settings))
    else:
        text = json.dumps(settings)
        return {path: text[1 : _SHORT + 1] if re.fullmatch('"[0-9a-f]{64}"', text) else text}
    flat: dict[str, str] = {}
    for key, one in entries:
        flat |= _flat(one, f"{path}.{key}" if path else str(key))
    return flat


def _own_settings(stage: Stage, needs: Mapping[str, str], digest: str) -> Settings:
    match stage:
        case TrainLanguage():
            return {
                "kind": "train-language",
                "shape": _shape(stage.shape),
                "data": _data(stage.data, digest),
                "training": _training(stage.training, fusion=False),
            }
        case TrainTask():
            return {
                "kind": "train-task",
                "shape": _shape(stage.shape),
                "task": _task(stage.task),
                "data": _data(stage.data, digest),
                "over": {tag: needs[name] for tag, name in stage.over.items()},
                "training": _training(stage.training, fusion=False),
            }
        case TrainComposition():
            return {
                "kind": "train-composition",
                **_composition(stage.composition, stage.parts, needs),
                "task": _task(stage.task),
                "data": _data(stage.data, digest),
                "train_norm": stage.train_norm,
                "training": _training(stage.training, fusion=holds_fusion(stage.composition)),
            }
        case Evaluate():
            return {
                "kind": "evaluate",
                **_composition(stage.composition, stage.parts, needs),
                "owner": needs[stage.owner],
                "data": _data(stage.data, digest),
                "split": stage.split,
                "training": _some(stage.training, "batch_tokens", "threads"),
            }
        case Export():
            return {
                "kind": "export",
                "compositions": [_bundled(one, needs) for one in stage.compositions],
                "parts": {name: needs[part] for name, part in stage.parts.items()},
                "bundle_precision": stage.precision,
                "part_precision": stage.part_precision,
                "training": _some(stage.training, "threads"),
            }
    assert_never(stage)


def _shape(shape: AdapterShape) -> Settings:
    settings = shape.model_dump(mode="json")
    if not isinstance(shape, OtherAdapter):
        settings["leave_out"] = sorted(set(shape.leave_out))
    return settings


def _task(task: TaskSettings) -> Settings:
    return {
        "type": task.type,
        "labels": None if task.labels is None else list(task.labels),
        "pooling": task.pooling,
        "score": task.score,
    }


def _data(data: DataUse, digest: str) -> Settings:
    """Describe data without its paths; which splits there are, and their format, stay."""
    source = data.source.model_dump(mode="json")
    if isinstance(data.source, FileData):
        path = data.source.path
        paths = path.model_dump() if isinstance(path, SplitPaths) else {"all": path}
        source["path"] = {
            split: PurePosixPath(one).suffix.lower() for split, one in paths.items() if one
        }
    return {
        "source": source,
        "digest": digest,
        "languages": list(data.languages),
        "examples": data.examples,
        "max_tokens": data.max_tokens,
    }


def _training(training: Training, *, fusion: bool) -> Settings:
    """Leave out what does not change the result."""
    settings = training.model_dump(mode="json", exclude={"checkpoint_steps"})
    if not fusion:
        del settings["fusion_regularizer"]
    return settings


def _some(training: Training, *names: str) -> Settings:
    return training.model_dump(mode="json", include=set(names))


def _composition(
    composition: Composition, parts: Mapping[str, str], needs: Mapping[str, str]
) -> Settings:
    """Number the adapters in reading order, and give the key of each."""
    names = [name for name in adapter_names(composition) if name != LANGUAGE]
    numbered = {name: f"part{place}" for place, name in enumerate(names, start=1)}
    settings: Settings = {
        "composition": print_composition(rename(composition, numbered)),
        "parts": {numbered[name]: needs[parts[name]] for name in names},
    }
    if holds_language(composition):
        bound = {name: needs[part] for name, part in parts.items() if name not in numbered}
        settings["languages"] = bound
    return settings


def _bundled(one: BundledComposition, needs: Mapping[str, str]) -> Settings:
    return {
        "name": one.name,
        "composition": print_composition(one.composition),
        "owner": needs[one.owner],
        "evaluations": {name: needs[name] for name in one.evaluations},
    }
