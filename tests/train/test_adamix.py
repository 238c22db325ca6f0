"""AdaMix: routes drawn by seed and step, two passes that agree, one plain bottleneck at the end."""

import math

import pytest
import torch
from torch import Tensor

from composer.data.bio import IGNORED
from composer.errors import StoppedError
from composer.model.backbone import Backbone, open_backbone
from composer.model.composed import ComposedModel
from composer.model.files import read_adapter
from composer.model.methods.adamix import Experts, draw_routes, new_experts
from composer.model.parts import Bottleneck, new_head
from composer.recipe.grammar.adapters import AdaMix, BottleneckAdapter, merged_shape
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import adapter_parameters, trainable
from composer.train.adamix import disagreement, routed_loss
from composer.train.loop import Batch
from composer.train.objective import task_loss
from composer.train.results import read_training
from tests.model.conftest import batch_of
from tests.train.conftest import (
    SLOTS,
    TRAINING,
    WARMTH,
    Workshop,
    bytes_of,
    composition_stage,
    language_stage,
    task_stage,
)

MIXED = AdaMix(kind="adamix", width=4, experts=3, train_norm=True, scaling="learned")
TINY = BackboneShape(hidden_size=32, layers=2, max_tokens=64)


@pytest.fixture
def backbone(workshop: Workshop) -> Backbone:
    return open_backbone(workshop.backbone_folder, precision="float32")


