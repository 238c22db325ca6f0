"""`composer run` with workers, on a real tiny backbone: stopped, killed, and the same bytes."""

import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from composer.engine.running.event_log import read_events
from tests.cli.projects import STAGES, STORE
from tests.cli.terminal import composer
from tests.cli.test_killed import assert_clean
from tests.cli.test_stopping import SECONDS_TO_STOP, objects
from tests.killing import tell_every_step
from tests.warm import begin

RUN = ("run", "home.yaml", "--jobs", "2")
SLOWLY = ("--set", "training.epochs=40", "--set", "training.checkpoint_steps=5")
_SECONDS = 300  # for processes that import torch while others do


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    return [one for one in process.children() if "spawn_main" in " ".join(one.cmdline())]


@pytest.mark.slow
def test_two_jobs_make_the_bytes_of_one_on_a_real_backbone(fresh: Path, run_project: Path):
    run = begin(fresh, *RUN, "--events", "events.jsonl")
    assert run.wait(_SECONDS) == 0, run.err
    assert objects(fresh / STORE) == objects(run_project / STORE) != {}
    assert (fresh / "home.lock").read_bytes() == (run_project / "home.lock").read_bytes()
    assert_clean(fresh / STORE)
    made = [one["stage"] for one in read_events(fresh / "events.jsonl") if one["event"] == "made"]
    assert sorted(map(str, made)) == sorted(STAGES)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_of_two_jobs_that_is_stopped_or_killed_goes_on_to_the_same_bytes(
    fresh: Path, number: signal.Signals
):
    command = (*RUN, *SLOWLY)
    run = begin(fresh, *command, before=[tell_every_step])
    run.wait_for(r"task/intent: step 7/")
    run.wait_for(r"task/domain: step 7/")
    workers = workers_of(psutil.Process(run.process.pid))
    assert len(workers) == 2
    run.send(number)
    sent = time.monotonic()
    status = run.wait(SECONDS_TO_STOP)
    _, alive = psutil.wait_procs(workers, timeout=SECONDS_TO_STOP)
    assert not alive
    assert time.monotonic() - sent < 2 * SECONDS_TO_STOP
    assert status == (-number if number == signal.SIGKILL else 130)
    if status == 130:
        assert run.err.splitlines()[-1] == (
            "composer: stopped in task/intent and task/domain; run the same command again to go on "
            f"from there (0 of {len(STAGES)} stages are done)"
        )
    again = begin(fresh, *command)
    assert again.wait(_SECONDS) == 0, again.err
    assert len(re.findall("going on from its checkpoint", again.err)) == 2
    whole = begin(fresh, "run", "home.yaml", *SLOWLY, "--store", "whole", "--lock", "whole.lock")
    assert whole.wait(_SECONDS) == 0, whole.err
    assert objects(fresh / STORE) == objects(fresh / "whole")
    assert (fresh / "home.lock").read_bytes() == (fresh / "whole.lock").read_bytes()
    assert_clean(fresh / STORE)


def test_a_run_writes_its_events_into_the_store(ran: Path):
    logs = [read_events(path) for path in (ran / STORE / "logs" / "runs").iterdir()]
    (events,) = [log for log in logs if any(one["event"] == "made" for one in log)]
    assert [events[0]["event"], events[-1]["event"]] == ["run", "end"]
    assert events[0]["command"] == "composer run home.yaml"
    made = [one["stage"] for one in events if one["event"] == "made"]
    assert made == STAGES


def test_a_stage_and_what_rests_on_it_are_made_anew_to_the_same_bytes(ran: Path):
    before = objects(ran / STORE)
    outcome = composer(ran, "run", "home.yaml", "--from", "task/domain", "--json")
    assert outcome.status == 0, outcome.err
    rests = [name for name in STAGES if name != "task/intent" and "/intent/" not in name]
    assert outcome.json["made"] == rests
    assert objects(ran / STORE) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "task/intnt"), "--from: no stage is named 'task/intnt'; did you mean"),
        (("--address", "127.0.0.1:1"), "--address and --gpus are for --executor ray"),
        (("--jobs", "0"), "0 is not in the range 1<=x<=1024"),
    ],
)
def test_options_that_mean_nothing_are_refused(ran: Path, options: tuple[str, ...], said: str):
    outcome = composer(ran, "run", "home.yaml", *options)
    assert outcome.status == 2
    assert said in outcome.err


def test_one_of_several_launched_processes_is_refused(ran: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = composer(ran, "run", "home.yaml")
    assert outcome.status == 2
    assert "this is one of 2 processes of a launcher (accelerate launch" in outcome.err
    assert "--set training.processes=2" in outcome.err
