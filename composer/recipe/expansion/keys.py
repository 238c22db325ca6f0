"""Keys: one SHA-256 of everything that decides a stage's result, and nothing else.

    {"kind": "train-task", "shape": {...}, "task": {...}, "data": {..., "digest": "9f.."},
     "over": {"en": "<key of the stage that trains it>"}, "training": {...},
     "backbone": {"body": "..", "vocabulary": ".."}, "precision": "float32",
     "versions": {"torch": ".."}}

No path, clock, host or name is in it: adapters stand as their keys, files as their digest.
A bundle is the exception, as the names that a device asks for are part of what it holds.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Literal, assert_never

from composer.recipe.expansion.stages import (
    BundledComposition,
    Choose,
    DataUse,
    Evaluate,
    Export,
    Rows,
    ScoreText,
    Stage,
    TaskSettings,
    TrainComposition,
    TrainHead,
    TrainLanguage,
    TrainTask,
    Trial,
)
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.composition import (
    LANGUAGE,
    Composition,
    adapter_names,
    holds_fusion,
    holds_language,
    print_composition,
    rename,
)
from composer.recipe.grammar.data import FileData, SplitPaths
from composer.recipe.grammar.training import Training

Settings = dict[str, object]


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


@dataclass(frozen=True)
class Change:
    """One setting that differs: its dotted path, and its values as JSON; None: it has none."""

    path: str
    before: str | None
    after: str | None


def changed_settings(old: Mapping[str, object], new: Mapping[str, object]) -> list[Change]:
    """List the settings that differ, by path.

    >>> changed_settings({"training": {"epochs": 8}}, {"training": {"epochs": 4}})
    [Change(path='training.epochs', before='8', after='4')]
    """
    both = [name for name in old.keys() & new.keys() if _json(old[name]) == _json(new[name])]
    before, after = (
        _flat({name: one for name, one in settings.items() if name not in both})
        for settings in (old, new)
    )
    changes = [
        Change(path, before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    on_one_side = tuple(inner for one in changes for inner in _entries_on_one_side(one))
    return [one for one in changes if not one.path.startswith(on_one_side)]


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _entries_on_one_side(change: Change) -> list[str]:
    """Begin the paths in what a list has by name before or after, and not both: it says so."""
    if not (change.before or "").startswith("[") or not (change.after or "").startswith("["):
        return []
    before, after = json.loads(change.before or ""), json.loads(change.after or "")
    return [f"{change.path}.{one}." for one in {*map(str, before)} ^ {*map(str, after)}]


def _flat(settings: object, path: str = "") -> dict[str, str]:
    """Give every value its dotted path, as JSON; what stands in a list by name has that name."""
    entries: Iterable[tuple[object, object]] = ()
    flat: dict[str, str] = {}
    if isinstance(settings, Mapping):
        entries = settings.items()
    elif isinstance(settings, list) and all(_name_in(one) for one in settings):
        flat[path] = json.dumps([_name_in(one) for one in settings])
        entries = ((_name_in(one), one) for one in settings)
    else:
        return {path: json.dumps(settings)}
    for key, one in entries:
        flat |= _flat(one, f"{path}.{key}" if path else str(key))
    return flat


def _name_in(value: object) -> str | None:
    return str(value["name"]) if isinstance(value, Mapping) and "name" in value else None


def _own_settings(stage: Stage, needs: Mapping[str, str], digest: str) -> Settings:
    match stage:
        case TrainHead():
            return _head(stage, digest)
        case ScoreText():
            return {
                "kind": "score-text",
                "adapter": needs[stage.adapter] if stage.adapter else None,
                "head": needs[stage.head],
                "data": _data(stage.data, digest),
                "split": stage.split,
                **_text_rows(stage.rows),
                "training": _some(stage.training, "batch_tokens", "threads"),
            }
        case TrainLanguage():
            return {
                "kind": "train-language",
                "shape": _shape(stage.shape),
                "data": _data(stage.data, digest),
                **_text_rows(stage.rows),
                **({"head": needs[stage.head]} if stage.head else {}),
                "training": _training(stage.training, fusion=False),
            }
        case TrainTask():
            return {
                "kind": "train-task",
                "shape": _shape(stage.shape),
                "task": _task(stage.task),
                "data": _data(stage.data, digest),
                "over": {tag: needs[name] for tag, name in stage.over.items()},
                **({"cycle": list(stage.cycle)} if stage.cycle else {}),
                "training": _training(stage.training, fusion=False),
                **({"choice": needs[stage.choice]} if stage.choice else {}),
            }
        case Choose():
            return {
                "kind": "choose",
                "score": stage.score,
                "trials": [_trial(one, needs) for one in stage.trials],
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
                "vocabulary": _vocabulary(stage, digest),
                "static": stage.static.model_dump(mode="json") if stage.static else None,
            }
    assert_never(stage)


def _head(stage: TrainHead, digest: str) -> Settings:
    """Describe a shared head; of a backbone's own one nothing but its bytes matters."""
    if stage.found is not None:
        return {"kind": "language-head", "found": stage.found}
    return {
        "kind": "language-head",
        "data": {"digest": digest},
        "texts": [_data(use, "") for use in stage.texts],
        **_text_rows(stage.rows),
        "training": _training(stage.training, fusion=False),
    }


def _text_rows(rows: Rows) -> Settings:
    """Say how text is read, where it is not a sentence a row and a piece at a time."""
    settings: Settings = {}
    if rows.pack_tokens is not None:
        settings["pack_tokens"] = rows.pack_tokens
    if rows.whole_words:
        settings["whole_words"] = True
    return settings


def _shape(shape: AdapterShape) -> Settings:
    settings = shape.model_dump(mode="json")
    if "leave_out" in settings:
        settings["leave_out"] = sorted(set(settings["leave_out"]))
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
    for added in ("label", "splits"):  # keys of recipes without them stay as they were
        if source.get(added) is None:
            source.pop(added, None)
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
        **({"temperature": data.temperature} if data.temperature != 1 else {}),
    }


def _vocabulary(stage: Export, digest: str) -> Settings | None:
    if stage.data is None:
        return None
    return {"data": _data(stage.data, digest), "pieces": stage.pieces}


def _training(training: Training, *, fusion: bool) -> Settings:
    """Leave out what does not change the result."""
    batches = "batch_examples" if training.batch_examples is None else "batch_tokens"
    settings = training.model_dump(mode="json", exclude={"checkpoint_steps", "prepack", batches})
    if training.processes == 1:
        del settings["processes"]
    if not fusion:
        del settings["fusion_regularizer"]
    return settings


def _trial(trial: Trial, needs: Mapping[str, str]) -> Settings:
    return {"name": trial.name, "settings": dict(trial.settings), "trial": needs[trial.stage]}


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
