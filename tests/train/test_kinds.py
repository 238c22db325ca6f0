"""Adapters that act inside an encoder, and full fine-tuning, as stages: the whole way of each."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from composer.errors import AdapterError, RecipeError, StoppedError
from composer.model.files import read_adapter, write_adapter
from composer.model.mixers import Kept
from composer.recipe.grammar.adapters import AdapterShape, BitFit, Full, Lora, Prefix, Prompt
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import trainable
from composer.train.adopting import check_adopted
from composer.train.results import read_scores, read_training
from composer.train.setup import prepare
from tests.train.conftest import (
    TRAINING,
    Workshop,
    bytes_of,
    composition_stage,
    evaluation_stage,
    language_stage,
    task_stage,
)
from tests.train.test_stages import backbone_digest

SHAPES: dict[str, AdapterShape] = {
    "lora": Lora(kind="lora", rank=2, targets=("query", "value", "wide"), dropout=0.1),
    "bitfit": BitFit(kind="bitfit", train_norm=True),
    "prefix": Prefix(kind="prefix", length=3, train_norm=True),
    "prompt": Prompt(kind="prompt", length=3),
    "full": Full(kind="full"),
}
FAST = TRAINING.model_copy(update={"learning_rate": 1e-2, "head_learning_rate": 5e-2})
TINY = BackboneShape(
    hidden_size=32, layers=2, max_tokens=64, intermediate_size=64, embedding_rows=110 + 64 + 2
)


# One precision of each by default; what is narrow matters where products themselves are learnt.
QUICK = {
    ("lora", "bfloat16"), ("full", "bfloat16"),
    ("bitfit", "float32"), ("prefix", "float32"), ("prompt", "float32"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        pytest.param(kind, precision, marks=[] if (kind, precision) in QUICK else pytest.mark.slow)
        for kind in SHAPES
        for precision in ("float32", "bfloat16")
    ],
)
def test_a_kind_goes_the_whole_way(workshop: Workshop, kind: str, precision: str):
    """Train beside another, stop and go on to the same bytes, read back, score, adopt."""
    either = replace(workshop, precision=precision)
    either.run(task_stage("other"))
    stage = task_stage("intent", shape=SHAPES[kind], training=FAST)
    backbone = prepare(TRAINING, either.context("look"))
    frozen, files = backbone_digest(backbone), bytes_of(either.backbone_folder)
    other = bytes_of(either.inputs["task/other"])
    out = either.run(stage)
    assert prepare(TRAINING, either.context("look")) is backbone
    assert backbone_digest(backbone) == frozen
    assert bytes_of(either.backbone_folder) == files
    assert bytes_of(either.inputs["task/other"]) == other
    assert bytes_of(stopped_once(either, stage)) == bytes_of(out)

    counted = trainable(stage, backbone=TINY, shapes={}, classes=3)
    assert counted.norms == (0 if kind in ("lora", "prompt", "full") else 2 * 2 * 2 * 32)
    assert counted.total == read_training(out).trainable_parameters
    again = either.folder / "written"
    again.mkdir()
    write_adapter(again, read_adapter(out, backbone), backbone)
    assert bytes_of(again).items() <= bytes_of(out).items()

    either.inputs[stage.name] = out
    scores = read_scores(either.run(evaluation_stage("intent", stage.name)))
    assert scores.n == 6
    check_adopted(stage, out, inputs={}, backbone_folder=lambda: either.backbone_folder)
    wrong = replace(stage, shape=Lora(kind="lora", rank=5))
    with pytest.raises(RecipeError, match=r"adapter\.json: (kind|rank) is"):
        check_adopted(wrong, out, inputs={}, backbone_folder=lambda: either.backbone_folder)


def stopped_once(workshop: Workshop, stage: object) -> Path:
    workshop.on_progress = lambda progress: setattr(workshop.stop, "requested", progress.done == 4)
    with pytest.raises(StoppedError, match="stopped at step 4"):
        workshop.run(stage, run="again")
    workshop.on_progress = lambda progress: None
    workshop.stop.requested = False
    return workshop.run(stage, run="again")


@pytest.mark.parametrize("kind", [kind for kind in SHAPES if kind != "full"])
def test_a_kind_is_learnt(workshop: Workshop, kind: str):
    training = FAST.model_copy(update={"epochs": 6})
    stage = task_stage("intent", shape=SHAPES[kind], training=training)
    losses = [one["loss"] for one in read_training(workshop.run(stage)).history]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(("kind", "precision"), [("lora", "float32"), ("full", "bfloat16")])
def test_each_epoch_is_judged_by_its_own_weights(
    workshop: Workshop, kind: str, precision: str, monkeypatch: pytest.MonkeyPatch
):
    """What is kept between passes, such as merged matrices, is made anew after each step."""
    training = FAST.model_copy(update={"epochs": 5, "learning_rate": 3e-2})
    either = replace(workshop, precision=precision)
    stage = task_stage("intent", shape=SHAPES[kind], training=training)
    found = read_training(either.run(stage)).history
    monkeypatch.setattr(Kept, "of", lambda self, name, weights, make: make())
    assert found == read_training(either.run(stage, run="unkept")).history
    assert len({one["score"] for one in found}) > 1


def test_full_fine_tuning_moves_every_weight_that_a_text_meets(workshop: Workshop):
    out = workshop.run(task_stage("intent", shape=SHAPES["full"]))
    backbone = prepare(TRAINING, workshop.context("look"))
    learnt = read_adapter(out, backbone).tensors()
    before = dict(backbone.module.state_dict())
    same = {name for name, tensor in learnt.items() if torch.equal(tensor, before[name])}
    assert same <= {"encoder.layer.0.attention.self.key.bias"}
    assert learnt.keys() <= before.keys()


@pytest.mark.parametrize(
    "kind",
    ["lora", "prompt", *(pytest.param(k, marks=pytest.mark.slow) for k in ("bitfit", "prefix"))],
)
def test_a_language_adapter_may_be_of_the_kind(workshop: Workshop, kind: str):
    """And a task is trained over it, and a fusion stands on it."""
    language = workshop.run(language_stage("en", shape=SHAPES[kind]))
    kept = bytes_of(language)
    workshop.run(task_stage("intent", over={"en": "language/en"}))
    workshop.run(task_stage("domain", data="domain.csv"))
    workshop.run(composition_stage("en > fuse(intent, domain)"))
    scores = workshop.run(evaluation_stage("en > fuse(intent, domain)", "composition/few"))
    assert read_scores(scores).n == 6
    assert bytes_of(language) == kept


def test_a_head_is_learnt_over_an_average_of_kinds_with_norms_of_its_own(workshop: Workshop):
    workshop.run(task_stage("intent", shape=SHAPES["lora"]))
    workshop.run(task_stage("domain", data="domain.csv", shape=SHAPES["bitfit"]))
    stage = composition_stage("average(intent, domain)")
    out = workshop.run(stage)
    shapes = {"task/intent": SHAPES["lora"], "task/domain": SHAPES["bitfit"]}
    counted = trainable(stage, backbone=TINY, shapes=shapes, classes=3)
    assert (counted.adapter, counted.norms) == (0, 2 * 2 * 2 * 32)
    assert counted.total == read_training(out).trainable_parameters


def test_a_copy_belongs_to_one_vocabulary(workshop: Workshop):
    out = workshop.run(task_stage("intent", shape=SHAPES["full"]))
    backbone = prepare(TRAINING, workshop.context("look"))
    other = replace(backbone.fingerprints, vocabulary="0" * 64)
    with pytest.raises(AdapterError, match="vocabulary: .* one backbone with one tokenizer"):
        read_adapter(out, replace(backbone, fingerprints=other))
    assert "vocabulary" not in (workshop.run(task_stage("a")) / "adapter.json").read_text()
