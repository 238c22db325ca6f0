"""Processes of their own: stopped by a signal and gone on with, and two at once on one store."""

import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.cli.projects import COLUMNS, ON_TINY, STAGES, STORE, well
from tests.cli.terminal import composer, published, start
from tests.killing import stall, tell_every_step
from tests.warm import Warm, begin

LONG = (
    *("train-task", "intent", *ON_TINY, "--data", "train.csv", *COLUMNS),
    *("--set", "training.epochs=50", "--set", "training.patience=null"),
    *("--set", "training.threads=1", "--set", "training.learning_rate=1e-3"),
)
SECONDS_TO_STOP = 10
INTERVAL = 5
SLOWLY = (
    *("--set", "training.threads=1", "--set", "training.batch_tokens=128"),
    *("--set", f"training.checkpoint_steps={INTERVAL}", "--set", "training.patience=null"),
)
TRAININGS = {
    "task": (
        *("train-task", "intent", *ON_TINY, "--data", "train.csv", *COLUMNS),
        *("--set", "training.epochs=6", *SLOWLY),
    ),
    "fusion": (
        *("fuse", "intent", "domain", "--task", "intent", "--name", "few"),
        *("--data", "few.csv", *COLUMNS),
        *("--set", "training.epochs=12", *SLOWLY),
    ),
    "language": (
        *("train-language", "en", *ON_TINY, "--data", "train.csv", "--text", "utterance"),
        *("--set", "training.epochs=6", *SLOWLY),
    ),
}


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


def steps_of(run: Warm, stage: str = r"\S+") -> list[int]:
    """Give the numbers of the steps that its log has; a line with a score is of no step."""
    return [int(step) for step in re.findall(rf"\] {stage}: step (\d+)/(?!.*, score )", run.err)]


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
    assert steps[0] >= int(stopped[1])  # equal where it was stopped while it was judged
    assert steps[-1] == 50

    whole = well(fresh, *LONG, "--store", "other")
    assert whole.out == resumed.out
    assert objects(fresh / "other") == objects(fresh / STORE) != {}


def stopped(run: Warm, number: signal.Signals) -> str:
    """Send a signal; give the last line that is said, in time, on the way to the exit."""
    run.send(number)
    assert run.wait(SECONDS_TO_STOP) == 130, run.err
    assert "Traceback" not in run.err
    return run.err.splitlines()[-1]


GOES_ON = "run the same command again to go on from there"
# Where a run can be for long -> the stage it is in, and how many are done by then.
PLACES = {
    "composer.engine.running.making:backbone_folder": ("task/intent", 0),
    "composer.train.setup:open_backbone": ("task/intent", 0),
    "composer.train.labelled:read_examples": ("task/intent", 0),
    "composer.data.encode:Encoder._encode": ("task/intent", 0),
    "composer.engine.storage.store:write_manifest": ("task/intent", 0),
    "composer.train.evaluation:all_scores": ("evaluation/all/intent/en", 1),
    "composer.train.exporting:write_bundle": ("bundle/home", 7),
}


@pytest.mark.parametrize(
    ("place", "number"),
    [(place, [signal.SIGINT, signal.SIGTERM][i % 2]) for i, place in enumerate(PLACES)],
)
def test_a_signal_stops_whatever_is_not_a_step_of_training(
    fresh: Path, run_project: Path, place: str, number: signal.Signals
):
    stage, done = PLACES[place]
    command = ("run", "home.yaml", "--only", stage)
    run = begin(fresh, *command, before=[partial(stall, place)])
    run.wait_for("^stalled$")
    said = rf"composer: stopped in {stage}; {GOES_ON} \({done} of \d+ stages are done\)"
    assert re.fullmatch(said, stopped(run, number)), run.err
    assert begin(fresh, *command).wait() == 0
    assert objects(fresh / STORE).items() <= objects(run_project / STORE).items()
    assert not list((fresh / STORE / "work").iterdir())


