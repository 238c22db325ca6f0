"""What a machine and its containers leave, read from files as Linux writes them."""

import os
from pathlib import Path

import pytest

from composer.engine.executors.local import LocalExecutor
from composer.engine.resources import (
    available_cores,
    available_memory,
    peak_memory,
    reset_peak_memory,
    resident_memory,
)

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
    "sys/fs/cgroup/pod/cpu.max": "max 100000\n",
}
V1 = {
    "proc/self/cgroup": "4:memory:/docker/0a\n2:cpu,cpuacct:/docker/0a\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{600 * MIB}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{500 * MIB}\n",
    "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
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


def test_cores_are_those_that_a_container_allows(tmp_path: Path):
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert available_cores(root=write(tmp_path / "v2", V2)) == here
    assert available_cores(root=write(tmp_path / "v1", V1)) == 1
    half = {**V2, "sys/fs/cgroup/pod/cpu.max": "50000 100000"}
    assert available_cores(root=write(tmp_path / "half", half)) == 1


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
    def __init__(self, pid: int, memory: int | None = None) -> None:
        self.process, self.task = _Process(pid), _Task(memory * MIB) if memory else None


class _Task:
    def __init__(self, memory: int | None) -> None:
        self.memory = memory


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
    place = "composer.engine.executors.local"
    monkeypatch.setattr(f"{place}.available_memory", lambda: 1000 * MIB)
    held = {1: 100 * MIB, 2: 50 * MIB}
    monkeypatch.setattr(f"{place}.resident_memory", lambda process: held[process])
    executor = LocalExecutor(None, None, None, jobs=3)  # type: ignore[arg-type]
    executor._workers = workers  # type: ignore[assignment]
    task = _Task(None if wanted is None else wanted * MIB)
    assert executor.fits(task) is fits  # type: ignore[arg-type]
