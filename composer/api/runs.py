"""A recipe carried out, and what it reached."""

import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from composer.api.bundles import Bundle
from composer.api.calling import OnEvent, Place, call_text, called, listed, listener, store_at
from composer.api.recipes import Recipe, as_recipe
from composer.api.running import Done, carry_out, plan_run
from composer.api.scores import Scores, scores_of_run
from composer.api.showing import lines_html, table_html
from composer.bundle.reader import open_bundle
from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunOptions
from composer.engine.running.executors.base import MakeExecutor
from composer.errors import Fault, RecipeError, RunError, did_you_mean
from composer.report.tables import (
    Report,
    read_report,
    report_lines,
    report_values,
    run_summary,
    trained_rows,
)


@dataclass(frozen=True, repr=False)
class Run:
    """What a run ended with; shows its scores, what was trained, and sizes.

    Attributes:
        recipe: That was run.
    """

    recipe: Recipe
    _plan: Plan = field(compare=False)
    _done: Done = field(compare=False)

    @property
    def stages(self) -> Mapping[str, str]:
        """Stage name -> key of its result, in the order of the run."""
        return {name: stored.key for name, stored in self._done.result.results.items()}

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the stages that were carried out now; the others were done before."""
        return self._done.result.made

    @cached_property
    def scores(self) -> Scores:
        """All that was evaluated, in the order of the recipe."""
        return scores_of_run(self._report.scored)

    @property
    def bundles(self) -> Mapping[str, Path]:
        """Name of a bundle of the recipe -> its folder in the store; read only."""
        results = self._done.result.results
        return {
            name.removeprefix("bundle/"): results[name].folder / "bundle"
            for name in self._report.bundles
        }

    def bundle(self, name: str) -> Bundle:
        """Open a bundle of the recipe.

        Args:
            name: Of it.

        Raises:
            RecipeError: The run has made none of that name.
        """
        if name not in self.bundles:
            message = f"no bundle {name!r} was made; {did_you_mean(name, self.bundles)}"
            raise RecipeError([Fault("name", message)])
        wanted = self._plan.wanted
        command = replace(called(None), folder=wanted.folder)
        return Bundle(open_bundle(self.bundles[name]), under=wanted.backbone, command=command)

    def values(self) -> dict[str, object]:
        """Give everything as plain values: what `composer run --json` prints."""
        return report_values(self._plan, self._done.result, self._done.comparisons)

    @cached_property
    def _report(self) -> Report:
        return read_report(self._plan, self._done.result)

    def __repr__(self) -> str:
        return "\n".join(report_lines(self._plan, self._done.result, self._done.comparisons))

    def _repr_html_(self) -> str:
        scores = self.scores._repr_html_() if self.scores else ""
        trained = table_html(trained_rows(self._report.trained), right=(1, 2))
        return scores + trained + lines_html([run_summary(self._done.result)])


def run_recipe(
    recipe: Recipe | Place,
    *,
    store: Place | None = None,
    only: Sequence[str] = (),
    anew: Sequence[str] = (),
    jobs: int = 1,
    keep_going: bool = False,
    executor: MakeExecutor | None = None,
    trackers: Sequence[str] = (),
    on_event: OnEvent | None = None,
) -> Run:
    """Carry out a recipe; what is done is not done again, and a stopped run goes on where it was.

    Args:
        recipe: What `load_recipe` gave, or the path of a file. Beside a file a lock is written.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.
        only: Names of stages, or their beginnings up to a slash; with all that they need.
        anew: Likewise: made even if they are done, and all that rests on them.
        jobs: Stages at a time. More than 1: in processes of their own, so that a script needs
            `if __name__ == "__main__":` around the call.
        keep_going: Go on with what does not rest on a stage that failed.
        executor: Carries out stages elsewhere; a Ray cluster: see `docs/cluster.md`.
        trackers: Besides those of the recipe: "tensorboard", "trackio" or "wandb".
        on_event: Called with every `Event`; left out, `logging` is told, at level INFO.

    Raises:
        RecipeError: The recipe has faults.
        DataError: Data is missing, or too many test texts stand in what is learnt from.
        BackboneError: The backbone is not there, or cannot be fetched.
        TrainingError: A training cannot go on.
        RunError: Stages failed, and it went on with the others.
        StoppedError: Ctrl-C, after a checkpoint was written; the same call goes on.

    Example:
        run = composer.run_recipe("home.yaml")
        run.scores
    """
    _refuse_worker()
    found, place = as_recipe(recipe), store_at(store)
    plan = plan_run(found.loaded, place)
    options = RunOptions(
        only=listed("only", only),
        anew=listed("anew", anew),
        jobs=jobs,
        executor=executor,
        keep_going=keep_going,
        lock_file=found.lock_file,
        command=_again(found),
        trackers=listed("trackers", trackers),
        on_event=listener(on_event),
    )
    return Run(found, plan, carry_out(found.loaded, plan, place, options))


def _refuse_worker() -> None:
    """Refuse to run while a worker of a run is begun, which imports the script once more.

    Raises:
        RunError: It is; says what to do.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RunError(
            "this script is read again by a worker process, and would run the recipe in it; put "
            'the call of composer.run_recipe under: if __name__ == "__main__":'
        )


def _again(recipe: Recipe) -> str:
    """Write the call that makes the same results."""
    if recipe.path is not None and recipe.profile is None and not recipe.changes:
        return call_text("run_recipe", str(recipe.path))
    return f"composer.run_recipe({recipe.call})"
