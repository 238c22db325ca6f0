"""Runs of the recipe of `tests.engine.fakes` on a store that is attacked, and what holds after."""

from collections.abc import Callable
from pathlib import Path

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.refs import all_refs
from composer.engine.storage.store import Store
from composer.errors import StoreError
from composer.recipe.expansion.stages import Stage
from composer.recipe.reading.reader import read_recipe
from composer.train.context import StageContext
from tests.engine.fakes import FakeRunners
from tests.engine.planning.test_plan import ALL

During = Callable[[Stage, StageContext], object]


def attempt(folder: Path, store: Path, during: During | None = None) -> tuple[list[str], str]:
    """Run the recipe once; give the stages that were carried out, and the fault it ended with."""
    runners = FakeRunners()
    if during is not None:
        runners.during = during
    try:
        plan = make_plan(wanted_of(read_recipe(folder / "home.yaml")), Store(store))
        lock = store.with_name("home.lock")
        run_stages(plan, Store(store), RunOptions(runners=runners, lock_file=lock))
    except StoreError as error:  # of exit status 1; anything else is no fault of a store
        return runners.calls, str(error)
    return runners.calls, ""


def check_clean(store: Path) -> None:
    """Whatever lies among the results is whole, and nothing is half written anywhere."""
    here = Store(store)
    for path in store.glob("objects/*/*"):
        assert here.open(path.name) is not None, path
    assert not list(store.parent.rglob("*.part"))
    assert all(here.find(ref.key) for ref in all_refs(here))


def check_done(folder: Path, store: Path, *, damaged: int = 0) -> None:
    """Running again makes what is missing, once; then all is there and nothing else.

    Args:
        folder: Of the recipe.
        store: Of its results.
        damaged: How many results were moved aside.
    """
    made, fault = attempt(folder, store)
    assert fault == ""
    assert len(made) == len(set(made))
    assert attempt(folder, store) == ([], "")
    check_clean(store)
    assert sorted(ref.stage for ref in all_refs(Store(store))) == sorted(ALL)
    assert len(list(store.glob("objects/*/*"))) == len(ALL)
    assert not list((store / "work").iterdir())
    assert len(list(store.glob("damaged/*"))) == damaged
    assert {path.name for path in store.iterdir()} <= {
        *("objects", "work", "locks", "refs", "timings.jsonl", "damaged")
    }
