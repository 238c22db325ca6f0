import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from composer.errors import AdapterError, BackboneError, DataError, StoppedError
from composer.model.arithmetic import couple
from composer.model.backbone import Backbone
from composer.model.files import read_adapter
from composer.model.masked_lm import OutputLayer
from composer.model.parts import new_bottleneck
from composer.recipe.grammar.adapters import BottleneckAdapter
from composer.recipe.grammar.training import Training
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import trainable_parameters
from composer.train.results import read_scores, read_training
from tests.tiny import write_tiny_backbone
from tests.train.conftest import (
    DEEP,
    SLOTS,
    TRAINING,
    TURNED,
    WARMTH,
    WIDE,
    Workshop,
    bytes_of,
    composition_stage,
    evaluation_stage,
    language_stage,
    task_stage,
)

LOW = BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=4, dropout=0.1)


def backbone_digest(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    state = [*backbone.module.named_parameters(), *backbone.module.named_buffers()]
    for name, tensor in sorted(state):
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        digest.update(name.encode() + raw.numpy().tobytes())
    return digest.hexdigest()


def opened(workshop: Workshop) -> Backbone:
    from composer.train.setup import prepare

    return prepare(TRAINING, workshop.context("look"))


STAGES = {
    "bottleneck": task_stage(),
    "pfeiffer": task_stage(shape=LOW),
    "madapter": task_stage(shape=DEEP),
    "spans": task_stage(task=SLOTS, data="slots.jsonl"),
    "regression": task_stage(task=WARMTH, data="warmth.csv"),
    "language": language_stage("en"),
    "invertible language": language_stage("en", shape=TURNED),
    "fusion": composition_stage("fuse(intent, domain, none)"),
    "gate": composition_stage("gate(intent, domain)", train_norm=True),
    "average": composition_stage("average(intent, domain)"),
    "head alone": composition_stage("none"),
}


@pytest.fixture
def trained(workshop: Workshop) -> Workshop:
    """A workshop where two task adapters are trained."""
    workshop.run(task_stage("intent"))
    workshop.run(task_stage("domain", data="domain.csv", shape=DEEP))
    return workshop


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", STAGES)
def test_training_moves_nothing_but_its_own_weights(trained: Workshop, kind: str, precision: str):
    trained.precision = precision
    backbone = opened(trained)
    before = backbone_digest(backbone)
    files = bytes_of(trained.backbone_folder)
    others = {name: bytes_of(folder) for name, folder in trained.inputs.items()}
    out = trained.run(STAGES[kind], run="again")
    assert read_training(out).steps > 0
    assert backbone_digest(opened(trained)) == before
    assert opened(trained) is backbone
    assert bytes_of(trained.backbone_folder) == files
    for name, kept in others.items():
        folder = trained.folder / "run" / name / "out"
        assert bytes_of(folder) == kept


@pytest.mark.parametrize("kind", STAGES)
def test_the_same_stage_gives_the_same_bytes(trained: Workshop, kind: str):
    one = bytes_of(trained.run(STAGES[kind], run="one"))
    other = bytes_of(trained.run(STAGES[kind], run="other"))
    assert one == other
    assert any(name.endswith(".safetensors") for name in one)


def test_two_tasks_give_the_same_bytes_in_either_order_and_alone(
    workshop: Workshop, tiny_folder: Path
):
    a, b = task_stage("a"), task_stage("b", data="domain.csv", shape=DEEP)
    first = [bytes_of(workshop.run(stage, run="ab")) for stage in (a, b)]
    second = [bytes_of(workshop.run(stage, run="ba")) for stage in (b, a)]
    assert first == second[::-1]
    assert first[0] != first[1]


def test_a_backbone_opened_before_gives_the_same_bytes_as_one_opened_now(workshop: Workshop):
    from composer.train.setup import _open

    _open.cache_clear()
    cold = bytes_of(workshop.run(task_stage(), run="cold"))
    warm = bytes_of(workshop.run(task_stage(), run="warm"))
    assert cold == warm


def test_another_seed_gives_other_weights(workshop: Workshop):
    one = bytes_of(workshop.run(task_stage(), run="one"))
    changed = TRAINING.model_copy(update={"seed": 14})
    other = bytes_of(workshop.run(task_stage(training=changed), run="other"))
    assert one["adapter.safetensors"] != other["adapter.safetensors"]


@pytest.mark.parametrize("kind", ["madapter", "fusion", "language", "invertible language"])
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_a_stopped_training_goes_on_to_the_same_bytes(trained: Workshop, kind: str, stop_at: int):
    expected = bytes_of(trained.run(STAGES[kind], run="whole"))
    trained.progress.clear()

    def stop_there(progress: object) -> None:
        trained.stop.requested = len(trained.progress) == stop_at

    trained.on_progress = stop_there  # type: ignore[assignment]
    with pytest.raises(StoppedError, match="Run the same command again"):
        trained.run(STAGES[kind], run="stopped")
    trained.on_progress = lambda progress: None
    trained.stop.requested = False
    steps = [progress.done for progress in trained.progress if progress.rate is not None]
    trained.progress.clear()
    assert bytes_of(trained.run(STAGES[kind], run="stopped")) == expected
    more = [progress.done for progress in trained.progress if progress.rate is not None]
    assert more[0] == steps[-1] + 1  # nothing is done twice


def test_a_fusion_trains_its_own_weights_and_head_only(trained: Workshop):
    out = trained.run(composition_stage("fuse(intent, domain)"))
    assert sorted(bytes_of(out)) == [
        "composition.json",
        "composition.safetensors",
        "head.json",
        "head.safetensors",
        "training.json",
    ]
    assert json.loads((out / "composition.json").read_text())["train_norm"]  # DEEP trains its own


def test_the_head_alone_owns_nothing_else(trained: Workshop):
    out = trained.run(composition_stage("none"))
    assert sorted(bytes_of(out)) == ["head.json", "head.safetensors", "training.json"]


@pytest.mark.parametrize("member", ["intent", "domain"])
def test_each_fused_adapter_matters(trained: Workshop, member: str):
    expression = "fuse(intent, domain)"
    quick = Training(**TRAINING.model_dump() | {"epochs": 6})
    trained.run(composition_stage(expression, training=quick))
    stage = evaluation_stage(expression, "composition/few")
    before = (trained.run(stage, run="before") / "predictions.jsonl").read_text()
    replace_by_noise(trained.inputs[f"task/{member}"] / "adapter.safetensors")
    after = (trained.run(stage, run="after") / "predictions.jsonl").read_text()
    assert before != after


def replace_by_noise(file: Path) -> None:
    from safetensors.numpy import load_file

    from composer.bundle.tensors import write_tensors

    generator = torch.Generator().manual_seed(0)
    noise = {
        name: torch.randn(array.shape, generator=generator).numpy()
        for name, array in load_file(file).items()
    }
    write_tensors(file, noise)


def test_an_evaluation_reports_scores_and_what_a_fusion_listens_to(trained: Workshop):
    trained.run(composition_stage("fuse(intent, domain, none)"))
    out = trained.run(evaluation_stage("fuse(intent, domain, none)", "composition/few"))
    found = read_scores(out)
    assert set(found.scores) == {"accuracy", "macro-f1", "matthews"}
    assert found.n == len((out / "predictions.jsonl").read_text().splitlines()) > 0
    (shares,) = found.shares
    assert len(shares.mean) == 3
    assert sum(shares.mean) == pytest.approx(1, abs=1e-5)
    assert len(shares.sites) == 4


def test_a_task_learns(workshop: Workshop):
    changes = {"epochs": 25, "learning_rate": 1e-2, "dropout": False}
    longer = Training(**TRAINING.model_dump() | changes)
    workshop.run(task_stage(training=longer))
    found = read_scores(workshop.run(evaluation_stage("intent", "task/intent")))
    assert found.scores["accuracy"] > 0.8


def test_spans_are_learnt(workshop: Workshop):
    changes = {"epochs": 25, "learning_rate": 1e-2, "dropout": False}
    longer = Training(**TRAINING.model_dump() | changes)
    workshop.run(task_stage("slots", task=SLOTS, data="slots.jsonl", training=longer))
    stage = evaluation_stage("slots", "task/slots", data="slots.jsonl")
    assert read_scores(workshop.run(stage)).scores["span-f1"] > 0.8


def test_a_task_is_trained_over_the_language_adapter_of_each_batch(workshop: Workshop):
    for tag in ("en", "de"):
        workshop.run(language_stage(tag))
    over = {tag: f"language/{tag}" for tag in ("en", "de")}
    stage = task_stage("intent", over=over, languages=("en", "de"))
    stacked = bytes_of(workshop.run(stage, run="stacked"))
    bare = bytes_of(workshop.run(task_stage(languages=("en", "de")), run="bare"))
    assert stacked["adapter.safetensors"] != bare["adapter.safetensors"]
    workshop.run(stage)
    assert read_scores(workshop.run(evaluation_stage("de > intent", "task/intent"))).n > 0


def test_a_language_adapter_lowers_the_held_out_loss(workshop: Workshop):
    done = read_training(workshop.run(language_stage("de")))
    scores = [entry["score"] for entry in done.history]
    assert scores[-1] > scores[0]


def test_an_invertible_language_adapter_learns_and_is_counted_and_read_again(workshop: Workshop):
    changes = {"epochs": 6, "learning_rate": 1e-2}
    longer = Training(**TRAINING.model_dump() | changes)
    stage = replace(language_stage("de", shape=TURNED), training=longer)
    out = workshop.run(stage)
    done = read_training(out)
    scores = [entry["score"] for entry in done.history]
    assert scores[-1] > scores[0]
    shape = BackboneShape(hidden_size=32, layers=2, max_tokens=64)
    assert done.trainable_parameters == trainable_parameters(stage, backbone=shape, shapes={})
    adapter = read_adapter(out, opened(workshop))
    assert adapter.shape == TURNED
    fresh = new_bottleneck(
        TURNED,
        sites=opened(workshop).norms,
        size=32,
        generator=torch.Generator().manual_seed(TRAINING.seed),
    )
    coupled = [name for name in adapter.names if name.startswith("embeddings.")]
    assert len(coupled) == 8
    for name in coupled:
        assert not torch.equal(adapter[name], fresh[name]), name


def test_the_embeddings_are_undone_before_the_scores_of_a_language(workshop: Workshop):
    backbone = opened(workshop)
    adapter = new_bottleneck(
        TURNED, sites=backbone.norms, size=32, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        for name in adapter.names:
            adapter[name].mul_(30.0)
    output = OutputLayer(np.arange(10), backbone)
    with torch.no_grad():
        output.part["weight"].copy_(torch.eye(32))
    vectors = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[1, -100, 2], [-100, 3, 4]])
    coupling = adapter.coupling()
    assert coupling is not None
    expected = output.loss(vectors, labels)
    turned = couple(vectors, coupling)
    assert torch.allclose(output.loss(turned, labels, coupling=coupling), expected, rtol=1e-5)
    assert not torch.allclose(output.loss(turned, labels), expected, rtol=1e-2)


