"""All checks, one after another; one that fails itself is a fault, and the others go on."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from composer.engine.doctor.check import Check
from composer.engine.doctor.clashes import clash_checks
from composer.engine.doctor.libraries import library_checks
from composer.engine.doctor.machine import (
    accelerator_checks,
    memory_check,
    python_check,
    thread_check,
)
from composer.engine.doctor.places import backbone_checks, cache_check, store_check
from composer.engine.doctor.probe import probe
from composer.engine.doctor.requirements import DISTRIBUTION, installed_version, own_requirements

_IMPORTED = ("", "train")  # the extras whose libraries are imported, to see whether they can be


def examine(store: str | Path) -> Iterator[Check]:
    """Look at everything.

    Args:
        store: Where results are kept: a folder or a URL.
    """
    yield from _guarded("python", lambda: [python_check()])
    yield Check(
        name="composer",
        status="ok",
        found=f"{installed_version(DISTRIBUTION) or 'not installed'}, in {_folder()}",
    )
    needed = own_requirements()
    modules = [
        one.module
        for one in needed
        if one.extra in _IMPORTED and installed_version(one.library) is not None
    ]
    probed = probe(modules)
    yield from _guarded("libraries", lambda: library_checks(needed, probed))
    yield from _guarded("clash", clash_checks)
    yield from _guarded("accelerator", lambda: accelerator_checks(probed.torch))
    yield from _guarded("threads", lambda: [thread_check()])
    yield from _guarded("memory", lambda: [memory_check()])
    yield from _guarded("store", lambda: [store_check(store)])
    yield from _guarded("cache", lambda: [cache_check()])
    yield from _guarded("backbones", backbone_checks)


def _guarded(name: str, checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except Exception as fault:  # a broken library can raise anything when it is imported
        found = f"could not be looked at: {type(fault).__name__}: {fault}"
        remedy = "mend what the lines above say, and look again"
        yield Check(name=name, status="fault", found=found, remedy=remedy)


def _folder() -> Path:
    return Path(__file__).parents[2]
