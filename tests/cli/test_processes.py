"""`training.processes` on a real tiny backbone: the same bytes, whoever is killed or stopped."""

import re
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.cli.projects import STORE
from tests.cli.test_killed import assert_clean, assert_little_is_repeated, killed, well
from tests.cli.test_stopping import SECONDS_TO_STOP, TRAININGS, objects, stopped
from tests.killing import tell_every_step
from tests.warm import Warm, begin

TWO = ("--set", "training.processes=2")


def shares_of(run: Warm) -> list[psutil.Process]:
    """Give the processes that share the stage of a run."""
    children = psutil.Process(run.process.pid).children()
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=SECONDS_TO_STOP)
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAININGS)
def test_a_training_of_two_processes_ends_with_the_same_bytes_whatever_happens(
    project: Path, kind: str
):
    command = (*TRAININGS[kind], *TWO)
    shutil.copytree(project / STORE, project / "whole")
    well(project, *command, "--store", "whole")

    runs = []
    for number, step in ((signal.SIGKILL, 7), (signal.SIGTERM, 14), (signal.SIGINT, 19)):
        runs.append(begin(project, *command, before=[tell_every_step]))
        runs[-1].wait_for(rf": step ({'|'.join(map(str, range(step, step + 9)))})/")
        processes = shares_of(runs[-1])
        assert len(processes) == 2
        if number == signal.SIGKILL:
            runs[-1].send(number)
            killed(runs[-1])
        else:
            assert "a checkpoint is written" in stopped(runs[-1], number)
        assert_gone(processes)
    runs.append(begin(project, *command, before=[tell_every_step]))
    runs[-1].wait_for(r": step (2[4-9]|3\d)/")
    shares_of(runs[-1])[1].send_signal(signal.SIGKILL)
    assert runs[-1].wait(300) == 0, runs[-1].err
    assert re.search("process 2 of 2 was killed by SIGKILL", runs[-1].err)

    assert_little_is_repeated(runs[:-1], all_told=False)
    assert objects(project / STORE) == objects(project / "whole")
    assert_clean(project / STORE)
