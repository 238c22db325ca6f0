"""TensorBoard's event files, through tensorboardX; nothing but a file is written.

    .composer/logs/tensorboard/home-20261122T103000Z-812/events.out.tfevents…
        task/intent/loss   task/intent/learning_rate   task/intent/score

Look at them with `tensorboard --logdir .composer/logs/tensorboard`, from the package of that name.
"""

from collections.abc import Mapping
from typing import Any

from composer.engine.running.trackers.base import RunLabel
from composer.errors import MissingExtraError


class TensorBoard:
    """One event file a run; a chart a stage and number."""

    def __init__(self, label: RunLabel) -> None:
        self._writer: Any = _writer()(logdir=str(label.folder / "tensorboard" / label.run))

    def log(self, stage: str, values: Mapping[str, float], *, step: int) -> None:
        """Add a point to each chart."""
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, global_step=step)

    def close(self) -> None:
        """Write the file to its end."""
        self._writer.close()


def _writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            library="tensorboardX", needed_for="the tracker tensorboard", extra="tensorboard"
        ) from error
    return SummaryWriter
