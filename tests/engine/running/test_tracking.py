"""Trackers are told what happens, in their own formats, and decide nothing."""

import logging
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event as BoardEvent

from composer.engine.planning.plan import Plan
from composer.engine.running import tracking as tracking_module
from composer.engine.running.events import Event, RunOptions
from composer.engine.running.run import run_stages
from composer.engine.running.tracking import TRACKERS, tracking
from composer.engine.storage.store import Store
from composer.errors import MissingExtraError, RecipeError
from composer.recipe.expansion.stages import Evaluate, Stage
from composer.train.context import Progress, StageContext
from tests.engine.fakes import FakeRunners

PlanOf = Callable[..., Plan]
LOSSES = [0.5, 0.25, 0.125]


def records(path: Path) -> Iterator[bytes]:
    """Read the records of an event file, and hold them to their checksums."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        (of_length,) = struct.unpack_from("<I", data, at + 8)
        record = data[at + 12 : at + 12 + length]
        (of_record,) = struct.unpack_from("<I", data, at + 12 + length)
        assert of_length == masked(data[at : at + 8])
        assert of_record == masked(record)
        yield record
        at += 16 + length


def masked(data: bytes) -> int:
    found = crc32c(data)
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Give what TensorBoard would draw: tag -> (step, value)."""
    (path,) = folder.rglob("events.out.tfevents.*")
    found: dict[str, list[tuple[int, float]]] = {}
    for record in records(path):
        event = BoardEvent.FromString(record)
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def learning(stage: Stage, context: StageContext) -> None:
    """Tell what a training tells, and write what an evaluation writes."""
    if isinstance(stage, Evaluate):
        (context.out / "scores.json").write_text('{"scores": {"accuracy": 0.75}, "n": 4}')
        return
    for step, loss in enumerate(LOSSES, start=1):
        context.report(Progress(done=step, total=3, loss=loss, rate=1e-3 / step))
    context.report(Progress(done=3, total=3, loss=0.3, score=0.9))


@pytest.fixture
def runners() -> FakeRunners:
    found = FakeRunners()
    found.during = learning
    return found


def told(plan: Plan, store: Store, runners: FakeRunners, *names: str, **more: Any) -> None:
    run_stages(plan, store, RunOptions(runners=runners, trackers=names, **more))


