"""Is a folder what a stage would have made? Asked before a result from elsewhere is accepted.

    language/de            adapter                 of the recipe's shape, for this backbone
    task/intent            adapter, head           of the task's type, labels and pooling
    composition/few-shot   head, what it owns      of as many members as the expression has

and `training.json`, which reports read. Files are read as a run reads them: nothing missing,
nothing left over, every tensor of the shape that is promised, every number finite.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from composer.bundle.files import read_json
from composer.errors import AdapterError, Fault, RecipeError
from composer.model.backbone import Backbone, open_backbone
from composer.model.files import HeadFile, read_adapter, read_head, read_owned
from composer.recipe.expansion.stages import (
    Stage,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.adapters import AdapterShape, stored_shape
from composer.train.results import read_training
from composer.train.tasks import describe_owned

_FILES = {
    TrainLanguage: ("adapter",),
    TrainTask: ("adapter", "head"),
    TrainComposition: ("head", "composition"),
}


def check_adopted(
    stage: Stage, out: Path, *, inputs: Mapping[str, Path], backbone_folder: Callable[[], Path]
) -> None:
    """Hold a folder to what a stage makes.

    Args:
        stage: A training.
        out: A copy that nobody else writes to.
        inputs: Stage name -> folder of its result, for every need.
        backbone_folder: Gives the backbone's.

    Raises:
        AdapterError: Its files disagree, or are for another backbone.
        RecipeError: They are whole, and not what the recipe says.
    """
    _check_names(stage, out)
    try:
        read_training(out)
    except ValueError as fault:
        raise AdapterError(f"{out / 'training.json'} is not what a training writes") from fault
    backbone = open_backbone(backbone_folder(), precision="float32")
    faults: list[str] = []
    match stage:
        case TrainLanguage():
            faults += _shape_faults(stage.shape, out, backbone)
        case TrainTask():
            faults += _shape_faults(stage.shape, out, backbone)
            faults += _head_faults(stage.task, out, backbone)
        case TrainComposition():
            faults += _owned_faults(stage, out, backbone, inputs)
            faults += _head_faults(stage.task, out, backbone)
    if faults:
        raise RecipeError([Fault(stage.name, fault) for fault in faults])


def _check_names(stage: Stage, out: Path) -> None:
    known = {"training.json"}
    for name in _FILES.get(type(stage), ()):
        known |= {f"{name}.json", f"{name}.safetensors"}
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    left = sorted(found - known)
    if left:
        raise AdapterError(f"{left[0]} is nothing that {stage.name} makes; {_listed(known)}")
    if "training.json" not in found:
        raise AdapterError(f"training.json is missing; {_listed(known)}")


def _listed(names: set[str]) -> str:
    return f"its files are {', '.join(sorted(names))}"


def _shape_faults(shape: AdapterShape, out: Path, backbone: Backbone) -> list[str]:
    found = read_adapter(out, backbone).shape.model_dump(mode="json")
    wanted = stored_shape(shape).model_dump(mode="json")
    return [
        f"adapter.json: {name} is {found.get(name)!r}, the recipe says {wanted.get(name)!r}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]


def _head_faults(task: TaskSettings, out: Path, backbone: Backbone) -> list[str]:
    about: HeadFile = read_head(out, backbone).about
    pooling = "none" if task.type == "token-classification" else task.pooling
    pairs: list[tuple[str, object, object]] = [
        ("type", about.type, task.type),
        ("pooling", about.pooling, pooling),
    ]
    if task.labels is not None:
        pairs.append(("labels", list(about.labels), list(task.labels)))
    return [
        f"head.json: {name} is {found!r}, the recipe says {wanted!r}"
        for name, found, wanted in pairs
        if found != wanted
    ]


def _owned_faults(
    stage: TrainComposition, out: Path, backbone: Backbone, inputs: Mapping[str, Path]
) -> list[str]:
    adapters = {name: read_adapter(inputs[need], backbone) for name, need in stage.parts.items()}
    wanted = describe_owned(stage, adapters, backbone)
    owned = read_owned(out, backbone)
    if owned is None or wanted is None:
        if owned is None and wanted is None:
            return []
        has = "there is a" if owned else "there is no"
        return [f"{has} fusion in it, the recipe says otherwise"]
    found = read_json(out / "composition.json", error=AdapterError)
    plain = wanted.model_dump(mode="json")
    return [
        f"composition.json: {name} is {found.get(name)!r}, the recipe says {plain[name]!r}"
        for name in ("mixers", "train_norm", "placement")
        if found.get(name) != plain[name]
    ]
