"""Runners that workers can be sent: what they do is written in a folder, stage by stage.

order(folder, "task/intent", "kill", times=2)     the first two attempts are SIGKILLed
"""

import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from composer.engine.planning.wanted import Wanted
from composer.engine.running.runners import Runner
from composer.errors import DataError, Fault, StoppedError
from composer.recipe.expansion.stages import (
    Evaluate,
    Export,
    Stage,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.train.context import Progress, StageContext

_SECONDS = 60  # that nothing here takes
STEPS = 4


def order(folder: Path, stage: str, what: str, *, times: int = 1) -> None:
    """Have something done in the middle of a stage, the first so many times."""
    folder.mkdir(exist_ok=True)
    for number in range(times):
        (folder / f"{stage.replace('/', '-')}.{number}").write_text(what)


def attempts(folder: Path) -> list[tuple[str, int, int]]:
    """Give what was done: stage, process, and the step that it began with."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(stage, int(process), int(step)) for stage, process, step in map(str.split, lines)]


@dataclass(frozen=True)
class WorkerRunners(Mapping[type, Runner]):
    """Runners whose results depend on nothing but the stage and its inputs.

    Attributes:
        orders: Folder of what else they do, and of the log.
        seconds: That each of the steps takes.
    """

    orders: Path
    seconds: float = 0.0

    def __getitem__(self, kind: type) -> Runner:
        return self.run

    def __iter__(self) -> Iterator[type]:
        return iter((TrainLanguage, TrainTask, TrainComposition, Evaluate, Export))

    def __len__(self) -> int:
        return 5

    def run(self, stage: Stage, /, *, context: StageContext) -> None:
        state = context.checkpoint / "state"
        begun = int(state.read_text()) if state.exists() else 0
        with (self.orders / "log").open("a") as log:
            log.write(f"{stage.name} {os.getpid()} {begun}\n")
        with context.stop.held():
            for step in range(begun, STEPS):
                time.sleep(self.seconds)
                state.write_text(str(step + 1))
                context.report(Progress(done=step + 1, total=STEPS, loss=0.5))
                if step == STEPS // 2:
                    self._obey(stage.name)
                if context.stop.requested:
                    raise StoppedError(f"stopped at step {step + 1} of {STEPS}")
        inputs = {
            context.needs[name]: json.loads((at / "result.json").read_text())["key"]
            for name, at in context.inputs.items()
        }
        result = {"inputs": inputs, "key": context.key, "lock": dict(context.lock)}
        (context.out / "result.json").write_text(json.dumps(result, sort_keys=True))

    def _obey(self, name: str) -> None:
        for file in sorted(self.orders.glob(f"{name.replace('/', '-')}.*")):
            what = file.read_text()
            file.unlink()
            match what:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "exit":
                    os._exit(3)
                case "refuse":
                    raise DataError([Fault("intent.csv:3", "no label")])
                case "break":
                    raise ZeroDivisionError("broken")
                case "warn":
                    logging.getLogger("composer.data").warning("%d rows are odd", 3)
                case "meet":
                    self._meet(name)
            return

    def _meet(self, name: str) -> None:
        """Wait until another stage is here at the same time."""
        (self.orders / f"here-{name.replace('/', '-')}").touch()
        until = time.monotonic() + _SECONDS
        while len(list(self.orders.glob("here-*"))) < 2:
            if time.monotonic() > until:
                raise AssertionError("nobody came")
            time.sleep(0.01)


def many(wanted: Wanted, count: int, *, rows: int = 1) -> Wanted:
    """Want stages like the first task, each of another seed, and each resting on one above it.

    Args:
        wanted: Of the recipe of `tests.engine.fakes`.
        count: How many.
        rows: How many of them need nothing.
    """
    first = next(one for one in wanted.stages if isinstance(one, TrainTask))
    stages = []
    for number in range(count):
        training = first.training.model_copy(update={"seed": number})
        over = {"en": stages[number - rows].name} if number >= rows else {}
        name = f"task/t{number:04d}"
        stages.append(replace(first, name=name, training=training, over=over))
    return replace(wanted, stages=tuple(stages), values={})
