"""The bundle that names in the store stand for: found there, or made of what is.

few-shot            a composition or task: its bundle is made, once
intent few-shot     the same of several, in one bundle
bundle/home         the bundle of a recipe that was run
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composer.cli.single import carry_out
from composer.errors import Fault, RecipeError, StoreError

if TYPE_CHECKING:
    from composer.engine.commands.single import Command
    from composer.engine.storage.refs import Ref
    from composer.recipe.schema import Backbone


@dataclass(frozen=True, kw_only=True)
class StoredBundle:
    """A bundle in the store.

    Attributes:
        folder: Holds it; read only.
        key: Of the result that it is part of.
        backbone: The block of the backbone that it was made for, seen from the working folder.
        known: Whether it was in the store already.
    """

    folder: Path
    key: str
    backbone: "Backbone"
    known: bool


def stored_bundle(
    command: "Command",
    names: Sequence[str],
    *,
    languages: Sequence[str] = (),
    precision: str | None = None,
    part_precision: str = "float32",
    place: str = "command line",
) -> StoredBundle:
    """Find the bundle of names in the store, or make it.

    Args:
        command: What all commands share.
        names: Of tasks and compositions, or of one bundle.
        languages: To bind `$language` to, where it occurs.
        precision: Of the backbone's graph; None: parts only.
        part_precision: Of what was trained.
        place: Where the names were found, for messages.

    Raises:
        RecipeError: A name stands for nothing in the store, or for too much.
    """
    from composer.engine.commands.single import export_stage
    from composer.engine.storage.refs import PARTS, resolve

    if len(names) == 1:
        ref = resolve(command.store, names[0], kinds=(*PARTS, "bundle"), place=place)
        if ref.kind == "bundle":
            return _found(command, ref)
    wanted = export_stage(
        command,
        names,
        bundle="export",
        languages=languages,
        precision=precision,
        part_precision=part_precision,
    )
    _, result = carry_out(wanted, command)
    (stage,) = wanted.stages
    stored = result.results[stage.name]
    return StoredBundle(
        folder=stored.folder / "bundle",
        key=stored.key,
        backbone=wanted.backbone,
        known=stage.name not in result.made,
    )


def _found(command: "Command", ref: "Ref") -> StoredBundle:
    from composer.engine.planning.record import read_record
    from composer.recipe.schema import FolderBackbone

    if command.changes:
        message = f"{ref.full_name} is made already; change what it was made by, and run that"
        raise RecipeError([Fault("--set", message)])
    stored = command.store.open(ref.key)
    if stored is None:
        again = ref.about.get("command", f"the command of recipe {ref.recipe}")
        raise StoreError(f"{ref.full_name}: its result is damaged; make it again with: {again}")
    block = read_record(stored.manifest).backbone
    if isinstance(block, FolderBackbone):
        recipe = command.store.folder / ref.about.get("folder", ".")
        block = block.model_copy(update={"path": str((recipe / block.path).resolve())})
    return StoredBundle(folder=stored.folder / "bundle", key=ref.key, backbone=block, known=True)
