"""SIGKILL on real processes: at steps, at a checkpoint's write, at publication, at every write.

What is killed is begun again by the same command, and must end with the bytes of a run that
nobody killed, having repeated at most the steps since the last checkpoint.
"""

import random
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import pytest

from composer.engine.storage.store import Store
from tests.cli.projects import STORE
from tests.cli.test_stopping import INTERVAL, TRAININGS, objects, steps_of
from tests.killing import kill_at_write, tell_every_step
from tests.warm import Warm, begin

BRIEF = {name: (*command, "--set", "training.epochs=2") for name, command in TRAININGS.items()}
RUN = ("run", "home.yaml", "--set", f"training.checkpoint_steps={INTERVAL}")

CHECKPOINT = r"os\.rename .*/checkpoint/training\.part$"
PUBLICATION = r"os\.rename .*/work/\w+/out[^/]*$"


def well(folder: Path, *command: str) -> Warm:
    """Carry out a command that nobody kills."""
    run = begin(folder, *command, before=[tell_every_step])
    assert run.wait() == 0, run.err
    return run


def killed(run: Warm) -> None:
    assert run.wait() == -signal.SIGKILL, run.err


def assert_little_is_repeated(runs: Sequence[Warm], *, all_told: bool = True) -> None:
    """Hold each run to begin at most one checkpoint interval before the furthest step so far.

    Args:
        runs: In the order in which they were begun.
        all_told: Whether a run tells each step before it is killed, so that none may be skipped.
            What is still on its way between processes is lost with them.
    """
    for stage in {name for run in runs for name in re.findall(r"\] (\S+): step ", run.err)}:
        reached = 0
        for run in runs:
            steps = steps_of(run, stage)
            if steps:
                assert reached - INTERVAL < steps[0], run.err
                assert steps[0] <= reached + 1 or not all_told, run.err
                reached = max(reached, steps[-1])


def assert_clean(folder: Path) -> None:
    """Hold a store to have whole results, and nothing of what was killed."""
    store = Store(folder)
    for path in (folder / "objects").glob("*/*"):
        assert store.open(path.name) is not None
    assert not list((folder / "work").iterdir())
    assert not (folder / "damaged").exists()


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        ("task", 10),
        ("fusion", 4),
        ("language", 4),
        pytest.param("fusion", 10, marks=pytest.mark.slow),
        pytest.param("language", 10, marks=pytest.mark.slow),
    ],
)
def test_a_training_killed_many_times_ends_with_the_same_bytes(
    project: Path, kind: str, times: int
):
    command = TRAININGS[kind]
    shutil.copytree(project / STORE, project / "whole")
    whole = well(project, *command, "--store", "whole")
    total = max(steps_of(whole))
    assert total > 30

    runs = [begin(project, *command, before=[tell_every_step])]
    runs[0].wait_for(": started$")  # it opens the backbone now
    runs[0].send(signal.SIGKILL)
    killed(runs[0])
    for step in sorted(random.Random(kind).sample(range(2, total - 10), times - 3)):
        later = "|".join(map(str, range(step, total)))  # the last kill may have come late
        runs.append(begin(project, *command, before=[tell_every_step]))
        runs[-1].wait_for(rf": step ({later})/")
        runs[-1].send(signal.SIGKILL)
        killed(runs[-1])
    for moment in (CHECKPOINT, PUBLICATION):
        kill = partial(kill_at_write, 1, folder=project, matching=moment)
        runs.append(begin(project, *command, before=[tell_every_step, kill]))
        killed(runs[-1])
    assert len(runs) == times
    runs.append(well(project, *command))

    assert_little_is_repeated(runs)
    assert objects(project / STORE) == objects(project / "whole")
    assert_clean(project / STORE)


def test_a_run_of_several_stages_killed_again_and_again_ends_with_the_same_bytes(fresh: Path):
    well(fresh, *RUN, "--store", "whole", "--lock", "whole.lock")
    moments, runs = random.Random(3), []
    for number in range(100):
        kill = partial(kill_at_write, moments.randrange(50, 90) + 10 * number, folder=fresh)
        runs.append(begin(fresh, *RUN, before=[tell_every_step, kill]))
        if runs[-1].wait() == 0:
            break
        killed(runs[-1])
    assert len(runs) > 5
    made = [name for run in runs for name in re.findall(r"\] (\S+): made in", run.err)]
    assert len(made) == len(set(made))  # nothing that was published is made again
    assert_little_is_repeated(runs)
    assert objects(fresh / STORE) == objects(fresh / "whole")
    assert (fresh / "home.lock").read_bytes() == (fresh / "whole.lock").read_bytes()
    assert_clean(fresh / STORE)


def kill_at_each(
    folder: Path, command: Sequence[str], chosen: Callable[[list[str]], Iterable[int]]
) -> None:
    """Kill a command at each of some of its writes, each time in a store of its own."""
    log = folder / "writes"
    before = shutil.copytree(folder / STORE, folder / "before")
    watch = partial(kill_at_write, 0, folder=folder / STORE, log=log)
    assert begin(folder, *command, before=[watch]).wait() == 0
    expected, lines = objects(folder / STORE), log.read_text().splitlines()
    for number in chosen(lines):
        shutil.rmtree(folder / STORE)
        shutil.copytree(before, folder / STORE)
        kill = partial(kill_at_write, number, folder=folder / STORE)
        runs = [begin(folder, *command, before=[tell_every_step, kill])]
        killed(runs[0])
        runs.append(well(folder, *command))
        assert objects(folder / STORE) == expected, lines[number - 1]
        assert_little_is_repeated(runs)
        assert_clean(folder / STORE)


def one_of_each_kind(lines: list[str]) -> list[int]:
    """Choose writes by what they do and where, whatever the file is called."""
    kinds: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if line.startswith(("fsync", "os.rename", "os.rm")):
            kinds[re.sub(r"/(out)[^/]*/.*|[0-9a-f]{16,}", r"\1", line)] = number
    assert len(kinds) > 8
    return sorted(kinds.values())


def test_a_training_killed_at_any_kind_of_write_goes_on_to_the_same_bytes(project: Path):
    kill_at_each(project, BRIEF["fusion"], one_of_each_kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAININGS)
def test_a_training_killed_at_any_write_goes_on_to_the_same_bytes(project: Path, kind: str):
    kill_at_each(project, BRIEF[kind], lambda lines: range(1, len(lines) + 1))


@pytest.mark.slow
def test_a_run_killed_at_any_write_goes_on_to_the_same_bytes(project: Path):
    kill_at_each(project, RUN, lambda lines: range(1, len(lines) + 1, 5))
