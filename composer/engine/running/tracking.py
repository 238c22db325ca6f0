"""Numbers of a run for its trackers: loss, learning rate and scores, by stage.

    task/intent/loss, learning_rate     after each step
    task/intent/epoch_loss, score       after each epoch: the mean loss, and the validation score
    evaluation/far/intent/de/accuracy   and the other scores of an evaluation, once

They are taken from the events of the run, in the process that hears them, so stages may be carried
out wherever they like; and nothing that a tracker does decides a result, or ends a run.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from composer.bundle.files import read_json
from composer.engine.running.events import Event
from composer.engine.running.trackers.base import OpenTracker, RunLabel, Tracker
from composer.engine.running.trackers.tensorboard import TensorBoard
from composer.engine.running.trackers.trackio import Trackio
from composer.engine.running.trackers.wandb import WeightsAndBiases
from composer.engine.storage.store import Store
from composer.errors import Fault, RecipeError, StoreError, did_you_mean

logger = logging.getLogger(__name__)

TRACKERS: Mapping[str, OpenTracker] = MappingProxyType(
    {"tensorboard": TensorBoard, "trackio": Trackio, "wandb": WeightsAndBiases}
)
_SCORES = "scores.json"  # of an evaluation's result

Listener = Callable[[Event], None]


@contextmanager
def tracking(names: Sequence[str], store: Store, recipe: str) -> Iterator[Listener]:
    """Open trackers, give what tells them events, and close them at the end.

    Args:
        names: Of trackers; each is opened once.
        store: Of the run; what trackers write to disk goes to its logs.
        recipe: Its name.

    Raises:
        RecipeError: A tracker is unknown.
        MissingExtraError: Its library is not installed.
    """
    faults = [
        Fault("--tracker", f"unknown {name!r}; {did_you_mean(name, TRACKERS)}")
        for name in names
        if name not in TRACKERS
    ]
    if faults:
        raise RecipeError(faults)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    label = RunLabel(recipe=recipe, run=f"{recipe}-{now}-{os.getpid()}", folder=store.logs)
    trackers: dict[str, Tracker] = {}
    try:
        for name in dict.fromkeys(names):
            trackers[name] = TRACKERS[name](label)
        yield _Telling(trackers, store)
    finally:
        for name, tracker in trackers.items():
            try:
                tracker.close()
            except Exception as fault:  # whatever a library makes of a full disk or no network
                logger.warning("the tracker %s could not be closed: %s", name, fault)


class _Telling:
    """Tells trackers what events hold; one that fails is told no more."""

    def __init__(self, trackers: Mapping[str, Tracker], store: Store) -> None:
        self._trackers, self._store = dict(trackers), store

    def __call__(self, event: Event) -> None:
        if not self._trackers:
            return
        step, values = _numbers(event, self._store)
        for name, tracker in list(self._trackers.items()) if values else ():
            try:
                tracker.log(event.stage, values, step=step)
            except Exception as fault:  # as above: a run does not end for a chart
                logger.warning("the tracker %s failed, and is told no more: %s", name, fault)
                del self._trackers[name]


def _numbers(event: Event, store: Store) -> tuple[int, dict[str, float]]:
    """Give the numbers that an event holds, and their step."""
    if event.kind in ("made", "found"):
        folder = store.find(event.key)
        return 0, _scores(folder / _SCORES) if folder else {}
    step = event.progress
    if step is None:
        return 0, {}
    after_epoch = step.rate is None
    values = {
        "epoch_loss" if after_epoch else "loss": step.loss,
        "learning_rate": step.rate,
        "score": step.score,
    }
    return step.done, {name: value for name, value in values.items() if value is not None}


def _scores(path: Path) -> dict[str, float]:
    """Read the scores of an evaluation; none where the result holds none."""
    if not path.exists():
        return {}
    try:
        found = read_json(path, error=StoreError).get("scores")
    except StoreError:  # the run itself checks its results, and tells
        return {}
    given = found.items() if isinstance(found, dict) else ()
    return {str(name): value for name, value in given if isinstance(value, float)}
