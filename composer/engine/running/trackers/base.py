"""What a tracker is: it is told numbers, and of which stage and step they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    """Shows numbers of a run."""

    def log(self, stage: str, values: Mapping[str, float], *, step: int) -> None:
        """Take numbers of one stage, by name, as they were after a step."""

    def close(self) -> None:
        """Write out what is not written yet."""


@dataclass(frozen=True, kw_only=True)
class RunLabel:
    """What a tracker calls a run.

    Attributes:
        recipe: Its name.
        run: No two runs have the same: "home-20261122T103000Z-812".
        folder: For what is written to disk, of all trackers.
    """

    recipe: str
    run: str
    folder: Path


OpenTracker = Callable[[RunLabel], Tracker]
"""Raises a `MissingExtraError` where the library is not installed."""
