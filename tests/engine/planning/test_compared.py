"""What the stages of a comparison are planned to take, and how their records are read back."""

from pathlib import Path

import pytest

from composer.engine.planning.choice import choose_stages
from composer.engine.planning.plan import Plan, PlannedStage, make_plan
from composer.engine.planning.record import Record, read_stage
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.recipe.expansion.stages import Choose, TrainTask
from composer.recipe.reading.reader import read_recipe
from tests.engine.fakes import FakeRunners

COMPARED = """
compare:
  main: {adapters: [task], tasks: [intent], seeds: [1, 2], grid: {clip: [1.0, 2.0]}}
"""
ADAPTER = 4 * (8 * 4 * 2 + 4 * 4 + 4 + 4 + 8)  # sites, of one middle layer each
BACKBONE = 5 * 8 + 8 * 8


def planned(folder: Path, *changes: str) -> Plan:
    recipe = folder / "compared.yaml"
    recipe.write_text((folder / "home.yaml").read_text() + COMPARED)
    return make_plan(wanted_of(read_recipe(recipe, changes=changes)), Store(folder / "store"))


def stage(folder: Path, name: str, *changes: str) -> PlannedStage:
    return planned(folder, *changes).by_name[name]


TRIAL, CHOICE = "trial/main/task/intent/clip=2.0", "choice/main/task/intent"
REPEAT, SCORE = "repeat/main/task/intent/2", "evaluation/main/task/intent/1/en"


def test_a_choice_trains_nothing_and_holds_no_weights_in_memory(folder: Path):
    trial, choice = stage(folder, TRIAL).cost, stage(folder, CHOICE).cost
    assert (trial.parameters, trial.total_parameters) == (ADAPTER, ADAPTER + BACKBONE)
    assert (choice.parameters, choice.total_parameters) == (0, 0)
    assert choice.memory is not None
    assert trial.memory is not None
    assert choice.memory < trial.memory


def test_what_rests_on_a_choice_counts_one_trial(folder: Path):
    assert stage(folder, REPEAT).cost.total_parameters == ADAPTER + BACKBONE
    assert stage(folder, SCORE).cost.total_parameters == ADAPTER + BACKBONE


def test_a_batch_of_examples_is_expected_at_its_longest(folder: Path):
    base = "training.batch_tokens=32"
    tokens, same, twice = (
        stage(folder, TRIAL, change).cost.memory
        for change in (base, "training.batch_examples=1", "training.batch_examples=2")
    )
    assert tokens is not None
    assert same == tokens  # the backbone takes 32 tokens
    assert twice is not None
    assert twice - tokens == 32 * 8 * 2 * 20 * 4


def test_an_evaluation_of_the_first_seed_needs_every_trial(folder: Path):
    chosen = choose_stages(planned(folder), [SCORE])
    assert [one.stage.name for one in chosen] == [
        *(f"trial/main/task/intent/clip={clip}" for clip in (1.0, 2.0)),
        CHOICE,
        SCORE,
    ]


@pytest.mark.parametrize("name", [TRIAL, CHOICE, REPEAT])
def test_a_record_is_read_back_with_keys_for_names(folder: Path, name: str):
    one = stage(folder, name)
    assert one.record is not None
    found = read_stage(Record.model_validate_json(one.record.model_dump_json()), name=name)
    assert sorted(found.needs) == sorted(one.needs[need] for need in one.stage.needs)
    if isinstance(found, Choose) and isinstance(one.stage, Choose):
        assert [dict(trial.settings) for trial in found.trials] == [{"clip": 1.0}, {"clip": 2.0}]
        assert [trial.name for trial in found.trials] == ["clip=1.0", "clip=2.0"]
    elif isinstance(found, TrainTask) and isinstance(one.stage, TrainTask):
        assert found.training == one.stage.training


def test_a_comparison_that_broke_off_goes_on_with_what_is_missing(folder: Path):
    class Broken(FakeRunners):
        def __getitem__(self, kind: type) -> object:  # type: ignore[override]
            if kind is Choose:
                raise RuntimeError("the choice breaks off")
            return self.run

    first, second = Broken(), FakeRunners()
    store = Store(folder / "store")
    only = ("evaluation/main",)
    with pytest.raises(RuntimeError, match="the choice breaks off"):
        run_stages(planned(folder), store, RunOptions(runners=first, only=only))  # type: ignore[arg-type]
    run_stages(planned(folder), store, RunOptions(runners=second, only=only))
    assert first.calls == ["trial/main/task/intent/clip=1.0", TRIAL]
    assert second.calls == [CHOICE, REPEAT, SCORE, SCORE.replace("/1/", "/2/")]
