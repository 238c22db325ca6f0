"""What `composer import` does: read a folder, publish what it holds, and say what that is."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from composer.errors import Fault, RecipeError

if TYPE_CHECKING:
    from composer.engine.commands.importing import ImportedStage
    from composer.engine.commands.single import Command
    from composer.engine.storage.store import StoredResult
    from composer.model.backbone import Backbone
    from composer.model.interchange.foreignheads import ForeignHead
    from composer.model.interchange.hubfusions import ForeignSetup
    from composer.recipe.grammar.adapters import AdapterShape
    from composer.recipe.grammar.backbones import Backbone as Block
    from composer.recipe.grammar.tasks import TaskType
    from composer.train.importing import Format, HeadWishes, ImportedPart


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was published.

    Attributes:
        stage: That it stands for.
        result: Of the store.
        part: As it was read.
    """

    stage: "ImportedStage"
    result: "StoredResult"
    part: "ImportedPart"

    def plain(self) -> dict[str, object]:
        """Give it as JSON has it."""
        adapter, head = self.part.adapter, self.part.head
        return {
            "stage": self.stage.name,
            "key": self.result.key,
            "folder": str(self.result.folder),
            "shape": adapter.shape.model_dump(mode="json") if adapter else None,
            "model": adapter.model if adapter else None,
            "head": _plain_head(head) if head else None,
        }

    def lines(self) -> list[str]:
        """Tell it to people."""
        adapter, head = self.part.adapter, self.part.head
        said = [f"{self.stage.name}: imported as {self.result.key[:12]}"]
        if adapter is not None:
            said.append(f"  its shape in a recipe: {_flow(adapter.shape)}")
            if adapter.model:
                said.append(
                    f"  it says it was trained on {adapter.model}; the format cannot show that "
                    "this is the backbone you gave"
                )
        if head is not None:
            labels = ", ".join(head.labels) or "a number"
            two = f", two layers with {head.non_linearity} between" if head.non_linearity else ""
            said.append(f"  its head: {head.type}, {labels}{two}")
        elif self.stage.name.startswith("task/"):
            said.append("  without a head: fuse it, or learn one on it")
        return [*said, f"  {self.result.folder}"]


def _plain_head(head: "ForeignHead") -> dict[str, object]:
    plain: dict[str, object] = {"type": head.type, "labels": list(head.labels)}
    return plain | ({"non_linearity": head.non_linearity} if head.non_linearity else {})


def import_peft(command: "Command", given: Mapping[str, Any], typed: str) -> Imported:
    """Import a LoRA of PEFT."""
    return _Importing(command, given, typed).adapter("peft", given["path"], _head(given))


def import_adapterhub(command: "Command", given: Mapping[str, Any], typed: str) -> list[Imported]:
    """Import an adapter, a fusion, or a whole composition of `adapters`."""
    from composer.model.interchange.foreign import holds
    from composer.model.interchange.hubfusions import FUSION, SETUP, read_members, read_setup

    path: Path = given["path"]
    importing = _Importing(command, given, typed)
    if holds(path, SETUP):
        return importing.setup(path, read_setup(path), _head(given))
    if holds(path, FUSION):
        renamed = dict(_pair(one) for one in given["members"])
        members = {name: renamed.get(name, name) for name in read_members(path)}
        return [importing.fusion(path, (), members, _head(given))]
    if given["members"]:
        message = f"{path} holds no fusion ({FUSION}), and an adapter has no members"
        raise RecipeError([Fault("--member", message)])
    return [importing.adapter("adapterhub", path, _head(given))]


