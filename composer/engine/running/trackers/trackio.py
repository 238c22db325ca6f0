"""Trackio, which keeps its numbers in a file on this machine.

    .composer/logs/trackio/home.db      look at it: TRACKIO_DIR=.composer/logs/trackio trackio show

They go elsewhere where the environment says so: TRACKIO_DIR, TRACKIO_SPACE_ID.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

from composer.engine.running.trackers.base import RunLabel
from composer.errors import MissingExtraError


class Trackio:
    """One run of trackio's in the project of the recipe's name."""

    def __init__(self, label: RunLabel) -> None:
        # The library reads it when it is imported.
        os.environ.setdefault("TRACKIO_DIR", str((label.folder / "trackio").absolute()))
        with redirect_stdout(sys.stderr):  # it prints what to do next, and stdout is for results
            self._run = _library().init(project=label.recipe, name=label.run, embed=False)

    def log(self, stage: str, values: Mapping[str, float], *, step: int) -> None:
        """Add a point to each chart."""
        self._run.log({f"{stage}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """Write out what is queued."""
        with redirect_stdout(sys.stderr):
            self._run.finish()


def _library() -> Any:
    try:
        import trackio
    except ImportError as error:
        raise MissingExtraError(
            library="trackio", needed_for="the tracker trackio", extra="trackio"
        ) from error
    return trackio
