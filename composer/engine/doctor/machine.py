"""The machine: Python, processors, memory, accelerator, and what "auto" precision is on it."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from composer.engine.doctor.check import Check

OLDEST = (3, 11)
LITTLE = 2 * 10**9  # bytes of memory, below which a sample backbone hardly trains

_NVIDIA = Path("/dev/nvidia0")


def python_check() -> Check:
    """Check the interpreter."""
    numbers = ".".join(map(str, sys.version_info[:3]))
    found = f"{numbers}, {platform.python_implementation()}, {platform.platform(terse=True)}"
    if sys.version_info[:2] < OLDEST:
        remedy = f"use Python {OLDEST[0]}.{OLDEST[1]} or later"
        return Check(name="python", status="fault", found=found, remedy=remedy)
    return Check(name="python", status="ok", found=found)


def thread_check() -> Check:
    """Check how many processors this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{usable} processors of {os.cpu_count()}"
    said = os.environ.get("OMP_NUM_THREADS")
    if said is not None:
        found += f"; OMP_NUM_THREADS={said}, which recipes overrule (training.threads)"
    if (usable or 1) < 2:
        remedy = "recipes ask for 2 threads; set training.threads to 1, which is part of results"
        return Check(name="threads", status="warning", found=found, remedy=remedy)
    return Check(name="threads", status="ok", found=found)


def memory_check() -> Check:
    """Check the memory that is left, as the container allows."""
    from composer.engine.running.resources import available_memory

    left = available_memory()
    if left is None:
        found = "not known on this system"
        remedy = "runs of several --jobs do not look at it"
        return Check(name="memory", status="ok", found=found, remedy=remedy)
    found = f"{left / 10**9:.1f} GB available"
    if left < LITTLE:
        remedy = "a smaller training.batch_tokens, or fewer --jobs, takes less"
        return Check(name="memory", status="warning", found=found, remedy=remedy)
    return Check(name="memory", status="ok", found=found)


def accelerator_checks(torch: Mapping[str, object]) -> Iterator[Check]:
    """Check what torch computes on.

    Args:
        torch: What it says of itself; empty: it is not there, and other lines say so.
    """
    if not torch:
        yield Check(name="accelerator", status="ok", found="not looked for: torch is not here")
        return
    devices = torch["devices"]
    if torch["cuda"] and isinstance(devices, list):
        yield Check(name="accelerator", status="ok", found=", ".join(map(str, devices)))
    elif _NVIDIA.exists():
        yield Check(
            name="accelerator",
            status="warning",
            found=f"{_NVIDIA} is there, and torch (built for {torch['built_for']}) does not use it",
            remedy="install a torch that is built for its CUDA version, or mend the driver",
        )
    else:
        mps = "; Apple's is there, and composer uses the processor" if torch["mps"] else ""
        yield Check(name="accelerator", status="ok", found=f"none, the processor is used{mps}")
    yield _precision_check(torch)


def _precision_check(torch: Mapping[str, object]) -> Check:
    from composer.engine.planning.machine import BFLOAT16_FLAGS, resolve_precision

    flags = " or ".join(sorted(BFLOAT16_FLAGS))
    resolved = resolve_precision("auto")
    why = f"the processor {'has' if resolved == 'bfloat16' else 'lacks'} {flags}"
    found = f"`precision: auto` is {resolved} here: {why}"
    if torch["cuda"]:
        able = "multiplies" if torch["bfloat16"] else "does not multiply"
        found += f"; the accelerator {able} bfloat16"
    return Check(name="bfloat16", status="ok", found=found)