class _Importing:
    """One command: its backbone is opened once.

    Args:
        command: What all commands share.
        given: The command's arguments.
        typed: The command, for labels.
    """

    def __init__(self, command: "Command", given: Mapping[str, Any], typed: str) -> None:
        from composer.data.samples.backbones import default_cache
        from composer.engine.commands.importing import backbone_of, label_about
        from composer.engine.planning.backbones import backbone_folder
        from composer.model.backbone import open_backbone

        self.command, self.given = command, given
        self.block: Block = backbone_of(command)
        folder = backbone_folder(self.block, folder=command.folder, cache=default_cache())
        self.backbone: Backbone = open_backbone(folder, precision="float32")
        self.about = label_about(command.store, command.folder, typed)

    def adapter(
        self, format: "Format", path: Path, head: "HeadWishes", *, name: str | None = None
    ) -> Imported:
        """Import an adapter; its name is given, or the command's, or its own."""
        from composer.engine.commands.importing import (
            check_new_name,
            imported_language,
            imported_task,
        )
        from composer.model.interchange.hub import is_language
        from composer.train.importing import read_adapter_part

        role = self.given["role"]
        if role is None and format == "adapterhub" and is_language(path):
            role = "language"
        if role == "language":
            head = _without(head)
        part = read_adapter_part(format, path, self.backbone, head=head)
        if part.adapter is None:
            raise TypeError("an adapter was read, and there is none")
        name = name or self.given["name"] or part.adapter.name
        name = check_new_name(name, language=role == "language")
        stage: ImportedStage
        if role == "language":
            stage = imported_language(name, part.adapter.shape)
        else:
            found = part.head
            stage = imported_task(
                name,
                part.adapter.shape,
                type=found.type if found else self._type(),
                labels=found.labels if found else None,
                pooling="mean" if found and found.pooling == "none" else "first",
                languages=self.given["languages"],
            )
        origin = {"format": format, "name": part.adapter.name, "model": part.adapter.model}
        return self._publish(stage, part, {}, origin)

    def fusion(
        self, path: Path, stacked: tuple[str, ...], fused: Mapping[str, str], head: "HeadWishes"
    ) -> Imported:
        """Import a fusion over adapters of the store: name there -> name here."""
        from composer.engine.commands.importing import (
            check_new_name,
            imported_composition,
            stored_member,
        )
        from composer.model.files import read_adapter
        from composer.recipe.grammar.composition import Fuse, Stack
        from composer.train.importing import read_fusion_part

        name = check_new_name(self.given["name"] or path.resolve().name, language=False)
        found = {one: stored_member(self.command.store, one) for one in (*stacked, *fused.values())}
        adapters = {one: read_adapter(at.folder, self.backbone) for one, (_, at) in found.items()}
        shapes: list[AdapterShape] = [adapters[one].shape for one in fused.values()]
        part = read_fusion_part(path, shapes, self.backbone, head=head)
        if part.head is None:
            raise TypeError("a fusion was read without its head")
        short = {one: stage.rpartition("/")[2] for one, (stage, _) in found.items()}
        mixed = Fuse(tuple(short[one] for one in fused.values()))
        below = tuple(short[one] for one in stacked)
        stage = imported_composition(
            name,
            Stack((*below, mixed)) if below else mixed,
            {short[one]: stage for one, (stage, _) in found.items()},
            type=part.head.type,
            labels=part.head.labels,
            pooling="mean" if part.head.pooling == "none" else "first",
            languages=self.given["languages"],
        )
        needs = {stage: at.key for stage, at in found.values()}
        origin = {"format": "adapterhub", "name": ",".join(fused), "model": None}
        return self._publish(stage, part, needs, origin)

    def setup(self, path: Path, setup: "ForeignSetup", head: "HeadWishes") -> list[Imported]:
        """Import every adapter of a composition, and then its fusion."""
        from composer.engine.commands.parts import COMMAND
        from composer.model.interchange.foreign import inner_folder

        if head.folder is None and setup.head is not None:
            head = replace(head, folder=inner_folder(path, setup.head))
        made, keys = [], {}
        for name in (*setup.stacked, *setup.fused):
            predicts = name == setup.stacked[-1] if not setup.fused else False
            own = head if predicts else _without(head)
            made.append(self.adapter("adapterhub", inner_folder(path, name), own, name=name))
            keys[name] = f"{COMMAND}/{made[-1].stage.name}"
        if setup.fused:
            below = tuple(keys[name] for name in setup.stacked)
            members = {name: keys[name] for name in setup.fused}
            fused = inner_folder(path, ",".join(setup.fused))
            made.append(self.fusion(fused, below, members, head))
        return made

    def _type(self) -> "TaskType":
        from composer.recipe.grammar.meaning import SCORES

        wanted = self.given["type_"]
        if wanted not in SCORES:
            message = f"{wanted!r} is no type of a task; known: {', '.join(SCORES)}"
            raise RecipeError([Fault("--type", message)])
        return cast("TaskType", wanted)

    def _publish(
        self,
        stage: "ImportedStage",
        part: "ImportedPart",
        needs: Mapping[str, str],
        origin: Mapping[str, str | None],
    ) -> Imported:
        from composer.engine.commands.importing import publish_import

        with tempfile.TemporaryDirectory(prefix="composer-import-") as scratch:
            part.write(Path(scratch), self.backbone)
            result = publish_import(
                self.command.store,
                stage,
                Path(scratch),
                needs=needs,
                backbone=self.block,
                fingerprints=self.backbone.fingerprints,
                origin=origin,
                about=self.about,
            )
        return Imported(stage=stage, result=result, part=part)


def _head(given: Mapping[str, Any]) -> "HeadWishes":
    from composer.train.importing import HeadWishes

    return HeadWishes(
        folder=given.get("head_folder"),
        labels=tuple(label for label in given["labels"].split(",") if label),
        taken=not given["without_head"],
    )


def _without(head: "HeadWishes") -> "HeadWishes":
    return replace(head, taken=False)


def _pair(text: str) -> tuple[str, str]:
    there, equals, here = text.rpartition("=")
    if not (there and equals and here):
        message = f"{text!r}; write the name in the fusion and the name in the store: sst-2=sst"
        raise RecipeError([Fault("--member", message)])
    return there, here


def _flow(shape: "AdapterShape") -> str:
    """Write what differs from the defaults as a recipe has it."""
    values = shape.model_dump(mode="json", exclude_defaults=True)
    values = {"kind": shape.kind, **values}
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in values.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}": {_value(one)}' for name, one in value.items()) + "}"
    return str(value)
