"""A sparse adapter stays sparse: through training, a kill, its files, a bundle and a device."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from composer.bundle.reader import open_bundle
from composer.device.bundle import Bundle
from composer.errors import AdapterError, BundleError, StoppedError
from composer.model.backbone import open_backbone
from composer.model.bundled import self_test
from composer.model.files import read_adapter, write_adapter
from composer.model.parts import Bottleneck
from composer.recipe.expansion.stages import BundledComposition, Export
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter, MAdapter, Sparsity
from composer.recipe.grammar.composition import parse_composition
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import trainable_parameters
from composer.recipe.sizes.sparsity import is_masked
from composer.train.checkpoint import read_checkpoint
from composer.train.results import read_training
from tests.train.conftest import (
    TRAINING,
    Workshop,
    bytes_of,
    composition_stage,
    evaluation_stage,
    language_stage,
    task_stage,
)

METHODS = ["random", "magnitude", "erdos-renyi", "snip", "grasp"]
TINY = BackboneShape(hidden_size=32, layers=2, max_tokens=64)


def sparse(method: str = "snip", ratio: float = 0.4, **more: object) -> BottleneckAdapter:
    values = {"kind": "bottleneck", "width": 8, **more}
    return BottleneckAdapter(**values, sparsity=Sparsity(method=method, ratio=ratio))


DEEP = MAdapter(
    kind="madapter", width=6, middle_layers=2, sparsity=Sparsity(method="snip", ratio=0.4)
)


def stored(workshop: Workshop, out: Path) -> Bottleneck:
    adapter = read_adapter(out, open_backbone(workshop.backbone_folder, precision="float32"))
    assert isinstance(adapter, Bottleneck)
    return adapter


@pytest.mark.parametrize("shape", [*map(sparse, METHODS), DEEP], ids=[*METHODS, "madapter"])
def test_exactly_the_ratio_is_zero_after_training(workshop: Workshop, shape: AdapterShape):
    stage = task_stage(shape=shape)
    out = workshop.run(stage)
    adapter = stored(workshop, out)
    masked = [name for name in adapter.names if is_masked(name)]
    assert sorted(adapter.masks) == masked
    count = sum(adapter[name].numel() for name in masked)
    dropped = sum(int((~kept).sum()) for kept in adapter.masks.values())
    assert dropped == round(0.4 * count)
    for name, kept in adapter.masks.items():
        assert not adapter[name][~kept].any()
        assert adapter[name][kept].all()  # weights that are learnt are not zero by chance
    trained = trainable_parameters(stage, backbone=TINY, shapes={}, classes=3)
    assert read_training(out).trainable_parameters == trained


def test_masked_weights_have_no_moments_and_nothing_revives_them(workshop: Workshop):
    training = TRAINING.model_copy(update={"weight_decay": 0.5, "learning_rate": 0.1})
    stage = task_stage(shape=sparse(), training=training)
    stop_at(workshop, 5)
    with pytest.raises(StoppedError):
        workshop.run(stage)
    found = read_checkpoint(workshop.context(stage.name).checkpoint / "training.state")
    assert found is not None
    assert found.decided
    moved = 0
    for name, kept in found.decided.items():
        assert not found.weights[f"adapter:{name}"][~kept].any()
        for slot in ("exp_avg", "exp_avg_sq"):
            moments = found.moments[f"adapter:{name}:{slot}"]
            assert not moments[~kept].any(), name
            moved += int(moments[kept].count_nonzero())
    assert moved


def stop_at(workshop: Workshop, step: int) -> None:
    def stop(progress: object) -> None:
        workshop.stop.requested = len(workshop.progress) == step

    workshop.on_progress = stop  # type: ignore[assignment]


def go_on(workshop: Workshop) -> None:
    workshop.on_progress = lambda progress: None
    workshop.stop.requested = False


@pytest.mark.parametrize(
    "method", ["snip", *(pytest.param(one, marks=pytest.mark.slow) for one in ("random", "grasp"))]
)
def test_a_stopped_training_goes_on_with_the_same_mask(workshop: Workshop, method: str):
    stage = task_stage(shape=sparse(method))
    expected = bytes_of(workshop.run(stage, run="whole"))
    workshop.progress.clear()
    stop_at(workshop, 4)
    with pytest.raises(StoppedError):
        workshop.run(stage, run="stopped")
    go_on(workshop)
    assert bytes_of(workshop.run(stage, run="stopped")) == expected


def test_the_mask_of_a_checkpoint_is_not_found_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    stage = task_stage(shape=sparse("random"))
    stop_at(workshop, 4)
    with pytest.raises(StoppedError):
        workshop.run(stage)
    go_on(workshop)

    def scored(*args: object, **more: object) -> None:
        raise AssertionError("scored once more")

    monkeypatch.setattr("composer.train.sparsity.find_masks", scored)
    assert stored(workshop, workshop.run(stage)).masks


def test_a_language_adapter_is_masked_too(workshop: Workshop):
    stage = language_stage("de", shape=sparse("snip", invertible=True))
    adapter = stored(workshop, workshop.run(stage))
    assert all(not adapter[name][~kept].any() for name, kept in adapter.masks.items())
    assert adapter["embeddings.f_down"].all()


def test_another_method_or_seed_keeps_other_weights(workshop: Workshop):
    seeded = TRAINING.model_copy(update={"seed": 14})
    stages = [
        task_stage(shape=sparse("random")),
        task_stage(shape=sparse("random"), training=seeded),
        task_stage(shape=sparse("snip")),
    ]
    masks = [
        stored(workshop, workshop.run(stage, run=str(number))).masks
        for number, stage in enumerate(stages)
    ]
    names = sorted(masks[0])
    as_bytes = {b"".join(one[name].numpy().tobytes() for name in names) for one in masks}
    assert len(as_bytes) == 3


def test_weights_that_are_kept_and_zero_are_still_kept(workshop: Workshop, tmp_path: Path):
    out = workshop.run(task_stage(shape=sparse()))
    backbone = open_backbone(workshop.backbone_folder, precision="float32")
    adapter = stored(workshop, out)
    for name, kept in adapter.masks.items():
        adapter[name].masked_fill_(kept, 0.0)
    tmp_path.mkdir(exist_ok=True)
    write_adapter(tmp_path, adapter, backbone)
    again = read_adapter(tmp_path, backbone)
    assert all(torch.equal(again.masks[name], kept) for name, kept in adapter.masks.items())


FILE_ATTACKS: dict[str, tuple[Callable[[dict[str, np.ndarray]], object], str]] = {
    "a bit more": (lambda t: put_bits(t, 0, 0xFF), "keeps [0-9]+ weights, and"),
    "a value less": (
        lambda t: t.update({KEPT: t[KEPT][:-1]}),
        "[0-9]+ weights are kept; with the ratio 0.4 it is",
    ),
    "bits in another place": (lambda t: t.update({MASK: t[MASK][:-1]}), "is U8.31., not U8.32."),
    "no values": (lambda t: t.pop(KEPT), "tensor '0.output.down' is missing"),
    "no bits": (lambda t: t.pop(MASK), "tensor '0.output.down' is missing"),
    "dense beside": (
        lambda t: t.update({"0.output.down": np.zeros((8, 32), np.float32)}),
        "is dense, and the adapter is sparse",
    ),
    "dense alone": (
        lambda t: (
            t.pop(KEPT),
            t.pop(MASK),
            t.update({"0.output.down": np.zeros((8, 32), np.float32)}),
        ),
        "is dense, and the adapter is sparse",
    ),
    "a matrix": (lambda t: t.update({KEPT: t[KEPT][:, None]}), "weights are kept"),
    "not finite": (lambda t: t[KEPT].fill(np.nan), "not finite"),
    "wide bits": (lambda t: t.update({MASK: t[MASK].astype(np.int32)}), "is I32.32., not U8"),
    "a mask of a bias": (
        lambda t: t.update({"0.output.down_bias.mask": np.zeros(1, np.uint8)}),
        "'0.output.down_bias.mask' is left over",
    ),
}
KEPT, MASK = "0.output.down.kept", "0.output.down.mask"


def put_bits(tensors: dict[str, np.ndarray], number: int, bits: int) -> None:
    assert tensors[MASK][number] != bits
    tensors[MASK][number] = bits


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, data_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    workshop = Workshop(
        backbone_folder=tiny_folder,
        data_folder=data_folder,
        folder=tmp_path_factory.mktemp("sparse"),
    )
    workshop.run(task_stage(shape=sparse()))
    workshop.run(task_stage("domain", data="domain.csv", shape=DEEP))
    workshop.run(composition_stage("fuse(intent, domain)"))
    workshop.run(evaluation_stage("intent", "task/intent"))
    return workshop


@pytest.mark.parametrize("name", FILE_ATTACKS)
def test_a_sparse_file_that_does_not_agree_with_itself_is_refused(
    trained: Workshop, tmp_path: Path, name: str
):
    from safetensors.numpy import load_file, save_file

    attack, message = FILE_ATTACKS[name]
    out = trained.inputs["task/intent"]
    for file in out.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = {key: one.copy() for key, one in load_file(out / "adapter.safetensors").items()}
    attack(tensors)
    save_file(tensors, tmp_path / "adapter.safetensors")
    backbone = open_backbone(trained.backbone_folder, precision="float32")
    with pytest.raises(AdapterError, match=message):
        read_adapter(tmp_path, backbone)


@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_a_ratio_that_the_masks_do_not_keep_is_refused(
    trained: Workshop, tmp_path: Path, ratio: float
):
    out = trained.inputs["task/intent"]
    for file in out.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    about = json.loads((out / "adapter.json").read_text())
    about["shape"]["sparsity"]["ratio"] = ratio
    (tmp_path / "adapter.json").write_text(json.dumps(about))
    backbone = open_backbone(trained.backbone_folder, precision="float32")
    with pytest.raises(AdapterError, match=f"weights are kept; with the ratio {ratio} it is"):
        read_adapter(tmp_path, backbone)


def export_of(expression: str, owner: str, **more: object) -> Export:
    parts = {"intent": "task/intent", "domain": "task/domain"}
    composition = parse_composition(expression)
    return Export(
        name="bundle/box",
        compositions=(
            BundledComposition(name="it", composition=composition, owner=owner, evaluations=()),
        ),
        parts={name: stage for name, stage in parts.items() if name in expression},
        training=TRAINING,
        **{"precision": "float32", "part_precision": "float32", **more},
    )


@pytest.mark.parametrize("part_precision", ["float32", "float16"])
@pytest.mark.parametrize(
    ("expression", "owner"),
    [("intent", "task/intent"), ("fuse(intent, domain)", "composition/few")],
)
def test_a_bundle_holds_sparse_parts_packed_and_answers_the_same(
    trained: Workshop, expression: str, owner: str, part_precision: str
):
    stage = export_of(expression, owner, part_precision=part_precision)
    out = trained.run(stage, run=f"{owner}-{part_precision}")
    bundle = open_bundle(out / "bundle")
    part = bundle.manifest.parts["intent"]
    assert not any(name.endswith(".down") for name in part.tensors)
    adapter = stored(trained, trained.inputs["task/intent"])
    assert part.parameters == adapter.count()
    tolerance = 0.0 if part_precision == "float32" else 1e-3
    for name, array in bundle.read_part("intent").items():
        assert np.allclose(array, adapter[name].numpy(), rtol=0, atol=tolerance)
    backbone = open_backbone(trained.backbone_folder, precision="float32")
    self_test(bundle, backbone)
    Bundle(bundle, threads=1).self_test()


def test_a_bundle_whose_masks_and_values_disagree_is_refused(trained: Workshop, tmp_path: Path):
    from tests.bundle.content import put_part

    out = trained.run(export_of("intent", "task/intent"), run="attacked") / "bundle"
    file = out / "parts" / "intent.safetensors"
    bundle = open_bundle(out)
    data = bytearray(file.read_bytes())
    place = _offset(data, MASK)
    data[place] ^= 1
    put_part(out, "intent", bytes(data), dict(bundle.manifest.parts["intent"].tensors))
    with pytest.raises(BundleError, match="keeps [0-9]+ weights, and"):
        open_bundle(out)


def _offset(data: bytearray, name: str) -> int:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return 8 + length + header[name]["data_offsets"][0]
