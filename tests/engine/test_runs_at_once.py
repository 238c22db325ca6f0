"""Runs of several recipes on one store at once, one of them killed at work."""

import multiprocessing
import time
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.refs import all_refs
from composer.engine.storage.store import Store
from composer.recipe.expansion.stages import Stage
from composer.recipe.reading.reader import read_recipe
from composer.train.context import StageContext
from tests.engine.attempts import attempt, check_clean
from tests.engine.fakes import RECIPE, FakeRunners
from tests.engine.planning.test_plan import ALL

_SPAWN = multiprocessing.get_context("spawn")
_SECONDS = 60  # that nothing here takes
_SHARED = {"language/en", "language/de", "task/intent", "task/domain"}


def _run(recipe: Path, store: Path, log: Path, hang_at: str, begun: Barrier) -> None:
    """Run a recipe and log its stages; in one of them, write half a result and stay there."""
    runners = FakeRunners()

    def during(stage: Stage, context: StageContext) -> None:
        if stage.name == hang_at:
            (context.out / "result.json").write_text('{"ha')
            (context.checkpoint / "state").write_text("step 3")
            begun.wait(_SECONDS)
            time.sleep(600)
        time.sleep(0.03)
        with log.open("a") as file:
            file.write(f"{recipe.stem} {stage.name}\n")

    runners.during = during
    plan = make_plan(wanted_of(read_recipe(recipe)), Store(store))
    if not hang_at:
        begun.wait(_SECONDS)
    run_stages(plan, Store(store), RunOptions(runners=runners))


@pytest.fixture
def recipes(folder: Path) -> list[Path]:
    """Two recipes of other names and other fusions, on the same languages and tasks."""
    changes = {"home": ("name: home", "name: home"), "shop": ("examples: 20", "examples: 15")}
    for name, (old, new) in changes.items():
        text = RECIPE.replace("name: home", f"name: {name}").replace(old, new)
        (folder / f"{name}.yaml").write_text(text)
    return [folder / f"{name}.yaml" for name in changes]


def _start(recipe: Path, store: Path, begun: Barrier, hang_at: str = "") -> BaseProcess:
    arguments = (recipe, store, recipe.parent / "log", hang_at, begun)
    process = _SPAWN.Process(target=_run, args=arguments)
    process.start()
    return process


def test_two_recipes_at_once_make_what_they_share_once(folder: Path, recipes: list[Path]):
    store = folder / "at" / "store"
    store.parent.mkdir()
    begun = _SPAWN.Barrier(2)
    processes = [_start(recipe, store, begun) for recipe in recipes]
    for process in processes:
        process.join(_SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    made = [line.split() for line in (folder / "log").read_text().splitlines()]
    shared = sorted(stage for _, stage in made if stage in _SHARED)
    assert shared == sorted(_SHARED)
    own = sorted([recipe, stage] for recipe, stage in made if stage not in _SHARED)
    expected = [[name, stage] for name in ("home", "shop") for stage in ALL if stage not in _SHARED]
    assert own == sorted(expected)
    check_clean(store)
    labels = {(ref.recipe, ref.stage) for ref in all_refs(Store(store))}
    assert labels == {(name, stage) for name in ("home", "shop") for stage in ALL}
    assert not list((store / "work").iterdir())


def test_a_run_that_is_killed_holding_a_lock_hands_its_stage_to_the_one_that_waits(
    folder: Path, recipes: list[Path]
):
    store = folder / "at" / "store"
    store.parent.mkdir()
    held, planned = _SPAWN.Barrier(2), _SPAWN.Barrier(2)
    killed = _start(recipes[0], store, held, hang_at="task/intent")
    held.wait(_SECONDS)
    waiting = _start(recipes[1], store, planned)
    planned.wait(_SECONDS)
    time.sleep(0.5)  # it comes to the stage that is held
    assert waiting.is_alive()
    check_clean(store)
    killed.kill()
    killed.join(_SECONDS)
    waiting.join(_SECONDS)
    assert waiting.exitcode == 0
    log = (folder / "log").read_text().splitlines()
    assert log.index("shop task/domain") < log.index("shop task/intent")  # it made that meanwhile
    check_clean(store)
    assert not list((store / "work").iterdir())
    made, fault = attempt(folder, store)
    assert fault == ""
    assert set(made).isdisjoint(_SHARED)
