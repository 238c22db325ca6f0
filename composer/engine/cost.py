"""What a stage takes: parameters by formula, bytes and seconds as far as they are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.files import read_json
from composer.engine.manifest import Manifest
from composer.errors import StoreError
from composer.recipe.fit import BackboneShape, trainable_parameters
from composer.recipe.meaning import class_count
from composer.recipe.schema import AdapterShape
from composer.recipe.stages import Stage, TrainComposition, TrainLanguage, TrainTask

_BYTES_A_PARAMETER = 4  # float32


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage takes; None is unknown.

    Attributes:
        parameters: That it trains; 0 for a stage that trains nothing.
        has_head: Whether the head's are among them: the number of labels may not be known yet.
        bytes: Of its files; counted if it is done, estimated if not.
        seconds: That it took the last time.
    """

    parameters: int | None
    has_head: bool
    bytes: int | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class LastResult:
    """The result that a label has now, of this key or an earlier one."""

    folder: Path
    manifest: Manifest


def stage_cost(
    stage: Stage,
    *,
    backbone: BackboneShape | None,
    shapes: Mapping[str, AdapterShape],
    last: LastResult | None,
    done: bool,
    seconds: float | None,
) -> Cost:
    """Say what a stage takes.

    Args:
        stage: Whatever it does.
        backbone: None: not known yet.
        shapes: Stage name -> the shape of the adapter that it trains.
        last: The last result of its label.
        done: Whether that is the result wanted now.
        seconds: That it took the last time.
    """
    if not isinstance(stage, TrainLanguage | TrainTask | TrainComposition):
        size = last.manifest.bytes if last else None
        return Cost(parameters=0, has_head=False, bytes=size, seconds=seconds)
    if done and last is not None:
        return Cost(
            parameters=_counted(last.folder),
            has_head=not isinstance(stage, TrainLanguage),
            bytes=last.manifest.bytes,
            seconds=seconds,
        )
    classes = None if isinstance(stage, TrainLanguage) else _classes(stage, last)
    parameters = None
    if backbone is not None:
        parameters = trainable_parameters(stage, backbone=backbone, shapes=shapes, classes=classes)
    return Cost(
        parameters=parameters,
        has_head=classes is not None,
        bytes=None if parameters is None else parameters * _BYTES_A_PARAMETER,
        seconds=seconds,
    )


def _counted(folder: Path) -> int | None:
    """Read how many parameters a training counted itself."""
    if not (folder / "training.json").exists():
        return None
    counted = read_json(folder / "training.json", error=StoreError).get("trainable_parameters")
    return counted if isinstance(counted, int) else None


def _classes(stage: TrainTask | TrainComposition, last: LastResult | None) -> int | None:
    """Count the outputs of a stage's head; None while its label set is not known."""
    labels = stage.task.labels or (_labels_of(last.folder) if last else None)
    if stage.task.type != "regression" and labels is None:
        return None
    return class_count(stage.task.type, tuple(labels or ()))


def _labels_of(folder: Path) -> tuple[str, ...] | None:
    """Read the label set of a stored head."""
    if not (folder / "head.json").exists():
        return None
    labels = read_json(folder / "head.json", error=StoreError).get("labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else None
