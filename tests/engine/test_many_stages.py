"""A thousand stages: what is done for one does not grow with how many there are."""

import hashlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from tests.engine.fakes import FakeRunners
from tests.engine.workers import many

_COUNTED: Counter[str] = Counter()
_WATCHED: list[Path] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _WATCHED:
        return
    if event == "open" and str(arguments[0]).startswith(str(_WATCHED[0])):
        _COUNTED["opened"] += 1
    if event in ("os.listdir", "os.scandir", "os.rename"):
        _COUNTED[event] += 1


sys.addaudithook(_hook)


@pytest.fixture
def work_of(
    wanted: Wanted, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], Counter[str]]:
    """Counts what a run of so many stages does, as seen by the system."""
    digest = hashlib.file_digest

    def counted(*arguments: object) -> object:
        _COUNTED["hashed"] += bool(_WATCHED)
        return digest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counted)
    monkeypatch.setattr(
        "composer.engine.running.run._LOCK_SECONDS", float("inf")
    )  # not by the clock

    def work(count: int) -> Counter[str]:
        store = Store(folder / f"store{count}")
        plan = make_plan(many(wanted, count, rows=4), store)
        _COUNTED.clear()
        _WATCHED.append(folder)
        try:
            options = RunOptions(runners=FakeRunners(), lock_file=folder / f"{count}.lock")
            assert len(run_stages(plan, store, options).made) == count
        finally:
            _WATCHED.clear()
        return Counter(_COUNTED)

    return work


def test_a_stage_costs_the_same_among_many_as_among_few(work_of: Callable[[int], Counter[str]]):
    few, some, more = (work_of(count) for count in (20, 40, 80))
    assert few["opened"] > 20
    assert few["hashed"] > 20
    for what in few | some:
        assert more[what] - some[what] == 2 * (some[what] - few[what]), what
