"""What the store knows of a recipe's run, read once for all parts of the report.

Only small files are read: what trainings, scores and losses say of themselves, the manifests of
bundles, and what was predicted in evaluations. Nothing is written, and nothing computed but
intervals.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from composer.bundle.reader import read_manifest
from composer.bundle.sizes import SizeRow, size_report
from composer.bundle.source import FolderSource
from composer.engine.looking.status import StageStatus, stage_statuses
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.storage.store import Store
from composer.engine.storage.timings import Measured, read_measured
from composer.recipe.expansion.stages import Choose, Evaluate, Export, ScoreText, Stage
from composer.recipe.grammar.schema import Recipe
from composer.recipe.reading.reader import LoadedRecipe
from composer.report.comparison import Comparison, read_comparisons
from composer.report.evaluated import Evaluated, read_evaluated
from composer.report.language_losses import Loss
from composer.report.transfer import Table, make_tables
from composer.train.results import (
    ScoresFile,
    TrainingFile,
    read_loss,
    read_scores,
    read_training,
)

_NAMED = 3  # stages that a command still names one by one


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a run.

    Attributes:
        recipe: With the profile and the changes in it.
        plan: Of all its stages.
        folders: Stage -> its result, of those that are done.
        statuses: Stage -> how far it is.
        took: Stage -> what it took, where that was measured.
        trainings: Stage -> what it says of itself; choices pass a trial's on and are left out.
        scores: Stage -> what was measured.
        losses: Of language adapters, in the order of the recipe.
        bundles: Stage -> parts and files.
        evaluated: All evaluations, stored or not, without those of comparisons.
        tables: Of those that are stored.
        comparisons: As far as they are measured.
        command: Words of the command that makes what is missing.
    """

    recipe: Recipe
    plan: Plan
    folders: Mapping[str, Path]
    statuses: Mapping[str, StageStatus]
    took: Mapping[str, Measured]
    trainings: Mapping[str, TrainingFile]
    scores: Mapping[str, ScoresFile]
    losses: Sequence[Loss]
    bundles: Mapping[str, Sequence[SizeRow]]
    evaluated: Sequence[Evaluated]
    tables: Sequence[Table]
    comparisons: Sequence[Comparison]
    command: tuple[str, ...]

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """List the stages that are not done, in the order of the plan."""
        return tuple(name for name in self.plan.by_name if name not in self.folders)

    def missing_of(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """List those of some kinds, as the first word of their names says it."""
        wanted = set(kinds)
        return tuple(name for name in self.missing if name.split("/")[0] in wanted)

    def command_for(self, names: Sequence[str]) -> tuple[str, ...]:
        """Give the words of the command that makes some stages."""
        few = names if len(names) <= _NAMED and len(names) < len(self.missing) else ()
        return (*self.command, *(word for name in few for word in ("--only", name)))


def read_facts(
    loaded: LoadedRecipe, store: Store, *, command: Sequence[str], cache: Path | None = None
) -> Facts:
    """Read what a store knows of a recipe.

    Args:
        loaded: The recipe.
        store: Of results.
        command: Words of the command that carries the recipe out.
        cache: For backbones; left out: the user's.

    Raises:
        StoreError: A result cannot be read.
    """
    plan = make_plan(wanted_of(loaded), store, cache=cache)
    folders = {
        one.stage.name: folder
        for one in plan.stages
        if one.state == "done" and one.key and (folder := store.find(one.key))
    }
    measured, evaluated = read_measured(store), read_evaluated([plan], store)
    keys = {one.stage.name: one.key for one in plan.stages}
    return Facts(
        recipe=loaded.recipe,
        plan=plan,
        folders=folders,
        statuses={one.stage: one for one in stage_statuses(plan, store)},
        took={name: measured[key] for name, key in keys.items() if key in measured},
        trainings=dict(_trainings(plan, folders)),
        scores={name: read_scores(at) for name, at in _of(plan, folders, Evaluate)},
        losses=[
            Loss(adapter=name.split("/")[1], found=read_loss(at))
            for name, at in _of(plan, folders, ScoreText)
        ],
        bundles={
            name: size_report(read_manifest(FolderSource(at / "bundle")))
            for name, at in _of(plan, folders, Export)
        },
        evaluated=evaluated,
        tables=make_tables(evaluated) if any(one.results for one in evaluated) else [],
        comparisons=read_comparisons(loaded.recipe, plan, store),
        command=tuple(command),
    )


def _of(plan: Plan, folders: Mapping[str, Path], kind: type[Stage]) -> Iterator[tuple[str, Path]]:
    """Give the stages of a kind that are done, and where their results are."""
    return (
        (name, at) for name, at in folders.items() if isinstance(plan.by_name[name].stage, kind)
    )


def _trainings(plan: Plan, folders: Mapping[str, Path]) -> Iterator[tuple[str, TrainingFile]]:
    for name, folder in folders.items():
        if not isinstance(plan.by_name[name].stage, Evaluate | ScoreText | Export | Choose):
            yield name, read_training(folder)
