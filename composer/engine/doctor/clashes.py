"""Other projects that are called `composer`: MosaicML's library, PHP's package manager.

One import name has room for one package: where two are installed, the files of both lie in one
folder, and the later one has written over the earlier one's.
"""

import shutil
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from composer.engine.doctor.check import Check
from composer.engine.doctor.requirements import DISTRIBUTION, installed_version

_OTHERS = ("mosaicml", "composer")  # distributions whose import name is `composer`
_OWN_SCRIPT = b"composer.__main__"
_SCRIPT_BYTES = 4096


def clash_checks() -> Iterator[Check]:
    """Check who owns the import name and the command."""
    others = {name for name in _OTHERS if installed_version(name)}
    others |= set(packages_distributions().get("composer", ())) - {DISTRIBUTION}
    if others:
        named = ", ".join(f"{name} {installed_version(name)}" for name in sorted(others))
        yield Check(
            name="clash",
            status="fault",
            found=f"{named} is installed here, and its import name is `composer` too",
            remedy=(
                f"give each an environment of its own; here: pip uninstall {' '.join(others)}, "
                f"then pip install --force-reinstall --no-deps {DISTRIBUTION}"
            ),
        )
    else:
        yield Check(name="import name", status="ok", found="no other package is called composer")
    yield _command_check()


def _command_check() -> Check:
    found = shutil.which("composer")
    if found is not None and _is_own(Path(found)):
        return Check(name="command", status="ok", found=found)
    own = shutil.which(DISTRIBUTION)
    remedy = f"say {DISTRIBUTION}" if own else "say python -m composer"
    said = "no `composer` in PATH" if found is None else f"{found} is another program"
    return Check(name="command", status="warning", found=said, remedy=remedy)


def _is_own(script: Path) -> bool:
    """Say whether a command is this composer's: its script names the module that it calls."""
    try:
        with script.open("rb") as file:
            data = file.read(_SCRIPT_BYTES)
            return _OWN_SCRIPT in data or (data[:2] == b"MZ" and _OWN_SCRIPT in file.read())
    except OSError:
        return False
