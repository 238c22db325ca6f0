"""Why a stage would be made: the chain to the edit, and who rests on whom."""

from collections.abc import Callable

import pytest

from composer.engine.planning.causes import chain, find_stage, needed_by, rests_on, roots
from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.errors import RecipeError
from tests.engine.fakes import FakeRunners

PlanOf = Callable[..., Plan]
FAR_DE = "evaluation/far/few-shot/de"


@pytest.fixture
def edited(plan_of: PlanOf, store: Store, runners: FakeRunners) -> Plan:
    """The plan after the width of the languages' adapters was changed."""
    run_stages(plan_of(), store, RunOptions(runners=runners))
    return plan_of(replaced={"width: 2": "width: 3"})


def test_what_a_stage_rests_on_is_told_to_the_end(plan_of: PlanOf):
    plan = plan_of()
    assert rests_on(plan, "task/intent") == ()
    assert rests_on(plan, FAR_DE) == (
        *("language/en", "language/de", "task/intent", "task/domain"),
        "composition/few-shot",
    )


def test_what_rests_on_a_stage_is_told_to_the_end(plan_of: PlanOf):
    plan = plan_of()
    assert needed_by(plan, "bundle/home") == ()
    assert needed_by(plan, "language/de") == (FAR_DE, "bundle/home")


def test_the_roots_are_the_edits_and_the_stages_that_they_are_of(edited: Plan):
    (root,) = roots(edited, "bundle/home")
    assert str(root.reason) == "adapters.language.width: 2 -> 3"
    assert root.stages == ("language/en", "language/de")
    assert roots(edited, "task/intent") == ()


def test_the_chain_leads_to_the_edit_and_tells_each_stage_once(edited: Plan):
    found = [(one.depth, one.stage, one.again) for one in chain(edited, "composition/few-shot")]
    assert found == [
        (0, "composition/few-shot", False),
        (1, "language/en", False),
        (1, "task/domain", False),
        (2, "language/en", True),
    ]
    told = [str(one) for link in chain(edited, "composition/few-shot") for one in link.reasons]
    assert told == ["adapters.language.width: 2 -> 3"]


def test_a_stage_is_found_by_its_last_word_where_that_is_clear(plan_of: PlanOf):
    plan = plan_of()
    assert find_stage(plan, "few-shot").stage.name == "composition/few-shot"
    assert find_stage(plan, FAR_DE).stage.name == FAR_DE


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("de", "'de' may mean 2 stages; say which: language/de, evaluation/far/few-shot/de"),
        ("task/intnt", "no stage is named 'task/intnt'; did you mean 'task/intent'?"),
    ],
)
def test_a_name_of_nothing_or_of_several_is_a_fault(plan_of: PlanOf, name: str, fault: str):
    with pytest.raises(RecipeError) as caught:
        find_stage(plan_of(), name)
    assert str(caught.value) == f"command line: {fault}"
