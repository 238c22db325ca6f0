"""What a machine and its containers leave, read from files as Linux writes them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from composer.engine.running.executors.local import LocalExecutor
from composer.engine.running.resources import (
    available_memory,
    peak_memory,
    reset_peak_memory,
    resident_memory,
)
from composer.recipe.grammar.training import Training

MIB = 2**20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable:    4194304 kB\n"}  # 4096 MiB left
V2 = {
    "proc/self/cgroup": "0::/pod/main\n",
    "sys/fs/cgroup/pod/main/memory.max": "max\n",
    "sys/fs/cgroup/pod/main/memory.current": f"{900 * MIB}\n",
    "sys/fs/cgroup/pod/memory.max": f"{1024 * MIB}\n",
    "sys/fs/cgroup/pod/memory.current": f"{924 * MIB}\n",
    "sys/fs/cgroup/pod/memory.stat": f"anon 5\ninactive_file {100 * MIB}\n",
}
V1 = {
    "proc/self/cgroup": "4:memory:/docker/0a\n2:cpu,cpuacct:/docker/0a\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{600 * MIB}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{500 * MIB}\n",
    "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
}


@pytest.mark.parametrize(
    ("files", "mebibytes"),
    [
        ({}, None),
        (MACHINE, 4096),
        ({**MACHINE, **V2}, 200),  # of the pod around it; what is cached can be given back
        ({**MACHINE, **V1}, 100),  # the path is the host's: its own files are at the root
        (
            {**V1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"},
            8796093021707,
        ),
    ],
)
def test_memory_that_is_left_is_what_machine_and_container_leave(
    tmp_path: Path, files: dict[str, str], mebibytes: int | None
):
    found = available_memory(root=write(tmp_path, files))
    assert (None if found is None else found // MIB) == mebibytes


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")
def test_a_peak_is_counted_from_when_it_was_reset():
    held = bytearray(64 * MIB)
    del held
    reset_peak_memory()
    before = peak_memory()
    assert before is not None
    held = bytearray(32 * MIB)
    peak = peak_memory()
    assert peak is not None
    assert peak - before > 28 * MIB
    assert resident_memory(os.getpid()) > len(held)
    assert resident_memory(2**22 + 1) == 0  # there is no such process


class _Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid


class _Worker:
    def __init__(self, pid: int, memory: int | None = None, processes: int = 1) -> None:
        self.process = _Process(pid)
        self.task = _Task(memory * MIB, processes) if memory else None


class _Task:
    def __init__(self, memory: int | None, processes: int = 1) -> None:
        self.memory, self.stage = memory, SimpleNamespace(training=Training(processes=processes))


@pytest.mark.parametrize(
    ("workers", "wanted", "fits"),
    [
        ([], 9000, True),  # alone it is tried: nothing else would ever make it fit
        ([_Worker(2)], 9000, True),
        ([_Worker(1, 300)], 800, True),  # the other one may take 200 MiB more
        ([_Worker(1, 300)], 801, False),
        ([_Worker(1, 300), _Worker(2)], 850, True),  # 50 MiB are held by who would do it
        ([_Worker(1, 50)], 1000, True),  # more than was expected is no more to come
        ([_Worker(1, 300)], None, True),
    ],
)
def test_a_stage_is_begun_beside_others_only_if_it_fits(
    workers: list[_Worker], wanted: int | None, fits: bool, monkeypatch: pytest.MonkeyPatch
):
    place = "composer.engine.running.executors.local"
    monkeypatch.setattr(f"{place}.available_memory", lambda: 1000 * MIB)
    held = {1: 100 * MIB, 2: 50 * MIB}
    monkeypatch.setattr(f"{place}.resident_memory", lambda process: held[process])
    executor = LocalExecutor(None, None, None, jobs=3)  # type: ignore[arg-type]
    executor._workers = workers  # type: ignore[assignment]
    task = _Task(None if wanted is None else wanted * MIB)
    assert executor.fits(task) is fits  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at_work", "wanted", "fits"),
    [((), 9, True), ((2,), 1, True), ((2,), 2, False), ((1, 1), 1, True), ((3,), 1, False)],
)
def test_a_stage_of_several_processes_counts_as_so_many_jobs(
    at_work: tuple[int, ...], wanted: int, fits: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("composer.engine.running.executors.local.available_memory", lambda: None)
    executor = LocalExecutor(None, None, None, jobs=3)  # type: ignore[arg-type]
    executor._workers = [_Worker(0, 1, count) for count in at_work]  # type: ignore[misc]
    assert executor.fits(_Task(None, wanted)) is fits  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux tells it")
def test_what_a_process_began_is_counted_with_it():
    alone = resident_memory(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        own = _until(lambda: resident_memory(child.pid))
        assert resident_memory(os.getpid()) >= alone + own - MIB
        child.communicate(b"\n")


def _until(found: Callable[[], int]) -> int:
    """Ask until it is some megabytes: a process that was just begun is small."""
    for _ in range(1000):
        if (number := found()) > 4 * MIB:
            return number
        time.sleep(0.01)
    raise AssertionError("it never grew")
