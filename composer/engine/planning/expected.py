"""What a stage is expected to take, in time and memory: by earlier runs of stages like it.

    like     of the same kind, on the same backbone, in the same precision, with as many threads
             and processes
    size     examples that it reads, over all epochs
    expected the median of the three nearest in size, the time scaled to this one's size

A stage that ran took what it took, and that is what is told of it. How many examples there are
is known from earlier results on the same data, or else from what other data had a language; the
time of a stage like none before is not known.
"""

import logging
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from composer.bundle.files import read_json
from composer.engine.planning.record import Record, read_record
from composer.engine.storage.faults import DamagedError
from composer.engine.storage.manifest import Manifest
from composer.engine.storage.store import Store
from composer.engine.storage.timings import Measured
from composer.errors import StoreError
from composer.recipe.expansion.stages import Choose, Export, Stage

logger = logging.getLogger(__name__)

Basis = Literal["last", "like"]

LOOKED_AT = 300  # of the latest times: reading a record takes about a millisecond
_NEAREST = 3
_WITHOUT_EXAMPLES = ("bundle", "choice")
_COUNTS = {"training.json": "training_examples", "scores.json": "n", "loss.json": "texts"}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a stage is expected to take; None is unknown.

    Attributes:
        seconds: From its start to its end.
        memory: In bytes, at its peak.
        basis: "last": it took so much the last time. "like": other stages like it did.
    """

    seconds: float | None = None
    memory: int | None = None
    basis: Basis | None = None


UNKNOWN = Expected()


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A stage that was timed.

    Attributes:
        key: Of its result.
        like: What makes stages comparable.
        data: Digest of its data.
        languages: How many it read.
        examples: That it read, once.
        size: That it read, over all epochs.
        took: Time and memory.
        whole: Whether it read all examples that there are.
    """

    key: str
    like: tuple[object, ...]
    data: str
    languages: int
    examples: int
    size: float
    took: Measured
    whole: bool


class Expectations:
    """Times of earlier stages, read from the store when the first one is asked for."""

    def __init__(self, store: Store, measured: Mapping[str, Measured]) -> None:
        self._store, self._measured = store, measured
        self._earlier: list[Earlier] | None = None

    def of(self, stage: Stage, record: Record, *, key: str, last: str) -> Expected:
        """Say what a stage takes.

        Args:
            stage: Done, or to be made.
            record: What its key is made of.
            key: Of the stage.
            last: Key of the last result of its label, which says most if it is like it.
        """
        if (own := self._measured.get(key)) is not None:
            return Expected(seconds=own.seconds, memory=own.memory, basis="last")
        if self._earlier is None:
            self._earlier = list(self._read())
        like = _like(record.settings, record)
        known = [one for one in self._earlier if one.like == like]
        size = self._size(stage, record, known)
        if size is not None:
            return self._scaled(known, size, last=last)
        before = self._measured.get(last)
        return Expected(seconds=before.seconds, basis="last") if before else UNKNOWN

    def _scaled(self, known: list[Earlier], size: float, *, last: str) -> Expected:
        own = [one for one in known if one.key == last]
        near = own or sorted(known, key=lambda one: abs(math.log(one.size / size)))[:_NEAREST]
        memory = [one.took.memory for one in near if one.took.memory is not None]
        return Expected(
            seconds=round(statistics.median(one.took.seconds * size / one.size for one in near), 1),
            memory=max(memory, default=None),
            basis="like",
        )

    def _size(self, stage: Stage, record: Record, known: list[Earlier]) -> float | None:
        if not known:
            return None
        if isinstance(stage, Export | Choose) or stage.data is None:
            return 1.0
        languages = len(stage.data.languages)
        same = [one.examples for one in known if one.data == record.data_digest and one.whole]
        each = [one.examples / one.languages for one in known]
        count = float(same[-1]) if same else statistics.median(each) * languages
        if stage.data.examples is not None:
            count = float(stage.data.examples) if not same else min(stage.data.examples, count)
        return count * _epochs(record.settings)

    def _read(self) -> Iterator[Earlier]:
        for key, took in list(self._measured.items())[-LOOKED_AT:]:
            try:
                manifest = self._store.peek(key)
                one = self._one(manifest, took) if manifest else None
            except (DamagedError, StoreError, KeyError, TypeError, ValueError) as fault:
                logger.debug("the time of %s is left out: %s", key[:12], fault)
                continue
            if one is not None:
                yield one

    def _one(self, manifest: Manifest, took: Measured) -> Earlier | None:
        record = read_record(manifest)
        data = record.settings.get("data")
        examples = self._examples(manifest)
        if examples is None or took.seconds <= 0:
            return None
        languages = data.get("languages") if isinstance(data, Mapping) else None
        return Earlier(
            key=manifest.key,
            like=_like(record.settings, record),
            data=record.data_digest,
            languages=len(languages) if isinstance(languages, list) else 1,
            examples=examples,
            size=examples * self._passes(manifest, record),
            took=took,
            whole=not isinstance(data, Mapping) or data.get("examples") is None,
        )

    def _examples(self, manifest: Manifest) -> int | None:
        if manifest.kind in _WITHOUT_EXAMPLES:
            return 1
        for name, key in _COUNTS.items():
            if name in manifest.files:
                counted = self._json(manifest, name).get(key)
                return counted if isinstance(counted, int) and counted > 0 else None
        return None

    def _passes(self, manifest: Manifest, record: Record) -> float:
        """Count the epochs that were carried out, which patience may have cut short."""
        epochs = None
        if "training.json" in manifest.files and manifest.kind not in _WITHOUT_EXAMPLES:
            epochs = self._json(manifest, "training.json").get("epochs")
        return float(epochs) if isinstance(epochs, int) and epochs > 0 else _epochs(record.settings)

    def _json(self, manifest: Manifest, name: str) -> dict[str, object]:
        folder = self._store.find(manifest.key)
        return read_json(folder / name, error=StoreError) if folder else {}


def _like(settings: Mapping[str, object], record: Record) -> tuple[object, ...]:
    training = settings.get("training")
    given = training if isinstance(training, Mapping) else {}
    cores = (given.get("threads"), given.get("processes", 1))
    precision = settings.get("precision") if settings.get("kind") == "bundle" else None
    kind = settings.get("kind")
    return (kind, precision, record.fingerprints.body, record.precision, cores)


def _epochs(settings: Mapping[str, object]) -> float:
    training = settings.get("training")
    epochs = training.get("epochs") if isinstance(training, Mapping) else None
    once = settings.get("kind") in ("evaluation", "language-loss", *_WITHOUT_EXAMPLES)
    return 1.0 if once or not isinstance(epochs, int) else float(epochs)