def test_tensorboard_has_a_chart_of_each_number_of_each_stage(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    told(plan_of(), store, runners, "tensorboard")
    found = points(store.logs / "tensorboard")
    for stage in ("language/en", "task/intent", "composition/few-shot"):
        assert found[f"{stage}/loss"] == list(enumerate(LOSSES, start=1))
        rates = [rate for _, rate in found[f"{stage}/learning_rate"]]
        assert rates == pytest.approx([1e-3, 5e-4, 1e-3 / 3])
        assert found[f"{stage}/score"] == [(3, pytest.approx(0.9))]
        assert found[f"{stage}/epoch_loss"][-1] == (3, pytest.approx(0.3))
    assert found["evaluation/far/few-shot/de/accuracy"] == [(0, 0.75)]


def test_scores_that_are_there_already_are_told_too(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    told(plan_of(), store, runners)
    assert not (store.logs / "tensorboard").exists()
    told(plan_of(), store, runners, "tensorboard")
    assert points(store.logs / "tensorboard") == {
        f"evaluation/far/few-shot/{tag}/accuracy": [(0, 0.75)] for tag in ("en", "de")
    }


def test_a_tracker_is_opened_once_however_often_it_is_named(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    told(plan_of(), store, runners, "tensorboard", "tensorboard")
    assert len(points(store.logs / "tensorboard")["task/intent/loss"]) == 3


def test_an_unknown_tracker_is_refused_before_anything_is_done(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    with pytest.raises(RecipeError, match="unknown 'tensorbord'; did you mean 'tensorboard'"):
        told(plan_of(), store, runners, "tensorbord")
    assert runners.calls == []


@pytest.mark.parametrize(
    ("name", "library"),
    [("tensorboard", "tensorboardX"), ("trackio", "trackio"), ("wandb", "wandb")],
)
def test_a_library_that_is_not_installed_is_named_with_its_command_before_anything_is_done(
    plan_of: PlanOf,
    store: Store,
    runners: FakeRunners,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    library: str,
):
    monkeypatch.setitem(sys.modules, library, None)
    line = rf"needs {library}, which is not .*pip install 'adapter-composer\[{name}\]'$"
    with pytest.raises(MissingExtraError, match=line):
        told(plan_of(), store, runners, name)
    assert runners.calls == []


class Failing:
    """A tracker whose disk is full."""

    def __init__(self, label: object) -> None:
        self.asked = 0

    def log(self, stage: str, values: object, *, step: int) -> None:
        self.asked += 1
        raise OSError("no space left")

    def close(self) -> None:
        raise OSError("still none")


def test_a_tracker_that_fails_ends_no_run_and_is_asked_no_more(
    plan_of: PlanOf,
    store: Store,
    runners: FakeRunners,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    opened: list[Failing] = []

    def open_failing(label: object) -> Failing:
        opened.append(Failing(label))
        return opened[-1]

    monkeypatch.setattr(tracking_module, "TRACKERS", {**TRACKERS, "failing": open_failing})
    with caplog.at_level(logging.WARNING):
        told(plan_of(), store, runners, "failing", "tensorboard")
    assert opened[0].asked == 1
    assert "the tracker failing failed, and is told no more: no space left" in caplog.text
    assert "the tracker failing could not be closed: still none" in caplog.text
    assert "task/intent/loss" in points(store.logs / "tensorboard")


def test_a_run_that_fails_closes_its_trackers(plan_of: PlanOf, store: Store, runners: FakeRunners):
    def fail(stage: Stage, context: StageContext) -> None:
        learning(stage, context)
        raise RuntimeError("on purpose")

    runners.during = fail
    with pytest.raises(RuntimeError, match="on purpose"):
        told(plan_of(), store, runners, "tensorboard")
    found = points(store.logs / "tensorboard")
    assert any(tag.endswith("/score") for tag in found)


def progress(step: int, loss: float) -> Event:
    said = Progress(done=step, total=9, loss=loss, rate=1e-3)
    return Event(kind="progress", stage="task/intent", number=1, total=1, key="", progress=said)


def test_wandb_is_offline_and_gives_each_stage_a_step_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple[str, Any]] = []
    run = SimpleNamespace(
        define_metric=lambda name, step_metric: calls.append((name, step_metric)),
        log=lambda values: calls.append(("log", values)),
        finish=lambda: calls.append(("finish", None)),
    )

    def init(**given: Any) -> Any:
        calls.append(("init", given))
        return run

    stand_in = SimpleNamespace(Settings=lambda **given: given, init=init)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with tracking(["wandb"], Store(tmp_path), "home") as tell:
        tell(progress(1, 0.5))
        tell(progress(2, 0.25))
    given = calls[0][1]
    assert (given["project"], given["mode"]) == ("home", "offline")
    assert given["dir"] == str(tmp_path / "logs")
    assert given["settings"]["x_disable_meta"]
    loss = "task/intent/loss"
    rate, step = {"task/intent/learning_rate": 1e-3}, "task/intent/step"
    assert calls[1:] == [
        ("task/intent/*", step),
        ("log", {loss: 0.5, **rate, step: 1}),
        ("log", {loss: 0.25, **rate, step: 2}),
        ("finish", None),
    ]
    monkeypatch.setenv("WANDB_MODE", "online")
    with tracking(["wandb"], Store(tmp_path), "home"):
        pass
    assert calls[5][1]["mode"] == "online"


def test_trackio_keeps_its_file_in_the_store_and_leaves_standard_output_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    calls: list[Any] = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((values, step)), finish=lambda: sys.stdout.write("up")
    )

    def init(**given: Any) -> Any:
        sys.stdout.write("view me, ")
        calls.append(given)
        return run

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init))
    monkeypatch.setenv("TRACKIO_DIR", "")
    monkeypatch.delenv("TRACKIO_DIR")
    with tracking(["trackio"], Store(tmp_path), "home") as tell:
        tell(progress(1, 0.5))
        assert os.environ["TRACKIO_DIR"] == str(tmp_path / "logs" / "trackio")
    assert calls[0]["project"] == "home"
    assert calls[1] == ({"task/intent/loss": 0.5, "task/intent/learning_rate": 1e-3}, 1)
    assert capsys.readouterr() == ("", "view me, up")
