import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from composer.engine.storage.store import Store
from composer.recipe.reading.reader import read_recipe
from composer.report.page.facts import Facts, read_facts
from composer.report.page.page import render
from tests.report.conftest import Run
from tests.report.runs import run as run_sixty
from tests.report.runs import write_sixty

COMMAND = ("composer", "run", "home.yaml")


@pytest.fixture(scope="package")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    """What is known of the recipe of 60 languages, all of it done."""
    folder = tmp_path_factory.mktemp("sixty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        loaded, store = write_sixty(folder), Store(folder / ".composer")
        run_sixty(loaded, store)
        yield read_facts(loaded, store, command=COMMAND)


@pytest.fixture(scope="package")
def page_of_sixty(sixty: Facts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(sixty), encoding="utf-8")
    return file


@pytest.fixture(scope="package")
def facts(run: Run) -> Facts:
    """What is known of a small recipe that was really run, all of it done."""
    return facts_of(run.folder)


def facts_of(folder: Path, *changes: str) -> Facts:
    """Read what is known of the recipe of `tests.cli.projects`."""
    loaded = read_recipe(folder / "home.yaml", changes=changes)
    return read_facts(loaded, Store(folder / ".composer"), command=COMMAND)
