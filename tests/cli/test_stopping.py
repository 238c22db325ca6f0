"""Processes of their own: stopped by a signal and gone on with, and two at once on one store."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.projects import COLUMNS, ON_TINY, STAGES, STORE, well
from tests.cli.terminal import composer, published, start

LONG = (
    *("train-task", "intent", *ON_TINY, "--data", "train.csv", *COLUMNS),
    *("--set", "training.epochs=50", "--set", "training.patience=null"),
    *("--set", "training.threads=1", "--set", "training.learning_rate=1e-3"),
)
SECONDS_TO_STOP = 10


def stop_after_a_step(process: subprocess.Popen[str]) -> str:
    """Send Ctrl-C once a step is told; give the rest of stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if ": step " in line:
            break
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < SECONDS_TO_STOP
    return err


def objects(store: Path) -> dict[str, bytes]:
    """Give what was published, without the labels: they hold the command."""
    return {name: data for name, data in published(store).items() if name.startswith("objects")}


def test_ctrl_c_keeps_what_was_learnt_and_the_same_command_goes_on_to_the_same_bytes(fresh: Path):
    process = start(fresh, *LONG)
    err = stop_after_a_step(process)
    assert process.returncode == 130
    stopped = re.search(r"^composer: stopped at step (\d+) of 50; .*$", err, re.MULTILINE)
    assert stopped, err
    assert "Run the same command again to go on from here" in stopped[0]
    assert published(fresh / STORE) == {}

    resumed = well(fresh, *LONG)
    assert "[1/1] task/intent: going on from its checkpoint\n" in resumed.err
    steps = [int(step) for step in re.findall(r": step (\d+)/50", resumed.err)]
    assert steps[0] > int(stopped[1])
    assert steps[-1] == 50

    whole = well(fresh, *LONG, "--store", "other")
    assert whole.out == resumed.out
    assert objects(fresh / "other") == objects(fresh / STORE) != {}


def test_two_runs_at_once_make_each_stage_once(fresh: Path):
    processes = [start(fresh, "run", "home.yaml", "--json") for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    made = [name for _, err in ended for name in re.findall(r"\] (\S+): made in ", err)]
    assert sorted(made) == sorted(STAGES)
    times = (fresh / STORE / "timings.jsonl").read_text().splitlines()
    assert len(times) == len(STAGES)
    assert well(fresh, "run", "home.yaml", "--json").json["made"] == []
    assert not list((fresh / STORE / "work").iterdir())


def test_ctrl_c_before_anything_is_begun_ends_without_a_traceback(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("composer.recipe.reader.read_recipe", interrupted)
    outcome = composer(fresh, "plan", "home.yaml")
    assert outcome.status == 130
    assert outcome.err.strip() == "composer: stopped; run the same command again to go on"
