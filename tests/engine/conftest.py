import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted, wanted_of
from composer.engine.storage.store import Store
from composer.recipe.reading.reader import read_recipe
from tests.engine.fakes import RECIPE, FakeRunners, write_backbone


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting bytes on a disk takes milliseconds a file, and no test here cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe and everything that it names."""
    folder = tmp_path / "project"
    write_backbone(folder / "backbone")
    (folder / "text").mkdir()
    for language in ("en", "de"):
        (folder / "text" / f"{language}.txt").write_text(f"a line of {language}\n")
    for task in ("intent", "domain"):
        (folder / f"{task}.csv").write_text(f"text,label\nlights on,{task}\nstop,other\n")
    (folder / "home.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder / ".composer")


@pytest.fixture
def wanted(folder: Path) -> Wanted:
    return wanted_of(read_recipe(folder / "home.yaml"))


@pytest.fixture
def plan_of(folder: Path, store: Store) -> Callable[..., Plan]:
    """Plans the recipe with changes like those of `--set`, and its text changed."""

    def plan(*changes: str, replaced: Mapping[str, str] | None = None) -> Plan:
        text = RECIPE
        for old, new in (replaced or {}).items():
            assert old in text
            text = text.replace(old, new)
        (folder / "home.yaml").write_text(text)
        return make_plan(wanted_of(read_recipe(folder / "home.yaml", changes=changes)), store)

    return plan


@pytest.fixture
def runners() -> FakeRunners:
    return FakeRunners()
