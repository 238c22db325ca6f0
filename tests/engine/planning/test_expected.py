"""What a stage that never ran is expected to take, by earlier runs of stages like it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from composer.bundle.files import write_json
from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.engine.storage.timings import note_seconds
from composer.recipe.expansion.stages import Evaluate, Export, Stage
from composer.train.context import StageContext
from tests.engine.fakes import FakeRunners

PlanOf = Callable[..., Plan]
INTENT, DOMAIN = "task/intent", "task/domain"
EXAMPLES = 100


def counted(stage: Stage, context: StageContext) -> None:
    """Write how many examples a stage read, as the real runners do."""
    if isinstance(stage, Evaluate):
        write_json(context.out / "scores.json", {"n": EXAMPLES})
    elif not isinstance(stage, Export):
        numbers = {"training_examples": EXAMPLES, "epochs": stage.training.epochs}
        write_json(context.out / "training.json", {**numbers, "trainable_parameters": 7})


@pytest.fixture
def timed(plan_of: PlanOf, store: Store, runners: FakeRunners) -> Plan:
    """A plan all of whose stages were run; the tasks took 10 seconds an epoch."""
    runners.during = counted
    plan = plan_of()
    run_stages(plan, store, RunOptions(runners=runners))
    (store.folder / "timings.jsonl").unlink()
    for name in (INTENT, DOMAIN):
        note_seconds(store, plan.by_name[name].key or "", 10, memory=5_000)
    return plan


def test_what_is_done_took_what_it_took(timed: Plan, plan_of: PlanOf):
    cost = plan_of().by_name[INTENT].cost
    assert (cost.seconds, cost.memory, cost.basis) == (10.0, 5_000, "last")


def test_more_epochs_take_longer(timed: Plan, plan_of: PlanOf):
    cost = plan_of(replaced={"epochs: 1": "epochs: 3"}).by_name[INTENT].cost
    assert (cost.seconds, cost.memory, cost.basis) == (30.0, 5_000, "like")


def test_fewer_examples_take_less(timed: Plan, plan_of: PlanOf):
    edit = {"data: intent, languages: [en]": "data: intent, examples: 20, languages: [en]"}
    assert plan_of(replaced=edit).by_name[INTENT].cost.seconds == 2.0


def test_a_stage_of_other_data_is_expected_to_be_as_large(
    timed: Plan, plan_of: PlanOf, folder: Path
):
    (folder / "more.csv").write_text("text,label\na,b\nc,d\n")
    edit = {
        "  domain: {source": "  more: {source: files, path: more.csv}\n  domain: {source",
        "tasks:\n": "tasks:\n  third: {type: text-classification, data: more, languages: [en, de], "
        "adapter: task}\n",
    }
    cost = plan_of(replaced=edit).by_name["task/third"].cost
    assert (cost.seconds, cost.basis) == (20.0, "like")  # as many examples a language


def test_another_number_of_threads_is_not_alike(timed: Plan, plan_of: PlanOf, store: Store):
    cost = plan_of(replaced={"epochs: 1": "epochs: 3, threads: 1"}).by_name[INTENT].cost
    assert (cost.seconds, cost.basis) == (10.0, "last")  # what its label took the last time


def test_a_kind_that_was_never_timed_is_unknown(timed: Plan, plan_of: PlanOf):
    cost = plan_of().by_name["language/en"].cost
    assert (cost.seconds, cost.basis) == (None, None)
    assert cost.memory is not None  # by formula


def test_memory_by_formula_counts_weights_optimizer_and_batch(plan_of: PlanOf):
    costs = [
        plan_of(f"training.batch_tokens={tokens}").by_name[INTENT].cost for tokens in (1024, 2048)
    ]
    kept = 20 * 4 * 8 * 2  # numbers a token, bytes, hidden size, layers
    assert [one.memory for one in costs if one.memory] == [one.memory for one in costs]
    assert (costs[1].memory or 0) - (costs[0].memory or 0) == 1024 * kept


def test_all_parameters_in_memory_are_counted(plan_of: PlanOf):
    plan = plan_of()
    backbone = 5 * 8 + 8 * 8
    language = plan.by_name["language/en"].cost
    domain = plan.by_name[DOMAIN].cost
    assert language.total_parameters == backbone + (language.parameters or 0)
    assert domain.total_parameters == backbone + (domain.parameters or 0) + (
        language.parameters or 0
    )