@pytest.mark.parametrize(
    ("kind", "number"),
    [("task", signal.SIGTERM), ("fusion", signal.SIGINT), ("language", signal.SIGTERM)],
)
def test_a_signal_in_a_training_repeats_no_step(project: Path, kind: str, number: signal.Signals):
    shutil.copytree(project / STORE, project / "whole")
    command = (*TRAININGS[kind], "--set", "training.checkpoint_steps=1000")
    assert begin(project, *command, "--store", "whole").wait() == 0
    run = begin(project, *command, before=[tell_every_step])
    run.wait_for(": step 3/")
    said = re.fullmatch(
        r"composer: stopped at step (\d+) of (\d+); a checkpoint is written\. Run the same "
        r"command again to go on from here \(0 of [12] stages are done\)",
        stopped(run, number),
    )
    assert said, run.err
    again = begin(project, *command, before=[tell_every_step])
    assert again.wait() == 0, again.err
    assert steps_of(again)[0] == int(said[1]) + 1
    assert objects(project / STORE) == objects(project / "whole")


def test_a_signal_while_a_training_is_judged_repeats_no_step(fresh: Path):
    command = TRAININGS["task"]
    judging = partial(stall, "composer.train.tasks:_validate", after=1)
    run = begin(fresh, *command, before=[tell_every_step, judging])
    run.wait_for("^stalled$")
    assert re.match(
        r"composer: stopped at step 14 of 42; a checkpoint is", stopped(run, signal.SIGTERM)
    )
    again = begin(fresh, *command, before=[tell_every_step])
    assert again.wait() == 0
    assert steps_of(again) == list(range(15, 43))
    assert begin(fresh, *command, "--store", "whole").wait() == 0
    assert objects(fresh / STORE) == objects(fresh / "whole")


def test_a_second_ctrl_c_stops_a_checkpoint_that_hangs_and_the_last_one_is_used(fresh: Path):
    command = TRAININGS["task"]
    hangs = partial(stall, "composer.train.checkpoint:_pieces", after=1)
    run = begin(fresh, *command, before=[tell_every_step, hangs])
    run.wait_for("^stalled$")
    run.send(signal.SIGINT)
    run.wait_for("^warning: stopping after this step; once more stops at once$")
    assert stopped(run, signal.SIGINT) == (
        f"composer: stopped in task/intent; {GOES_ON} (0 of 1 stages are done)"
    )
    assert steps_of(run)[-1] > INTERVAL
    again = begin(fresh, *command, before=[tell_every_step])
    assert again.wait() == 0
    assert steps_of(again)[0] == INTERVAL + 1
    assert begin(fresh, *command, "--store", "whole").wait() == 0
    assert objects(fresh / STORE) == objects(fresh / "whole")


def test_who_waits_for_another_run_can_be_stopped(fresh: Path):
    worker = begin(fresh, "run", "home.yaml", before=[partial(stall, "composer.train.setup:_open")])
    worker.wait_for("^stalled$")
    waiting = begin(fresh, "run", "home.yaml", "--only", "task/intent")  # nothing else to do
    waiting.wait_for("task/intent: another run is making it; waiting$")
    assert stopped(waiting, signal.SIGTERM) == (
        f"composer: stopped in task/intent; {GOES_ON} (0 of 1 stages are done)"
    )
    assert worker.process.is_alive()
    worker.send(signal.SIGKILL)
    worker.wait()
    assert begin(fresh, "run", "home.yaml").wait() == 0  # a lock dies with its holder


def test_two_runs_at_once_make_each_stage_once(fresh: Path):
    runs = [begin(fresh, "run", "home.yaml", "--json") for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0], [run.err for run in runs]
    made = [name for run in runs for name in re.findall(r"\] (\S+): made in ", run.err)]
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

    monkeypatch.setattr("composer.recipe.reading.reader.read_recipe", interrupted)
    outcome = composer(fresh, "plan", "home.yaml")
    assert outcome.status == 130
    assert outcome.err.strip() == "composer: stopped; run the same command again to go on"