def test_an_invertible_task_adapter_over_a_language_is_refused(workshop: Workshop):
    workshop.run(language_stage("en"))
    with pytest.raises(AdapterError, match="task-adapter is invertible and does not stand alone"):
        workshop.run(task_stage(over={"en": "language/en"}, shape=TURNED))


def test_an_adapter_of_another_backbone_is_refused(trained: Workshop, tmp_path: Path):
    trained.backbone_folder = write_tiny_backbone(tmp_path / "other", seed=1)
    with pytest.raises(AdapterError, match="trained on a backbone whose body is"):
        trained.run(composition_stage("fuse(intent, domain)"), run="other")


def test_a_backbone_that_changed_since_the_plan_is_refused(workshop: Workshop, tmp_path: Path):
    planned = workshop.context("intent")
    other = write_tiny_backbone(tmp_path / "other", seed=1)
    from dataclasses import replace

    from composer.train.tasks import train_task

    with pytest.raises(BackboneError, match="changed since the plan"):
        train_task(task_stage(), context=replace(planned, backbone_folder=lambda: other))


def test_a_label_that_training_never_saw_is_named_with_its_row(
    workshop: Workshop, data_folder: Path, tmp_path: Path
):
    rows = (data_folder / "intent.csv").read_text()
    (tmp_path / "seen.csv").write_text(rows)
    (tmp_path / "test.csv").write_text("text,label\nturn on the lamp,on\nturn it,sideways\n")
    workshop.data_folder = tmp_path
    workshop.run(task_stage(data="seen.csv"))
    with pytest.raises(DataError, match=r"test\.csv:3: .*'sideways'"):
        workshop.run(evaluation_stage("intent", "task/intent", data="test.csv", split="train"))


def test_a_loss_that_is_not_finite_ends_the_training(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    from composer.errors import TrainingError
    from composer.train import tasks

    monkeypatch.setattr(tasks, "task_loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan.*learning_rate"):
        workshop.run(task_stage())


def test_wide_and_deep_adapters_are_what_they_say(workshop: Workshop):
    out = workshop.run(task_stage(shape=WIDE))
    about = json.loads((out / "adapter.json").read_text())
    assert about["shape"]["width"] == 8
    assert about["body"] == opened(workshop).fingerprints.body
