"""Weights & Biases, offline unless the environment says otherwise.

    .composer/logs/wandb/offline-run-…      send it later: wandb sync .composer/logs/wandb/offline-…
    WANDB_MODE=online composer run …        send it while the run goes on

Each stage has a step of its own, "task/intent/step", as several stages may be at work at a time.
"""

import os
from collections.abc import Mapping
from typing import Any

from composer.engine.running.trackers.base import RunLabel
from composer.errors import MissingExtraError


class WeightsAndBiases:
    """One run of the service's in the project of the recipe's name."""

    def __init__(self, label: RunLabel) -> None:
        wandb = _library()
        label.folder.mkdir(parents=True, exist_ok=True)
        # What the machine is and which code lies here is nobody's business.
        settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            silent=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        self._stages: set[str] = set()
        self._run = wandb.init(
            project=label.recipe,
            name=label.run,
            dir=str(label.folder),
            mode=os.environ.get("WANDB_MODE") or "offline",
            reinit="create_new",
            settings=settings,
        )

    def log(self, stage: str, values: Mapping[str, float], *, step: int) -> None:
        """Add a point to each chart of a stage, at its own step."""
        own_step = f"{stage}/step"
        if stage not in self._stages:
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/*", step_metric=own_step)
        named = {f"{stage}/{name}": value for name, value in values.items()}
        self._run.log({**named, own_step: step})

    def close(self) -> None:
        """Write out what is queued."""
        self._run.finish()


def _library() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise MissingExtraError(
            library="wandb", needed_for="the tracker wandb", extra="wandb"
        ) from error
    return wandb
