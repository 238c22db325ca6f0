"""The recipes that single commands stand for; stored results are used by name.

    train-task intent --backbone sample:multilingual-e5-small --data train.csv --label intent
    train-language de --backbone sample:multilingual-e5-small --data de.txt
    fuse intent domain --task intent --data few.csv --name few-shot
    evaluate few-shot --language de --data test.csv
    export few-shot

Each function gives what `composer.engine.planning.plan.make_plan` takes, so that a command is
planned, keyed and run exactly as a recipe's stage is; equal work is found in the store either way.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from composer.engine.commands.parts import COMMAND, StoredRecipe, Values
from composer.engine.commands.scores import with_scores
from composer.engine.planning.wanted import Wanted
from composer.engine.storage.store import Store
from composer.errors import Fault, RecipeError, StoreError
from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.stages import Stage
from composer.recipe.grammar.composition import NONE, print_composition
from composer.recipe.reading.reader import CALLED, TYPED, recipe_from
from composer.recipe.sizes.fit import check_fit

logger = logging.getLogger(__name__)

PLACE = "command line"
_DATA = "data-of-this-command"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Data as a command is given it.

    Attributes:
        data: A file, `sample:assistant/intent` or `hub:owner/name@revision`.
        validation: A file of its own for validation.
        test: A file of its own for scoring.
        columns: Name in `composer.recipe.grammar.data.Columns` -> column of the file.
        truncate: Cut texts that are too long.
    """

    data: str
    validation: str | None = None
    test: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    truncate: bool = False


@dataclass(frozen=True, kw_only=True)
class Command:
    """What all single commands share.

    Attributes:
        store: Where stored results are looked up.
        folder: What relative paths start from: the working folder.
        backbone: `sample:name`, `folder:path` or `hub:owner/name@revision`; None where the
            stored results say it.
        changes: Like `training.epochs=1`.
        python: It was called from Python, and its messages name arguments, not options.
    """

    store: Store
    folder: Path
    backbone: str | None = None
    changes: Sequence[str] = ()
    python: bool = False

    @property
    def place(self) -> str:
        """Where all that is given was found."""
        return "this call" if self.python else PLACE

    def option(self, name: str) -> str:
        """Name an option as it is given."""
        return name if self.python else f"--{name}"

    def written(self, name: str, value: str) -> str:
        """Write an option with its value as it would be given."""
        return f'{name}="{value}"' if self.python else f"--{name} {value}"


