"""The bundle that names in the store stand for: found there, or made of what is.

few-shot            a composition or task: its bundle is made, once
intent few-shot     the same of several, in one bundle
bundle/home         the bundle of a recipe that was run
home.zip            no name: a bundle at a path, with the backbone that it was made for
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.reader import OpenedBundle, open_bundle
from composer.engine.commands.single import Command, backbone_values, export_stage
from composer.engine.planning.record import read_record
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import RunResult
from composer.engine.storage.refs import PARTS, Ref, resolve
from composer.errors import Fault, RecipeError, StoreError
from composer.recipe.grammar.backbones import Backbone, FolderBackbone
from composer.recipe.reading.reader import recipe_from

Make = Callable[[Wanted], RunResult]
"""Plans what is wanted, and makes what is not there."""


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
    backbone: Backbone
    known: bool


def stored_bundle(
    command: Command,
    names: Sequence[str],
    *,
    make: Make,
    languages: Sequence[str] = (),
    precision: str | None = None,
    part_precision: str = "float32",
    place: str = "command line",
) -> StoredBundle:
    """Find the bundle of names in the store, or make it.

    Args:
        command: What all commands share.
        names: Of tasks and compositions, or of one bundle.
        make: Carries out what is not there.
        languages: To bind `$language` to, where it occurs.
        precision: Of the backbone's graph; None: parts only.
        part_precision: Of what was trained.
        place: Where the names were found, for messages.

    Raises:
        RecipeError: A name stands for nothing in the store, or for too much.
    """
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
    result = make(wanted)
    (stage,) = wanted.stages
    stored = result.results[stage.name]
    return StoredBundle(
        folder=stored.folder / "bundle",
        key=stored.key,
        backbone=wanted.backbone,
        known=stage.name not in result.made,
    )


def _found(command: Command, ref: Ref) -> StoredBundle:
    if command.changes:
        message = f"{ref.full_name} is made already; change what it was made by, and run that"
        raise RecipeError([Fault(command.option("changes" if command.python else "set"), message)])
    stored = command.store.open(ref.key)
    if stored is None:
        again = ref.about.get("command", f"the command of recipe {ref.recipe}")
        raise StoreError(f"{ref.full_name}: its result is damaged; make it again with: {again}")
    block = read_record(stored.manifest).backbone
    if isinstance(block, FolderBackbone):
        recipe = command.store.folder / ref.about.get("folder", ".")
        block = block.model_copy(update={"path": str((recipe / block.path).resolve())})
    return StoredBundle(folder=stored.folder / "bundle", key=ref.key, backbone=block, known=True)


def open_source(
    source: str | Path, command: Command, *, make: Make, languages: Sequence[str] = ()
) -> tuple[OpenedBundle, Backbone | None]:
    """Open a bundle by path, or one of the store by name.

    Args:
        source: A folder, a `.zip`, or a name in the store.
        command: What all commands share; its backbone is put under the bundle.
        make: Carries out what is not there.
        languages: To bind `$language` to, where it occurs.

    Returns:
        The bundle, and the backbone to put it on; None: the one that lies in it.
    """
    path = Path(source)
    if isinstance(source, Path) or path.exists() or path.suffix == ".zip":
        bundle = open_bundle(path)
        return bundle, backbone_under(bundle, command)
    place = f"{'source' if command.python else 'SOURCE'} (no such file or folder)"
    found = stored_bundle(command, [source], make=make, languages=languages, place=place)
    bundle = open_bundle(found.folder)
    if command.backbone is None and not bundle.manifest.graphs:
        return bundle, found.backbone
    return bundle, backbone_under(bundle, command)


def backbone_under(bundle: OpenedBundle, command: Command) -> Backbone | None:
    """Say which backbone a bundle is put on, as a recipe would; None: it lies in it.

    Args:
        bundle: Of which the backbone may be a part.
        command: Its backbone, if it has one, comes first.

    Raises:
        RecipeError: It was in a folder, and nobody knows where that is now.
    """
    place = command.option("backbone")
    if command.backbone is not None:
        return _block(backbone_values(command.backbone, place=place))
    if bundle.manifest.graphs:
        return None
    return recorded_backbone(bundle, command)


def recorded_backbone(bundle: OpenedBundle, command: Command) -> Backbone:
    """Say which backbone a bundle was made for, as a recipe would.

    Raises:
        RecipeError: It was in a folder, and nobody knows where that is now.
    """
    record = bundle.manifest.backbone
    if record.source == "folder":
        message = (
            f"{bundle.path} was made for the backbone {record.name!r}, which was in a folder; "
            f"say where it is now: {command.written('backbone', 'folder:PATH')}"
        )
        raise RecipeError([Fault(command.option("backbone"), message)])
    values: dict[str, object] = {"source": record.source, "name": record.name}
    if record.source == "hub":
        values["revision"] = record.revision
    return _block(values)


def _block(values: Mapping[str, object]) -> Backbone:
    """Read a backbone's block with every check that a recipe's gets."""
    recipe = recipe_from({"composer": 1, "name": "predict", "backbone": values})
    return recipe.backbone
