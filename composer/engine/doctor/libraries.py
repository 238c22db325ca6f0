"""Libraries and extras: which are there, whether their versions do, and whether they import."""

from collections.abc import Iterator, Sequence

from composer.engine.doctor.check import Check
from composer.engine.doctor.probe import Probed
from composer.engine.doctor.requirements import (
    DISTRIBUTION,
    Requirement,
    installed_version,
    is_enough,
)

_FOR = {
    "train": "training, and running bundles that hold no backbone",
    "samples": "the sample backbones and data",
    "ray": "--executor ray",
    "pictures": "pictures of tables",
    "sign": "signing bundles",
    "tensorboard": "the tracker tensorboard",
    "trackio": "the tracker trackio",
    "wandb": "the tracker wandb",
}


def library_checks(requirements: Sequence[Requirement], probed: Probed) -> Iterator[Check]:
    """Check composer's own libraries, then each extra; what is wrong has a line of its own.

    Args:
        requirements: What composer asks for.
        probed: Which of the installed ones cannot be imported.
    """
    if not requirements:
        yield Check(
            name="libraries",
            status="warning",
            found=f"{DISTRIBUTION} is not installed as a package, so its demands are unknown",
            remedy="in its checkout, run: pip install -e .",
        )
    for extra in dict.fromkeys(one.extra for one in requirements):
        group = [one for one in requirements if one.extra == extra]
        versions = {one.library: installed_version(one.library) for one in group}
        present = [name for name, version in versions.items() if version is not None]
        install = f"pip install '{DISTRIBUTION}[{extra}]'" if extra else ""
        if extra and not present:
            purpose = f" ({_FOR[extra]})" if extra in _FOR else ""
            yield Check(name=extra, status="ok", found=f"not installed{purpose}", remedy=install)
            continue
        listed = ", ".join(f"{name} {versions[name]}" for name in present)
        yield Check(name=extra or "libraries", status="ok", found=listed)
        for one in group:
            yield from _faults(one, versions[one.library], probed, install)


def _faults(one: Requirement, version: str | None, probed: Probed, install: str) -> Iterator[Check]:
    wanted = f"{one.library}{one.specifiers}"
    remedy = install or f"pip install '{wanted}'"
    if version is None:
        status = "warning" if one.extra else "fault"
        yield Check(name=one.library, status=status, found="not installed", remedy=remedy)  # type: ignore[arg-type]
    elif not is_enough(version, one.specifiers):
        found = f"version {version}, and composer needs {one.specifiers}"
        yield Check(name=one.library, status="fault", found=found, remedy=f"pip install '{wanted}'")
    elif one.module in probed.broken:
        yield Check(
            name=one.library,
            status="fault",
            found=f"version {version} cannot be imported: {probed.broken[one.module]}",
            remedy=f"pip install --force-reinstall '{one.library}=={version}'",
        )
