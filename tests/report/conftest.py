import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions, RunResult
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.recipe.reading.reader import read_recipe
from tests.cli.projects import write_project


@dataclass(frozen=True)
class Run:
    """A recipe that was run."""

    folder: Path
    plan: Plan
    result: RunResult


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Run]:
    """The recipe of `tests.cli.projects`, run."""
    folder = write_project(tmp_path_factory.mktemp("report") / "project", tiny_folder)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(torch, "set_num_threads", lambda number: None)
        store = Store(folder / ".composer")
        plan = make_plan(wanted_of(read_recipe(folder / "home.yaml")), store)
        yield Run(folder, plan, run_stages(plan, store, RunOptions()))
