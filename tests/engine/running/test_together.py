"""Stages that several real processes train together, on a model of a few numbers."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torch.nn.functional as F
from torch.nn import Parameter

from composer.data.bio import IGNORED
from composer.engine.planning.plan import Plan
from composer.engine.running.events import Event, RunOptions, RunResult
from composer.engine.running.run import run_stages
from composer.engine.running.runners import Runner
from composer.engine.storage.store import Store
from composer.errors import RunError, StoppedError, TrainingError
from composer.recipe.expansion.stages import TrainTask
from composer.train.context import StageContext
from composer.train.loop import Batch, Epoch, Job, train
from composer.train.processes import Processes

INTENT = "task/intent"
STEPS, ROWS, TOKENS, CLASSES = 6, 5, 4, 3
PlanOf = Callable[..., Plan]
Run = Callable[..., RunResult]


@dataclass(frozen=True)
class Learners(Mapping[type, Runner]):
    """Train a matrix in the real loop; every fourth example has dropout where `drops`.

    Attributes:
        orders: Folder of what happens in the middle: "kill.1" kills the second process.
        drops: Whether what is drawn at random decides the result.
    """

    orders: Path
    drops: bool = False

    def __getitem__(self, kind: type) -> Runner:
        return self.run

    def __iter__(self) -> Iterator[type]:
        return iter((TrainTask,))

    def __len__(self) -> int:
        return 1

    def run(self, stage: TrainTask, /, *, context: StageContext) -> None:
        torch.manual_seed(stage.training.seed)
        torch.set_num_threads(1)
        weight = Parameter(torch.arange(6.0).reshape(2, CLASSES) / 10)
        unused = Parameter(torch.ones(2))
        steps: list[int] = []

        def loss(batch: Batch) -> torch.Tensor:
            steps.append(int(batch.tensors["number"][0]))
            if steps[-1] == 3:
                self._obey(batch)
            inputs = F.dropout(batch.tensors["inputs"], 0.5, self.drops)  # (rows, tokens, 2)
            scores = (inputs @ weight).flatten(0, 1)
            value = F.cross_entropy(scores, batch.tensors["labels"].flatten(), ignore_index=IGNORED)
            return value + 0.1 * (weight**2).sum()  # a penalty is of the batch, not of a row

        job = Job(
            parameters={"adapter:weight": weight, "adapter:unused": unused},
            set_training=lambda *, active: None,
            epochs=[Epoch(STEPS, _batch)] * stage.training.epochs,
            loss=loss,
            score=lambda: -float((weight.detach() ** 2).sum()),
        )
        trained = train(job, stage.training, context)
        np.save(context.out / "weight.npy", weight.detach().numpy())
        (context.out / "training.json").write_text(json.dumps(asdict(trained)))
        with (self.orders / "log").open("a") as log:
            log.write(f"{Processes.here().rank} {steps[0]}\n")

    def _obey(self, batch: Batch) -> None:
        rank = Processes.here().rank
        for file in self.orders.glob(f"*.{rank}"):
            what = file.read_text()
            file.unlink()
            match what:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "refuse":
                    raise TrainingError(f"refused by {rank}")
                case "explode":
                    batch.tensors["inputs"] *= float("inf")
                case "wait":
                    (self.orders / "waits").touch()
                    time.sleep(60)


def _batch(number: int) -> Batch:
    """Give rows that differ in how many tokens have a label; the last batch has one row only."""
    rng = np.random.default_rng(number)
    rows = 1 if number == STEPS - 1 else ROWS
    labels = rng.integers(0, CLASSES, (rows, TOKENS))
    labels[np.arange(TOKENS)[None] > np.arange(rows)[:, None]] = IGNORED
    tensors = {
        "inputs": torch.from_numpy(rng.normal(size=(rows, TOKENS, 2)).astype(np.float32)),
        "labels": torch.from_numpy(labels),
        "number": torch.full((rows,), number),
    }
    return Batch(tensors=tensors, language="en")


@pytest.fixture
def orders(folder: Path) -> Path:
    (folder / "orders").mkdir()
    return folder / "orders"


@pytest.fixture
def run(plan_of: PlanOf, folder: Path, orders: Path) -> Run:
    def run(
        processes: int, *, place: str = ".composer", drops: bool = False, **options: object
    ) -> RunResult:
        plan = plan_of(f"training.processes={processes}", "training.checkpoint_steps=2")
        given = {"only": (INTENT,), "runners": Learners(orders, drops), **options}
        return run_stages(plan, Store(folder / place), RunOptions(**given))  # type: ignore[arg-type]

    return run


def weight(result: RunResult) -> np.ndarray:
    return np.load(result.results[INTENT].folder / "weight.npy")  # type: ignore[no-any-return]


def digest(result: RunResult) -> str:
    return result.results[INTENT].manifest.output_digest


def began(orders: Path) -> dict[int, int]:
    """Give the number of the batch that each process began with, the last time."""
    lines = (orders / "log").read_text().splitlines()
    return {int(rank): int(step) for rank, step in map(str.split, lines)}


def left_over() -> list[psutil.Process]:
    """Give the processes that share stages and are still there."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def history(result: RunResult) -> list[dict[str, float]]:
    values = json.loads((result.results[INTENT].folder / "training.json").read_text())
    return values["history"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "processes",
    [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (3, 7))],
)
def test_processes_learn_what_one_does_up_to_the_order_of_sums(run: Run, processes: int):
    events: list[Event] = []
    alone, together = run(1), run(processes, on_event=events.append)
    np.testing.assert_allclose(weight(together), weight(alone), rtol=0, atol=1e-6)
    assert history(together) == [pytest.approx(one, abs=1e-5) for one in history(alone)]
    done = [one.progress.done for one in events if one.progress and one.progress.score is None]
    assert done == list(range(1, STEPS + 1))  # the first of them tells of each step, once


@pytest.mark.slow
def test_processes_draw_each_for_itself_and_the_same_each_time(run: Run):
    first, again = (run(2, place=place, drops=True) for place in ("first", "again"))
    assert digest(first) == digest(again)
    assert abs(weight(first) - weight(run(1, drops=True))).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_and_the_stage_goes_on_to_the_same_bytes(
    run: Run, orders: Path, rank: int
):
    whole = run(2, place="whole", drops=True)
    (orders / f"now.{rank}").write_text("kill")
    with pytest.raises(RunError, match=rf"process {rank + 1} of 2 was killed by SIGKILL"):
        run(2, drops=True, retries=0)
    assert not left_over()
    assert digest(run(2, drops=True)) == digest(whole)
    assert began(orders)[0] == began(orders)[1] == 2


@pytest.mark.slow
def test_a_fault_of_any_process_is_the_fault_of_the_stage(run: Run, orders: Path):
    (orders / "now.1").write_text("refuse")
    with pytest.raises(TrainingError, match="^refused by 1$"):
        run(2)
    (orders / "now.1").write_text("explode")
    with pytest.raises(TrainingError, match="^step 4: the loss is nan"):
        run(2)
    assert not left_over()


@pytest.mark.slow
def test_a_stop_is_agreed_on_and_the_stage_goes_on_to_the_same_bytes(run: Run, orders: Path):
    whole = run(2, place="whole", drops=True)

    def stop(event: Event) -> None:
        if event.progress and event.progress.done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match=r"stopped at step (3|4|5) of 6; a checkpoint is writ"):
        run(2, drops=True, on_event=stop)
    assert digest(run(2, drops=True)) == digest(whole)
    assert began(orders)[0] == began(orders)[1] >= 3
