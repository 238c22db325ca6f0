"""What `composer export --format` does: stored results in the formats of other libraries."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.errors import Fault, RecipeError

if TYPE_CHECKING:
    from composer.engine.commands.parts import StoredPart, StoredRecipe
    from composer.engine.commands.single import Command
    from composer.model.backbone import Backbone
    from composer.recipe.grammar.composition import Composition
    from composer.train.importing import Format

_OF_BUNDLES = {"precision": None, "part_precision": "float32"}


def export_foreign(command: "Command", given: Mapping[str, Any]) -> list[str]:
    """Write one stored result in a format that is no bundle.

    Args:
        command: What all commands share.
        given: The command's arguments.

    Returns:
        The files, relative to the target.

    Raises:
        RecipeError: The name, the target or an option is not right for that.
        InterchangeError: Naming all of the result that the format does not have.
    """
    from composer.bundle.publish import unfinished_folder
    from composer.engine.commands.parts import StoredRecipe
    from composer.recipe.expansion.stages import TrainComposition
    from composer.train.rewriting import write_composition, write_part

    target, format = _target(given), given["format_"]
    made = StoredRecipe(command.store, command.folder)
    (name,) = _one(given["names"], format)
    part = _part(made, name)
    backbone, model = _backbone(made)
    with unfinished_folder(target) as out:
        if isinstance(part.stage, TrainComposition):
            composition, parts = _bound(made, part, given, format)
            write_composition(
                out, part.name, composition, part.folder, parts, backbone=backbone, model=model
            )
        else:
            write_part(
                format,
                out,
                part.name,
                part.folder,
                backbone=backbone,
                model=model,
                with_head=not given["without_head"],
            )
    return sorted(one.relative_to(target).as_posix() for one in target.rglob("*.*"))


def _backbone(made: "StoredRecipe") -> "tuple[Backbone, str]":
    """Open the backbone of what was named, and give its name for people."""
    from composer.data.samples.backbones import default_cache
    from composer.engine.planning.backbones import backbone_folder
    from composer.model.backbone import open_backbone
    from composer.recipe.grammar.backbones import FolderBackbone

    block = made.backbone()
    folder = backbone_folder(block, folder=made.folder, cache=default_cache())
    model = Path(block.path).name if isinstance(block, FolderBackbone) else block.name
    return open_backbone(folder, precision="float32"), model


def _target(given: Mapping[str, Any]) -> Path:
    target: Path = given["target"]
    faults = [
        Fault(f"--{name.replace('_', '-')}", "says how a bundle is made; leave it out here")
        for name, default in _OF_BUNDLES.items()
        if given[name] != default
    ]
    if target.suffix == ".zip":
        faults.append(Fault("--to", f"{target} is a zip; these formats are folders"))
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        faults.append(Fault("--to", f"{target} is there already; give another folder"))
    if faults:
        raise RecipeError(faults)
    return target


def _one(names: tuple[str, ...], format: "Format") -> tuple[str]:
    if len(names) != 1:
        message = f"{len(names)} are given; a folder of {format} holds one: export them in turn"
        raise RecipeError([Fault("NAMES", message)])
    return (names[0],)


def _part(made: "StoredRecipe", name: str) -> "StoredPart":
    found = made.add(name, kinds=("task", "language", "composition"))
    made.raise_any()
    return made.parts[found]


def _bound(
    made: "StoredRecipe", part: "StoredPart", given: Mapping[str, Any], format: "Format"
) -> tuple["Composition", dict[str, Path]]:
    """Give a composition with its language put in, and the folder of each adapter in it."""
    from composer.recipe.expansion.stages import TrainComposition
    from composer.recipe.grammar.composition import adapter_names, bind, holds_language

    stage = part.stage
    if format == "peft" or not isinstance(stage, TrainComposition):
        message = f"{part.name} is a composition; of PEFT single LoRAs are written"
        raise RecipeError([Fault("NAMES", message)])
    composition, keys = stage.composition, dict(stage.parts)
    if holds_language(composition):
        if len(given["languages"]) != 1:
            message = f"{part.name} stands on $language; say which one: --language de"
            raise RecipeError([Fault("--language", message)])
        tag = given["languages"][0]
        composition = bind(composition, tag)
        if tag not in keys:
            keys[tag] = made.parts[_part(made, tag).name].key
    folders = {one.key: one.folder for one in made.parts.values()}
    names = [name for name in adapter_names(composition) if name in keys]
    return composition, {name: folders[keys[name]] for name in names}