def experts(backbone: Backbone) -> Experts:
    made = new_experts(
        MIXED,
        sites=backbone.norms,
        size=backbone.size,
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        for name in made.names:
            made.parameter(name).mul_(10.0)
    return made


def model_of(backbone: Backbone, adapter: Bottleneck) -> ComposedModel:
    head = new_head(classes=3, size=32, generator=torch.Generator().manual_seed(1))
    return ComposedModel(backbone, composition="a", adapters={"a": adapter}, head=head)


def test_a_route_takes_one_way_down_and_one_way_up_apart_from_each_other(backbone: Backbone):
    made = experts(backbone)
    (route,) = draw_routes(made.ways, 3, seed=5, step=2, count=1)
    assert route["0.attention.down"] != route["0.attention.up"]
    chosen = Bottleneck(
        merged_shape(MIXED),
        {
            name: made[f"{name}.{route[name.removesuffix('_bias')]}"]
            if name.removesuffix("_bias") in route
            else made[name]
            for name in made.merged().names
        },
    )
    batch = batch_of(backbone, ["turn on the lamp", "set a timer"])
    with made.routed(route):
        got = model_of(backbone, made)(batch)
    assert torch.equal(got, model_of(backbone, chosen)(batch))
    assert not torch.equal(got, model_of(backbone, made)(batch))


def test_what_is_not_routed_is_the_mean_of_the_experts(backbone: Backbone):
    made = experts(backbone)
    merged = made.merged()
    assert merged.shape == BottleneckAdapter(
        kind="bottleneck", width=4, train_norm=True, scaling="learned"
    )
    name = "1.output.up"
    mean = sum(made[f"{name}.{number}"] for number in range(3)) / 3
    assert torch.allclose(merged[name], mean, atol=1e-7)
    batch = batch_of(backbone, ["turn on the lamp"])
    assert torch.equal(model_of(backbone, made)(batch), model_of(backbone, merged)(batch))


def test_routes_depend_on_seed_and_step_alone_and_use_every_expert():
    ways = [f"{layer}.output.{way}" for layer in range(4) for way in ("down", "up")]
    one, other = (draw_routes(ways, 3, seed=1, step=7, count=2) for _ in range(2))
    assert one == other
    assert one[0] != one[1]
    assert one != draw_routes(ways, 3, seed=1, step=8, count=2)
    assert one != draw_routes(ways, 3, seed=2, step=7, count=2)
    drawn = [draw_routes(ways, 3, seed=1, step=step, count=1)[0] for step in range(300)]
    counts = [sum(route[ways[0]] == number for route in drawn) for number in range(3)]
    assert min(counts) > 70


P, Q = [0.2, 0.8], [0.5, 0.5]
KL = sum(p * math.log(p / q) + q * math.log(q / p) for p, q in zip(P, Q, strict=True)) / 2


def logits(shares: list[float]) -> Tensor:
    return torch.tensor(shares, dtype=torch.float64).log()


def test_answers_disagree_by_half_of_both_divergences():
    one, other = (torch.stack([logits(shares), logits(P)]) for shares in (P, Q))
    other[1] = one[1] + 3.0  # the same shares
    got = disagreement("text-classification", one, other, torch.zeros(2))
    assert float(got) == pytest.approx(KL / 2)


def test_tokens_without_a_label_do_not_count():
    one, other = (torch.stack([logits(P), logits(s)]).unsqueeze(0) for s in (P, Q))
    labels = torch.tensor([[IGNORED, 1]])
    assert float(disagreement("token-classification", one, other, labels)) == pytest.approx(KL)


def test_numbers_disagree_by_their_mean_square():
    one, other = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    assert float(disagreement("regression", one, other, torch.zeros(2))) == 2.5


def test_each_label_of_several_is_a_question_of_its_own():
    one = torch.tensor([[math.log(0.2 / 0.8)]], dtype=torch.float64)
    other = torch.zeros(1, 1, dtype=torch.float64)
    got = disagreement("multi-label-classification", one, other, torch.zeros(1, 1))
    assert float(got) == pytest.approx(KL)


def test_labels_are_learnt_from_the_first_route(backbone: Backbone):
    made = experts(backbone)
    model = model_of(backbone, made)
    tensors = {**batch_of(backbone, ["turn on", "set a timer"]), "labels": torch.tensor([0, 2])}
    batch = Batch(tensors=tensors, language="en", step=4)
    got = routed_loss(made, lambda: model(tensors), batch, type="text-classification", seed=9)
    answers = []
    for route in draw_routes(made.ways, 3, seed=9, step=4, count=2):
        with made.routed(route):
            answers.append(model(tensors))
    expected = task_loss("text-classification", answers[0], tensors["labels"])
    apart = disagreement("text-classification", *answers, tensors["labels"])
    assert float(apart.detach()) > 0
    assert torch.equal(got, expected + apart)


@pytest.mark.parametrize(
    "stage",
    [
        task_stage(shape=MIXED),
        pytest.param(
            task_stage("slots", task=SLOTS, data="slots.jsonl", shape=MIXED),
            marks=pytest.mark.slow,
        ),
        task_stage("warmth", task=WARMTH, data="warmth.csv", shape=MIXED),
    ],
    ids=["classes", "spans", "numbers"],
)
def test_what_is_stored_is_a_plain_bottleneck(workshop: Workshop, stage: object):
    out = workshop.run(stage)
    adapter = read_adapter(out, open_backbone(workshop.backbone_folder, precision="float32"))
    assert adapter.shape == merged_shape(MIXED)
    assert bytes_of(out) == bytes_of(workshop.run(stage, run="again"))


def test_all_experts_are_counted_while_they_are_trained(workshop: Workshop):
    stage = task_stage(shape=MIXED)
    done = read_training(workshop.run(stage))
    counted = trainable(stage, backbone=TINY, shapes={}, classes=3)
    assert done.trainable_parameters == counted.total
    assert counted.adapter == 3 * 4 * (2 * 32 * 4 + 4 + 32) + 4
    stored = adapter_parameters(MIXED, TINY)
    assert stored == adapter_parameters(merged_shape(MIXED), TINY)


@pytest.mark.parametrize("step", [4, pytest.param(7, marks=pytest.mark.slow)])
def test_a_stopped_training_goes_on_to_the_same_bytes(workshop: Workshop, step: int):
    stage = task_stage(shape=MIXED)
    expected = bytes_of(workshop.run(stage, run="whole"))
    workshop.progress.clear()

    def stop(progress: object) -> None:
        workshop.stop.requested = len(workshop.progress) == step

    workshop.on_progress = stop  # type: ignore[assignment]
    with pytest.raises(StoppedError):
        workshop.run(stage, run="stopped")
    workshop.on_progress, workshop.stop.requested = (lambda progress: None), False
    assert bytes_of(workshop.run(stage, run="stopped")) == expected


@pytest.mark.slow
def test_it_learns(workshop: Workshop):
    training = TRAINING.model_copy(update={"epochs": 8, "learning_rate": 1e-2})
    done = read_training(workshop.run(task_stage(shape=MIXED, training=training)))
    assert done.history[-1]["loss"] < 0.8 * done.history[0]["loss"]


def test_it_stands_over_a_language_and_in_a_fusion(workshop: Workshop):
    workshop.run(language_stage("en"))
    workshop.run(task_stage(shape=MIXED, over={"en": "language/en"}))
    workshop.run(task_stage("domain", data="domain.csv"))
    workshop.run(composition_stage("en > fuse(intent, domain)"))
