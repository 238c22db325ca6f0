"""A recipe around results that are in the store, so that a command can use them by name.

    composer fuse intent domain --task intent ...

`intent` and `domain` become tasks of a recipe whose stages are not carried out but `stored`;
every check of a recipe then holds for the command as well. Names come from the labels of the
store, and what is inside a stored composition comes by key.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from composer.bundle.files import read_json
from composer.bundle.fingerprint import Fingerprints
from composer.engine.planning.record import Record, read_record, read_stage
from composer.engine.storage.refs import PARTS, Ref, resolve
from composer.engine.storage.store import Store
from composer.errors import Fault, RecipeError, StoreError
from composer.recipe.expansion.stages import (
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.backbones import Backbone, FolderBackbone
from composer.recipe.grammar.composition import print_composition, rename
from composer.recipe.grammar.data import DataSource, FileData

Values = dict[str, object]

COMMAND = "command-line"  # name of the recipe of one stage
UNKNOWN_DATA = FileData(source="files", path="unknown")  # of adapters from elsewhere


@dataclass(frozen=True, kw_only=True)
class StoredPart:
    """A stored result under the name that it has in the command's recipe.

    Attributes:
        name: Of the task, the language or the composition.
        stage: That made it; the names of its needs are their keys.
        key: Of the result.
        record: What else decided it.
        folder: Of its files.
        recipe_folder: What the relative paths in it start from.
    """

    name: str
    stage: TrainLanguage | TrainTask | TrainComposition
    key: str
    record: Record
    folder: Path
    recipe_folder: Path


@dataclass
class StoredRecipe:
    """The recipe in the making.

    Attributes:
        store: Of results.
        folder: What relative paths start from.
        values: Of the recipe so far.
        stored: Stage name -> key.
        parts: By name.
        faults: Names that stand for nothing or for too much.
        place: Where names were found, for messages.
    """

    store: Store
    folder: Path
    values: Values = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    parts: dict[str, StoredPart] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    place: str = "command line"

    def add(self, name: str, *, kinds: tuple[str, ...] = PARTS) -> str:
        """Add what a name stands for, with all that it rests on; give its name in here.

        A name that cannot be resolved is noted in `faults` and given back as it is.
        """
        try:
            ref = resolve(self.store, name, kinds=kinds, place=self.place)
        except RecipeError as error:
            self.faults += error.faults
            return name
        recipe_folder = self.store.folder / ref.about.get("folder", os.curdir)
        return self._add_key(ref.key, label=self._label(ref), recipe_folder=recipe_folder)

    def need(self, name: str, *, head: bool = False, data: bool = False) -> None:
        """Note what an imported part lacks of what is asked of it."""
        part = self.parts.get(name)
        if part is None:
            return
        if head and not (part.folder / "head.json").exists():
            self._note(
                f"{name} was imported without a head, and predicts nothing; learn one: give it "
                "as the expression of a trained composition, or in a fusion"
            )
        if data and part.stage.data.source == UNKNOWN_DATA:
            self._note(f"{name} was imported, and what it learnt from is not known; give --data")

    def raise_any(self) -> None:
        """Tell everything that is wrong with the names at once."""
        if self.faults:
            raise RecipeError(dict.fromkeys(self.faults))

    def fingerprints(self) -> Fingerprints:
        """Give the backbone's fingerprints, which all parts must share.

        Raises:
            RecipeError: They were trained on several backbones.
        """
        first = next(iter(self.parts.values()))
        faults = [
            Fault(
                self.place,
                f"{one.name} was trained on the backbone {_short(one)}, {first.name} on "
                f"{_short(first)}; adapters are combined on one backbone only",
            )
            for one in self.parts.values()
            if one.record.fingerprints != first.record.fingerprints
        ]
        if faults:
            raise RecipeError(faults)
        return first.record.fingerprints

    def backbone(self) -> Backbone:
        """Give the block of the backbone that the first part was trained on."""
        first = next(iter(self.parts.values()))
        block = first.record.backbone
        if isinstance(block, FolderBackbone):
            path = self._seen_from_here(block.path, first.recipe_folder)
            return block.model_copy(update={"path": path})
        return block

    def source(self, source: DataSource, recipe_folder: Path) -> Values:
        """Give a data source with its paths as seen from this folder."""
        values: Values = source.model_dump(mode="json", exclude_none=True)
        if isinstance(source, FileData):
            paths = values["path"]
            values["path"] = (
                {k: self._seen_from_here(v, recipe_folder) for k, v in paths.items()}
                if isinstance(paths, dict)
                else self._seen_from_here(str(paths), recipe_folder)
            )
        return values

    def section(self, name: str) -> Values:
        """Give a section of the recipe to add to."""
        section = self.values.setdefault(name, {})
        if not isinstance(section, dict):
            raise TypeError(f"{name} is no mapping")
        return section

    def use_data(self, task: str, data: str) -> None:
        """Let a task's examples come from elsewhere."""
        values = self.section("tasks")[task]
        if isinstance(values, dict):
            values["data"] = data

    def labels_of(self, part: StoredPart) -> list[str] | None:
        """Give the label set of a part's head, in the order of its outputs."""
        path = part.folder / "head.json"
        labels = read_json(path, error=StoreError).get("labels") if path.exists() else None
        return [str(label) for label in labels] if isinstance(labels, list) and labels else None

    def _label(self, ref: Ref) -> str:
        """Name a part as its label does; if another part has that name, with its recipe's."""
        known = self.parts.get(ref.short_name)
        if known is None or known.key == ref.key:
            return ref.short_name
        return f"{ref.recipe}-{ref.short_name}"[:64]

    def _add_key(self, key: str, *, label: str, recipe_folder: Path) -> str:
        for part in self.parts.values():
            if part.key == key:
                return part.name
        result = self.store.open(key)
        if result is None:
            self._note(
                f"{label}: its result is gone from {self.store.folder} or damaged; make it again "
                "with the command that made it"
            )
            return label
        record = read_record(result.manifest)
        stage = read_stage(record, name=label)
        if not isinstance(stage, TrainLanguage | TrainTask | TrainComposition):
            self._note(f"{label}: a result of kind {result.manifest.kind} is no part of anything")
            return label
        if isinstance(stage, TrainLanguage) and label in self.parts:
            self._note(
                f"two adapters of {label} are asked for, {self.parts[label].key[:12]} and "
                f"{key[:12]}; one command can use only one of them"
            )
            return label
        name = label if label not in self.parts else f"{label[:55]}-{key[:8]}"
        self.parts[name] = StoredPart(
            name=name,
            stage=stage,
            key=key,
            record=record,
            folder=result.folder,
            recipe_folder=recipe_folder,
        )
        self._describe(self.parts[name])
        return name

    def _note(self, message: str) -> None:
        self.faults.append(Fault(self.place, message))

    def _describe(self, part: StoredPart) -> None:
        """Write a part into the recipe, and what it rests on."""
        self.section("data")[part.name] = self.source(part.stage.data.source, part.recipe_folder)
        match part.stage:
            case TrainLanguage():
                self._describe_language(part, part.stage)
            case TrainTask():
                self._describe_task(part, part.stage)
            case TrainComposition():
                self._describe_composition(part, part.stage)

    def _describe_language(self, part: StoredPart, stage: TrainLanguage) -> None:
        self.stored[f"language/{part.name}"] = part.key
        self.section("adapters")[part.name] = stage.shape.model_dump(mode="json")
        languages = self.section("languages")
        languages.setdefault("data", part.name)
        languages.setdefault("adapter", part.name)
        members = languages.setdefault("members", {})
        if isinstance(members, dict):
            members[part.name] = {"data": part.name, "adapter": part.name}

    def _describe_task(self, part: StoredPart, stage: TrainTask) -> None:
        self.stored[f"task/{part.name}"] = part.key
        self.section("adapters")[part.name] = stage.shape.model_dump(mode="json")
        for tag, key in stage.over.items():
            self._add_key(key, label=tag, recipe_folder=part.recipe_folder)
        self.section("tasks")[part.name] = {
            **_task_values(stage.task, labels=self.labels_of(part)),
            "data": part.name,
            "languages": list(stage.data.languages),
            "adapter": part.name,
            "over": "$language" if stage.over and not stage.cycle else None,
            "cycle": list(stage.cycle),
        }

    def _describe_composition(self, part: StoredPart, stage: TrainComposition) -> None:
        """Describe a trained composition; its labels are those of a task made up for it."""
        self.stored[f"composition/{part.name}"] = part.key
        names = {
            name: self._add_key(key, label=name, recipe_folder=part.recipe_folder)
            for name, key in stage.parts.items()
        }
        labels = f"labels-of-{part.name}"[:64]
        self.section("tasks")[labels] = {
            **_task_values(stage.task, labels=self.labels_of(part)),
            "data": part.name,
            "languages": list(stage.data.languages),
        }
        self.section("compositions")[part.name] = {
            "expression": print_composition(rename(stage.composition, names)),
            "train": {
                "task": labels,
                "languages": list(stage.data.languages),
                "train_norm": stage.train_norm,
            },
        }

    def _seen_from_here(self, path: str, recipe_folder: Path) -> str:
        return Path(os.path.relpath(recipe_folder / path, self.folder)).as_posix()


def _task_values(task: TaskSettings, *, labels: list[str] | None) -> Values:
    values: Values = {"type": task.type, "pooling": task.pooling, "score": task.score}
    return {**values, "labels": labels} if labels else values


def _short(part: StoredPart) -> str:
    fingerprints = part.record.fingerprints
    return f"{fingerprints.body[:12]} (vocabulary {fingerprints.vocabulary[:12]})"
