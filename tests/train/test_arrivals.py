"""What the layers below the first adapter give is computed once, and changes nothing."""

import io
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from composer.data.encode import Encoder as TextEncoder
from composer.data.examples import Example
from composer.errors import StoppedError
from composer.model.adapters import Site
from composer.model.backbone import open_backbone
from composer.model.encoder import Encoder, Layer
from composer.recipe.expansion.stages import TrainComposition, TrainTask
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter, Lora
from composer.recipe.grammar.training import Training
from composer.train import arrivals
from tests.train.conftest import (
    TRAINING,
    TURNED,
    WIDE,
    Workshop,
    composition_stage,
    language_stage,
    task_stage,
)

LAYERS = 2  # of the tiny backbone
STILL = Training(**TRAINING.model_dump() | {"dropout": False, "epochs": 3})
LOW = BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=4, train_norm=True)
TOP = BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=4, leave_out=(0,))


def run(
    workshop: Workshop, stage: TrainTask | TrainComposition, name: str
) -> dict[str, torch.Tensor]:
    out = workshop.run(stage, run=name)
    return {
        f"{file.stem}:{key}": tensor
        for file in sorted(out.glob("*.safetensors"))
        for key, tensor in load_file(file).items()
    }


def stages(workshop: Workshop, what: str) -> TrainTask | TrainComposition:
    shapes = {"houlsby": WIDE, "pfeiffer": LOW, "top": TOP}
    if what in shapes:
        return task_stage(shape=shapes[what], training=STILL)
    if what == "over a language":
        workshop.run(language_stage("en", shape=LOW))
        return task_stage(shape=TOP, over={"en": "language/en"}, training=STILL)
    workshop.run(task_stage("one", shape=TOP))
    workshop.run(task_stage("two", shape=TOP))
    return composition_stage(what, training=STILL)


@pytest.mark.parametrize(
    "what", ["houlsby", "pfeiffer", "top", "over a language", "fuse(one, two)", "one", "none"]
)
def test_the_same_is_learnt(what: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    stage = stages(workshop, what)
    kept = run(workshop, stage, "kept")
    monkeypatch.setattr(arrivals, "MOST", 0)
    anew = run(workshop, stage, "anew")
    assert kept.keys() == anew.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, anew[name], rtol=0, atol=2e-5)
    assert any(bool(tensor.any()) for tensor in kept.values())


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count by layer how often tokens look at each other while something learns or arrives."""
    counted: Counter[int] = Counter()
    attention = Encoder._attention

    def noted(self: Encoder, layer: Layer, *given: object) -> object:
        counted[layer.sites[0].layer] += torch.is_grad_enabled()
        return attention(self, layer, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "_attention", noted)
    return counted


@pytest.mark.parametrize(("shape", "lowest"), [(LOW, 1), (TOP, 2)])
def test_no_step_goes_through_the_layers_below(
    shape: AdapterShape, lowest: int, workshop: Workshop, seen: Counter[int]
):
    workshop.run(task_stage(shape=shape, training=STILL))
    assert [seen[layer] > 0 for layer in range(LAYERS)] == [
        layer >= lowest for layer in range(LAYERS)
    ]


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        (LOW, {"dropout": True}),
        (LOW, {"epochs": 1}),
        (TURNED, {}),
        (Lora(kind="lora", rank=2), {}),
    ],
    ids=["dropout inside", "one epoch", "invertible", "LoRA"],
)
def test_nothing_is_kept_where_it_would_not_be_the_same_or_of_no_use(
    shape: AdapterShape,
    changes: dict[str, object],
    workshop: Workshop,
    seen: Counter[int],
):
    training = Training(**STILL.model_dump() | changes)
    workshop.run(task_stage(shape=shape, training=training))
    assert seen[0] > 0


def test_what_would_take_too_much_room_is_computed_in_every_epoch(
    workshop: Workshop,
    seen: Counter[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(arrivals, "MOST", 10_000)
    with caplog.at_level(logging.INFO):
        workshop.run(task_stage(shape=LOW, training=STILL))
    assert seen[0] > 0
    assert "layers below 0.output run in every epoch" in caplog.text


class Counted(io.BytesIO):
    """A file that counts the bytes read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.taken += len(found)
        return found


def test_a_batch_is_read_and_nothing_else(tiny_folder: Path):
    backbone = open_backbone(tiny_folder, precision="float32")
    encoder = TextEncoder(backbone.tokenizer, max_tokens=16)
    rows = encoder.encode([Example(text=text) for text in ("ab c", "de f g h", "i")])
    file = Counted()
    kept = arrivals.Arrivals(file, backbone, Site(layer=0, where="output"), rows, batch_tokens=64)
    arrived = kept.of(torch.tensor([2, 0]))
    tokens = len(rows[2].ids) + len(rows[0].ids)
    assert arrived.hidden.shape == arrived.residual.shape == (tokens, backbone.size)
    assert file.taken == 2 * tokens * backbone.size * 4
    assert not any(isinstance(value, np.ndarray | torch.Tensor) for value in vars(kept).values())


def test_nothing_of_it_stays_on_disk(workshop: Workshop):
    workshop.run(task_stage(shape=LOW, training=STILL))
    left = {file.name for file in (workshop.folder / "run").rglob("*") if file.is_file()}
    assert left == {"adapter.json", "adapter.safetensors", "head.json", "head.safetensors",
                    "training.json", "training.state"}  # fmt: skip


def test_a_training_that_was_stopped_learns_the_same_bytes(workshop: Workshop):
    whole = run(workshop, task_stage(shape=LOW, training=STILL), "whole")
    workshop.progress.clear()

    def stop_there(progress: object) -> None:
        workshop.stop.requested = len(workshop.progress) == 7

    workshop.on_progress = stop_there
    with pytest.raises(StoppedError):
        workshop.run(task_stage(shape=LOW, training=STILL), run="stopped")
    workshop.on_progress, workshop.stop.requested = lambda progress: None, False
    resumed = run(workshop, task_stage(shape=LOW, training=STILL), "stopped")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