def working_folder() -> Path:
    """Give the folder that relative paths of a command start from.

    Raises:
        StoreError: It was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as fault:
        message = "the working folder was deleted; go to a folder that is there"
        raise StoreError(message) from fault


def train_language_stage(
    command: Command, tag: str, *, data: DataOptions, adapter: str = "bottleneck"
) -> Wanted:
    """Want the adapter of one language.

    Args:
        command: What all commands share; the backbone must be given.
        tag: Of the language.
        data: Plain text.
        adapter: Kind of the shape `adapters.language`, which `changes` may change.
    """
    made = StoredRecipe(command.store, command.folder, place=command.place)
    made.section("adapters")["language"] = {"kind": adapter}
    made.section("data")["text"] = data_values(data)
    made.values["languages"] = {"members": [tag], "data": "text", "adapter": "language"}
    return _finish(command, made, f"language/{tag}")


def train_task_stage(
    command: Command,
    name: str,
    *,
    data: DataOptions,
    type: str = "text-classification",
    languages: Sequence[str] = ("en",),
    adapter: str = "bottleneck",
    labels: Sequence[str] = (),
    examples: int | None = None,
    over: Sequence[str] = (),
) -> Wanted:
    """Want the adapter and the head of one task.

    Args:
        command: What all commands share; the backbone may be left out with `over`.
        name: Of the task.
        data: With labels.
        type: What is predicted.
        languages: Of the data.
        adapter: Kind of the shape `adapters.task`, which `changes` may change.
        labels: The label set in order; empty: as found in the data.
        examples: Learn from so many only.
        over: Names of stored language adapters to train on.
    """
    made = StoredRecipe(command.store, command.folder, place=command.place)
    for one in over:
        made.add(one, kinds=("language",))
    made.raise_any()
    made.section("adapters")["task"] = {"kind": adapter}
    made.section("data")["task"] = data_values(data)
    made.section("tasks")[name] = {
        "type": type,
        "data": "task",
        "languages": list(languages),
        "adapter": "task",
        "labels": list(labels) or None,
        "examples": examples,
        "over": "$language" if over else None,
    }
    return _finish(command, made, f"task/{name}")


def fuse_stage(
    command: Command,
    members: Sequence[str],
    *,
    name: str,
    task: str,
    data: DataOptions | None = None,
    how: str = "fuse",
    languages: Sequence[str] = (),
    examples: int | None = None,
    train_norm: bool | None = None,
) -> Wanted:
    """Want a fusion of stored adapters, with a head of its own.

    Args:
        command: What all commands share.
        members: Names of stored adapters; `none` is the null member.
        name: Of the composition.
        task: Name of the stored task whose labels are learnt.
        data: Left out: the task's.
        how: "fuse", "gate" or "average".
        languages: Of the data; empty: the task's.
        examples: Learn from so many only.
        train_norm: Train own copies of the norms; None: if any member has them.
    """
    made = StoredRecipe(command.store, command.folder, place=command.place)
    fused = [one if one == NONE else made.add(one, kinds=("task", "language")) for one in members]
    target = made.add(task, kinds=("task",))
    made.need(target, data=data is None)
    made.raise_any()
    if target not in fused:
        logger.warning(
            "%s itself is not fused; without the target's own adapter a fusion can only mix "
            "what other tasks kept, and may be worse than a head alone",
            target,
        )
    if data is not None:
        made.section("data")[_DATA] = data_values(data)
        made.use_data(target, _DATA)
    over = any(getattr(part.stage, "over", {}) for part in made.parts.values())
    expression = f"{how}({', '.join(fused)})"
    made.section("compositions")[name] = {
        "expression": f"$language > {expression}" if over else expression,
        "train": {
            "task": target,
            "languages": list(languages) or None,
            "examples": examples,
            "train_norm": train_norm,
        },
    }
    return _finish(command, made, f"composition/{name}")


def evaluate_stage(
    command: Command,
    name: str,
    *,
    languages: Sequence[str],
    data: DataOptions | None = None,
    split: str = "test",
) -> Wanted:
    """Want the scores of a stored task or composition, a stage a language.

    Args:
        command: What all commands share.
        name: Of a stored task or composition.
        languages: To score in; empty: those that it was trained in.
        data: Left out: what it was trained on, its `split`.
        split: Which part of the data.
    """
    made = StoredRecipe(command.store, command.folder, place=command.place)
    scored = made.add(name, kinds=("task", "composition"))
    made.need(scored, head=True, data=data is None)
    made.raise_any()
    languages = languages or made.parts[scored].stage.data.languages
    _add_languages(made, scored, languages)
    block: Values = {"compositions": [scored], "languages": list(languages), "split": split}
    if data is not None:
        made.section("data")[_DATA] = data_values(data)
        block["data"] = _DATA
    made.section("evaluations")["command"] = block
    return _finish(command, made, "evaluation/command")


def export_stage(
    command: Command,
    names: Sequence[str],
    *,
    bundle: str,
    languages: Sequence[str] = (),
    precision: str | None = None,
    part_precision: str = "float32",
) -> Wanted:
    """Want a bundle of stored tasks and compositions, with the scores that the store has.

    Args:
        command: What all commands share.
        names: Of stored tasks or compositions.
        bundle: Name of the bundle.
        languages: To bind `$language` to, where it occurs.
        precision: Of the backbone's graph; None: parts only.
        part_precision: Of what was trained.
    """
    made = StoredRecipe(command.store, command.folder, place=command.place)
    exported = [made.add(name, kinds=("task", "composition")) for name in names]
    for one in exported:
        made.need(one, head=True)
    made.raise_any()
    for one in exported:
        _add_languages(made, one, languages)
    made.section("bundles")[bundle] = {
        "compositions": exported,
        "languages": list(languages),
        "precision": precision,
        "part_precision": part_precision,
    }
    return with_scores(_finish(command, made, f"bundle/{bundle}"), command.store)


def whole_data(data: DataOptions | None, split: str) -> DataOptions | None:
    """Let a file that is given be scored whole, not the share of it that is held out.

    >>> whole_data(DataOptions(data="new.csv"), "test").test
    'new.csv'
    """
    if data is None or data.data.startswith(("sample:", "hub:")):
        return data
    validation, test = data.validation, data.test
    if split != "test":
        validation = validation or data.data
    if split != "validation":
        test = test or data.data
    return replace(data, validation=validation, test=test)


def data_values(data: DataOptions) -> Values:
    """Give a data source as a recipe has it.

    >>> data_values(DataOptions(data="sample:assistant/intent"))
    {'source': 'sample', 'name': 'assistant/intent'}
    """
    kind, _, name = data.data.partition(":")
    if kind == "sample":
        return {"source": "sample", "name": name}
    shared: Values = {"columns": dict(data.columns), "truncate": data.truncate}
    if kind == "hub":
        name, _, revision = name.partition("@")
        return {"source": "hub", "name": name, "revision": revision, **shared}
    path: object = data.data
    if data.validation or data.test:
        path = {"train": data.data, "validation": data.validation, "test": data.test}
    return {"source": "files", "path": path, **shared}


def backbone_values(text: str, *, place: str = "--backbone") -> Values:
    """Give a backbone as a recipe has it.

    Args:
        text: As a command is given it.
        place: Where it was found, for messages.

    >>> backbone_values("folder:backbones/mine")
    {'source': 'folder', 'path': 'backbones/mine'}
    """
    source, _, name = text.partition(":")
    if source == "folder":
        return {"source": source, "path": name}
    if source == "hub":
        name, _, revision = name.partition("@")
        return {"source": source, "name": name, "revision": revision}
    if source == "sample":
        return {"source": source, "name": name}
    message = f"{text!r} is no backbone; write sample:NAME, folder:PATH or hub:OWNER/NAME@COMMIT"
    raise RecipeError([Fault(place, message)])


def _add_languages(made: StoredRecipe, name: str, languages: Sequence[str]) -> None:
    """Add the adapters of languages that a composition is to be bound to."""
    part = made.parts[name]
    over = getattr(part.stage, "over", {})
    composition = getattr(part.stage, "composition", NONE)
    if not over and "$language" not in print_composition(composition):
        return
    for tag in languages:
        if tag not in made.parts:
            made.add(tag, kinds=("language",))
    made.raise_any()


def _wanted(stages: Sequence[Stage], wanted: str, *, stored: Mapping[str, str]) -> list[Stage]:
    """Choose the stages of a name, and what they need that is not stored."""
    names = {one.name for one in stages if f"{one.name}/".startswith(f"{wanted}/")}
    for one in reversed(stages):
        if one.name in names:
            names.update(need for need in one.needs if need not in stored)
    return [one for one in stages if one.name in names]


def _finish(command: Command, made: StoredRecipe, wanted: str) -> Wanted:
    """Check the recipe as every recipe is, and want those of its stages that are not stored."""
    made.raise_any()
    fingerprints = made.fingerprints() if made.parts else None
    if command.backbone is not None:
        block: Values = backbone_values(command.backbone, place=command.option("backbone"))
    elif made.parts:
        block = made.backbone().model_dump(mode="json", exclude_none=True)
    else:
        example = command.written("backbone", "sample:multilingual-e5-small")
        raise RecipeError([Fault(command.place, f"give the backbone, for example {example}")])
    values = {"composer": 1, "name": COMMAND, "backbone": block, **made.values}
    options = CALLED if command.python else TYPED
    recipe = recipe_from(values, place=command.place, changes=command.changes, options=options)
    stages = _wanted(expand(recipe), wanted, stored=made.stored)
    return Wanted(
        recipe=COMMAND,
        stages=tuple(stages),
        backbone=recipe.backbone,
        folder=command.folder,
        outside=True,
        stored=made.stored,
        fingerprints=fingerprints,
        fit=lambda shape: check_fit(recipe, shape),
    )
