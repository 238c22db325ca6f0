"""A recipe's trackers, on real trainings: the same charts with one job and with several."""

import shutil
from pathlib import Path

import pytest

from tests.cli.projects import well
from tests.engine.running.test_tracking import points


@pytest.mark.slow
def test_side_by_side_the_charts_are_the_same_and_nothing_is_trained_anew(fresh: Path):
    recipe = fresh / "home.yaml"
    recipe.write_text(recipe.read_text() + "trackers: [tensorboard]\n")
    logs = fresh / ".composer" / "logs" / "tensorboard"
    only = ("--only", "evaluation/all/few-shot/en")
    well(fresh, "run", "home.yaml", *only)
    one = points(logs)
    assert {"task/intent/loss", "composition/few-shot/score"} <= one.keys()
    assert one["evaluation/all/few-shot/en/accuracy"]
    steps = [step for step, _ in one["task/intent/loss"]]
    assert steps == list(range(1, len(steps) + 1))
    shutil.rmtree(logs)
    well(fresh, "run", "home.yaml", *only, "--from", "task", "--jobs", "2")
    assert points(logs) == one
    recipe.write_text(recipe.read_text().replace("trackers: [tensorboard]\n", ""))
    states = {one["state"] for one in well(fresh, "plan", "home.yaml", "--json").json["stages"]
              if one["name"].startswith("task/")}  # fmt: skip
    assert states == {"done"}
