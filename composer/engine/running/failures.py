"""Why a stage failed, as plain values that another process can be told.

    failure = failure_of("task/intent", error)      where it happened
    raise error_of(failure)                         where it is told

An error of composer's comes back as what it was. Anything else is a defect, of composer or of a
library: it comes back as a `WorkerFaultError` that shows the traceback of where it happened.
"""

import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from composer.errors import ComposerError, Fault, FaultsError


class WorkerFaultError(Exception):
    """Something that composer did not foresee, in a process that made a stage."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a stage failed.

    Attributes:
        stage: Its name.
        error: Name of the error's class.
        message: What it says.
        faults: One by one, where it is a list of faults.
        traceback: Where it happened; empty for what composer foresees.
        cause: The error itself, where it happened in this process.
    """

    stage: str
    error: str
    message: str
    faults: tuple[Fault, ...] = ()
    traceback: str = ""
    cause: Exception | None = field(default=None, compare=False)


def failure_of(stage: str, error: Exception) -> Failure:
    """Describe an error that ended a stage."""
    known = isinstance(error, ComposerError)
    return Failure(
        stage=stage,
        error=type(error).__name__,
        message=str(error) or type(error).__name__,
        faults=error.faults if isinstance(error, FaultsError) else (),
        traceback="" if known else "".join(traceback.format_exception(error)),
        cause=error,
    )


def error_of(failure: Failure) -> Exception:
    """Make the error anew that a failure tells of."""
    if failure.cause is not None:
        return failure.cause
    found = {one.__name__: one for one in _classes(ComposerError)}.get(failure.error)
    if found is None:
        return WorkerFaultError(f"{failure.stage} failed in a worker:\n{failure.traceback}")
    error = found.__new__(found)  # what its `__init__` takes is in the message by now
    error.args = (failure.message,)
    if isinstance(error, FaultsError):
        error.faults = failure.faults
    return error


def failure_lines(
    failures: Mapping[str, Failure], stages: Collection[str], done: Collection[str]
) -> list[str]:
    """Say what became of a run some of whose stages failed."""
    left = len(stages) - len(done) - len(failures)
    rest = f", {left} that rest on them were not begun" if left else ""
    first = f"{len(failures)} of {len(stages)} stages failed{rest}; {len(done)} are done"
    return [first, *(f"  {one.stage}: {line}" for one in failures.values() for line in _said(one))]


def _said(failure: Failure) -> list[str]:
    return (failure.traceback or failure.message).removeprefix(f"{failure.stage}: ").splitlines()


def listed(names: Sequence[str], *, most: int = 3) -> str:
    """Write some names as a list.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    more = len(names) - most
    shown = [*names[:most], f"{more} more"] if more > 0 else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _classes(base: type[ComposerError]) -> Iterable[type[ComposerError]]:
    yield base
    for one in base.__subclasses__():
        yield from _classes(one)
