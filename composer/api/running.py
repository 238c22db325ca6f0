"""A run of a recipe from its plan to its report; the command and the function both go this way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.event_log import EventLog, event_path
from composer.engine.running.events import Event, RunOptions, RunResult
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.recipe.reading.reader import LoadedRecipe
from composer.report.comparison import Comparison, read_comparisons
from composer.report.overlaps import refuse_leaks


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a run ended with.

    Attributes:
        result: Of its stages.
        comparisons: Of the recipe, as far as they are measured.
    """

    result: RunResult
    comparisons: Sequence[Comparison]


def plan_run(loaded: LoadedRecipe, store: Store) -> Plan:
    """Plan a run, with its backbone fetched, and refuse one that would score what it learns from.

    Raises:
        DataError: Data is missing, or too many test texts stand in what is learnt from.
        BackboneError: The backbone is not there, or cannot be fetched.
    """
    plan = make_plan(wanted_of(loaded), store, fetch=True)
    refuse_leaks(loaded, plan, store)
    return plan


def carry_out(
    loaded: LoadedRecipe,
    plan: Plan,
    store: Store,
    options: RunOptions,
    *,
    events_file: Path | None = None,
) -> Done:
    """Carry out a plan of `plan_run`, and log what happens.

    Args:
        loaded: The recipe.
        plan: Of it.
        store: Of results.
        options: How.
        events_file: Where events are logged; None: in the store's logs.
    """
    about = {"command": options.command, "recipe": loaded.recipe.name, "stages": len(plan.stages)}
    log = EventLog(events_file or event_path(store, loaded.recipe.name), about)

    def tell(event: Event) -> None:
        log(event)
        options.on_event(event)

    with log:
        result = run_stages(plan, store, replace(options, on_event=tell))
    comparisons = read_comparisons(loaded.recipe, plan, store, result=result)
    return Done(result=result, comparisons=comparisons)
