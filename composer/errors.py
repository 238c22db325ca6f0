"""The tree of errors that composer raises, and how a fault is worded.

    ComposerError
    ├── FaultsError            several faults, each with its place; all are reported at once
    │   ├── RecipeError        a recipe, or a value on the command line
    │   ├── DataError          rows of a data file
    │   └── InterchangeError   a folder in another library's format, or a result that has none in it
    ├── BackboneError          a backbone that is not what it says, or not safe to load
    ├── AdapterError           stored weights that do not fit where they are put
    ├── BundleError            a bundle that is damaged, foreign or from the future
    ├── StoreError             the folder that holds results cannot be read or written
    ├── TransferError          a hub, server or bucket: not reached, refuses, or has not got it
    ├── TrainingError          training that cannot go on (a loss that is not finite)
    ├── RunError               stages failed or lost their workers; the others are done
    ├── MissingExtraError      a library that is not installed; says the `pip install` line
    └── StoppedError           Ctrl-C or SIGTERM, after the checkpoint is written

A message says the place, the value found, what is allowed, and where possible the remedy.
The command line turns an error into text and `exit_status`; nothing else does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, and where.

    Attributes:
        place: `file:line:column`, `file:row` or a path of keys, as precise as is known.
        message: What was found, what is allowed, what was probably meant.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ComposerError(Exception):
    """The base of everything that composer raises on purpose."""

    exit_status = 2


class FaultsError(ComposerError):
    """One or more faults, each with the place it was found.

    >>> print(FaultsError([Fault("home.yaml:7:12", "must be at least 1, not 0")]))
    home.yaml:7:12: must be at least 1, not 0
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class RecipeError(FaultsError):
    """A recipe, or the values on a command line, cannot be carried out as written."""


class DataError(FaultsError):
    """Rows or columns of a data source are not what the task needs."""


class InterchangeError(FaultsError):
    """What is to be read or written in another library's format does not fit composer or it."""


class BackboneError(ComposerError):
    """A backbone is missing, unsafe to load, or not the one that was recorded."""


class AdapterError(ComposerError):
    """Stored weights do not fit the backbone or the composition they are put into."""


class BundleError(ComposerError):
    """A bundle is damaged, made for another backbone, or of an unknown format."""


class StoreError(ComposerError):
    """The store cannot be read or written."""

    exit_status = 1


class TransferError(ComposerError):
    """What is pulled or pushed does not get through: the other side is out of reach or refuses."""


class TrainingError(ComposerError):
    """Training cannot go on."""

    exit_status = 1


class RunError(ComposerError):
    """A run ended without all of its stages."""

    exit_status = 1


class MissingExtraError(ComposerError):
    """A library is not installed; the message holds the line that installs it.

    Args:
        library: What is missing.
        needed_for: Who needs it.
        extra: Of composer, that brings it.
        install: The line, where no extra brings it.
    """

    def __init__(
        self, *, library: str, needed_for: str, extra: str = "", install: str = ""
    ) -> None:
        line = install or f"pip install 'adapter-composer[{extra}]'"
        super().__init__(f"{needed_for} needs {library}, which is not installed; run: {line}")


class StoppedError(ComposerError):
    """The user stopped the run; what was done is kept."""

    exit_status = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say the nearest known name, or list what is known.

    >>> did_you_mean("reducton_factor", ["width", "reduction_factor"])
    "did you mean 'reduction_factor'?"
    >>> did_you_mean("zzz", ["de", "en"])
    'known: de, en'
    """
    known = list(known)
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(sorted(known))}" if known else "none is known here"
