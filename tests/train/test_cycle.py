"""A task whose batches take the adapters of several languages in turn, and evenly drawn sources."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from composer.errors import StoppedError
from composer.model.composed import ComposedModel
from composer.recipe.expansion.stages import TrainTask
from composer.train.results import read_training
from tests.train.conftest import TRAINING, Workshop, bytes_of, language_stage, task_stage, use

OVER = {"en": "language/en", "de": "language/de"}


def cycling(cycle: tuple[str, ...] = ("en", "de")) -> TrainTask:
    return replace(task_stage(over={tag: OVER[tag] for tag in cycle}), cycle=cycle)


@pytest.fixture
def spoken(workshop: Workshop) -> Workshop:
    """A workshop where the adapters of two languages are trained."""
    for tag in OVER:
        workshop.run(language_stage(tag))
    return workshop


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, str | None, int]]:
    """Take note of each pass through a model: training or not, language, examples."""
    passes: list[tuple[bool, str | None, int]] = []
    forward = ComposedModel.forward

    def noted(self: ComposedModel, batch, *, language=None, arrived=None):  # noqa: ANN001, ANN202
        passes.append((torch.is_grad_enabled(), language, len(batch["input_ids"])))
        return forward(self, batch, language=language, arrived=arrived)

    monkeypatch.setattr(ComposedModel, "forward", noted)
    return passes


def test_each_batch_takes_the_next_languages_adapter(
    spoken: Workshop, bound: list[tuple[bool, str | None, int]]
):
    cycle = ("de", "en", "en")
    steps = read_training(spoken.run(cycling(cycle))).steps
    learnt = [language for training, language, _ in bound if training]
    assert learnt == [cycle[step % 3] for step in range(steps)]
    assert steps // 2 % 3, "so that the second epoch does not begin where the first did"


def test_what_is_judged_is_dealt_out_over_the_cycle(
    spoken: Workshop, bound: list[tuple[bool, str | None, int]]
):
    out = spoken.run(cycling(("de", "en")))
    judged: dict[str | None, int] = {}
    for training, language, examples in bound:
        if not training:
            judged[language] = judged.get(language, 0) + examples
    n = read_training(out).validation_examples
    assert judged == {"de": 2 * ((n + 1) // 2), "en": 2 * (n // 2)}


def test_a_cycle_gives_other_weights_than_one_language_and_than_another_order(spoken: Workshop):
    weights = {
        cycle: bytes_of(spoken.run(cycling(cycle), run="-".join(cycle)))["adapter.safetensors"]
        for cycle in (("en",), ("de", "en"), ("en", "de"))
    }
    assert len(set(weights.values())) == 3
    over = task_stage(over={"en": "language/en"})
    assert bytes_of(spoken.run(over, run="over"))["adapter.safetensors"] == weights["en",]


@pytest.mark.parametrize(("stop_at", "temperature"), [(1, 1.0), (4, 3.0)])
def test_a_stopped_cycle_goes_on_to_the_same_bytes(
    spoken: Workshop, stop_at: int, temperature: float
):
    stage = replace(
        cycling(), data=replace(use("intent.csv", languages=("en", "de")), temperature=temperature)
    )
    whole = bytes_of(spoken.run(stage, run="whole"))
    spoken.progress.clear()

    def stop_there(progress: object) -> None:
        spoken.stop.requested = len(spoken.progress) == stop_at

    spoken.on_progress = stop_there  # type: ignore[assignment]
    with pytest.raises(StoppedError):
        spoken.run(stage, run="stopped")
    spoken.stop.requested = False
    spoken.on_progress = lambda progress: None
    assert bytes_of(spoken.run(stage, run="stopped")) == whole


def test_language_adapters_under_a_cycle_stay_as_they_are(spoken: Workshop):
    before = {tag: bytes_of(spoken.inputs[need]) for tag, need in OVER.items()}
    spoken.run(cycling())
    assert {tag: bytes_of(spoken.inputs[need]) for tag, need in OVER.items()} == before


def test_a_temperature_evens_out_what_an_epoch_learns(workshop: Workshop, tmp_path: Path):
    lines = (workshop.data_folder / "intent.csv").read_text().splitlines()
    for tag, rows in (("en", lines), ("de", [lines[0], *lines[1:21]])):
        (tmp_path / f"even.{tag}.csv").write_text("\n".join(rows) + "\n")
    from composer.train.labelled import read_task
    from composer.train.setup import encoder_for, prepare

    workshop.data_folder = tmp_path
    backbone = prepare(TRAINING, workshop.context("look"))
    stage = task_stage(data="even.$language.csv", languages=("en", "de"))
    data = read_task(
        stage.data, stage.task, TRAINING, encoder=encoder_for(backbone),
        where={"folder": tmp_path, "outside": False},
    )  # fmt: skip

    def learnt(temperature: float) -> dict[str, int]:
        (epoch, _) = data.training.epochs(
            TRAINING, pad_id=0, by_language=True, temperature=temperature
        )
        found: dict[str, int] = {}
        for number in range(epoch.count):
            batch = epoch.batch(number)
            found[batch.language] = found.get(batch.language, 0) + len(batch.tensors["labels"])
        return found

    there = learnt(1.0)
    even = learnt(1e6)
    assert there["en"] > 2 * there["de"]
    assert abs(even["en"] - even["de"]) <= 1
    assert sum(even.values()) == sum(there.values())
