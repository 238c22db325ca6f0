"""Bundles from elsewhere on a real backbone: refused, or run as their manifest says."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from composer.bundle.header import TensorType, header_bytes
from composer.bundle.manifest import Manifest
from composer.bundle.reader import open_bundle
from composer.data.examples import Example
from composer.errors import BackboneError, BundleError, ComposerError
from composer.model.backbone import Backbone, open_backbone
from composer.model.bundled import check_backbone, open_composition, self_test
from composer.model.predictor import Predictor
from composer.recipe.grammar.composition import adapter_names, parse_composition
from tests.bundle.content import change_manifest, put_part
from tests.bundle.mutations import mutated
from tests.model.bundles import TEXTS, answers, write_tiny_bundle
from tests.tiny import write_tiny_backbone


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, tiny_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "home"
    write_tiny_bundle(folder, backbone, tiny_folder)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.fixture
def standing(made: Path, backbone: Backbone) -> dict[str, Predictor]:
    """A bundle that was opened before others were refused."""
    bundle = open_bundle(made)
    return {name: open_composition(bundle, name, backbone) for name in bundle.manifest.compositions}


def test_the_bundle_runs_and_passes_its_self_test(
    made: Path, backbone: Backbone, tiny_folder: Path
):
    bundle = open_bundle(made)
    check_backbone(bundle, tiny_folder, backbone)
    assert self_test(bundle, backbone) < 1e-5


def retrained(folder: Path) -> None:
    write_tiny_backbone(folder, seed=1)


def deeper(folder: Path) -> None:
    write_tiny_backbone(folder, layers=3)


def shallower(folder: Path) -> None:
    write_tiny_backbone(folder, layers=1)


def wider(folder: Path) -> None:
    write_tiny_backbone(folder, size=64)


def other_words(folder: Path) -> None:
    """Leave all weights as they are, and exchange two words."""
    write_tiny_backbone(folder)
    text = (folder / "tokenizer.json").read_text()
    for old, new in (('"lamp"', '"*"'), ('"light"', '"lamp"'), ('"*"', '"light"')):
        text = text.replace(old, new)
    (folder / "tokenizer.json").write_text(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (retrained, "the tensor 'embeddings.LayerNorm.bias' differs"),
        (deeper, "this one has a tensor 'encoder.layer.2.attention.*' more"),
        (shallower, "this one has no tensor 'encoder.layer.1.attention"),
        (wider, "the tensor 'embeddings.LayerNorm.bias' differs"),
        (other_words, "its weights are the same, its tokenizer differs"),
    ],
)
def test_another_backbone_is_refused_and_the_right_one_answers_as_before(
    make: Callable[[Path], None],
    message: str,
    made: Path,
    standing: dict[str, Predictor],
    tmp_path: Path,
):
    before = answers(standing)
    make(tmp_path / "other")
    other = open_backbone(tmp_path / "other", precision="float32")
    with pytest.raises(BundleError, match=f"made for another backbone .tiny, .*: {message}"):
        check_backbone(open_bundle(made), tmp_path / "other", other)
    assert answers(standing) == before


@pytest.mark.parametrize(
    ("size", "layers", "message"),
    [
        (32, 1, "backbone.layers: 1, and the backbone's is 2"),
        (32, 3, "backbone.layers: 3, and the backbone's is 2"),
        (16, 2, "backbone.hidden_size: 16, and the backbone's is 32"),
    ],
)
def test_a_bundle_that_is_whole_and_lies_about_the_backbones_shape_is_refused(
    size: int, layers: int, message: str, home: Path, backbone: Backbone, tiny_folder: Path
):
    """Every part has the shape that is claimed; only the backbone itself tells otherwise."""
    config = {"kind": "bottleneck", "width": 4, "bias": False}
    numbers = np.random.default_rng(0)
    shapes = {
        f"{layer}.{where}.{name}": (4, size) if name == "down" else (size, 4)
        for layer in range(layers)
        for where in ("attention", "output")
        for name in ("down", "up")
    }

    def change(values: dict[str, Any]) -> None:
        keep = {"relu", "one.head"}
        for name in values["parts"].keys() - keep:
            (home / values["parts"].pop(name)["file"]).unlink()
        values["parts"]["relu"]["config"] = config
        values["compositions"] = {"one": values["compositions"]["one"]}
        values["self_test"]["cases"] = []
        values["licences"] = {n: "MIT" for n in ("backbone", "part/relu", "part/one.head")}
        values["backbone"].update(hidden_size=size, layers=layers)

    change_manifest(home, change)
    put_arrays(home, "relu", {n: numbers.standard_normal(s) for n, s in shapes.items()})
    put_arrays(home, "one.head", {"bias": np.zeros(3), "weight": np.ones((3, size))})
    bundle = open_bundle(home)
    with pytest.raises(BundleError, match=message):
        check_backbone(bundle, tiny_folder, backbone)


def put_arrays(home: Path, part: str, tensors: dict[str, np.ndarray], dtype: str = "F32") -> None:
    form = {"F32": np.float32, "F16": np.float16}[dtype]
    types = {name: TensorType(dtype, tensors[name].shape) for name in sorted(tensors)}
    body = b"".join(tensors[name].astype(form).tobytes() for name in types)
    said = {name: str(type_) for name, type_ in types.items()}
    put_part(home, part, header_bytes(types) + body, said)


def test_weights_in_float16_are_run_as_the_numbers_that_they_are(home: Path, backbone: Backbone):
    bundle = open_bundle(home)
    for part in ("relu", "fused.mix", "fused.head"):
        put_arrays(home, part, bundle.read_part(part), "F16")
    narrow = {"fused": open_composition(open_bundle(home), "fused", backbone)}
    for part in ("relu", "fused.mix", "fused.head"):
        rounded = open_bundle(home).read_part(part)
        put_arrays(home, part, {n: a.astype(np.float32) for n, a in rounded.items()})
    wide = {"fused": open_composition(open_bundle(home), "fused", backbone)}
    assert answers(narrow) == answers(wide)


def test_weights_that_are_finite_and_too_large_fail_the_self_test(home: Path, backbone: Backbone):
    bundle = open_bundle(home)
    tensors = bundle.read_part("relu")
    put_arrays(home, "relu", {name: np.full_like(one, 3e38) for name, one in tensors.items()})
    predictor = open_composition(open_bundle(home), "one", backbone)
    logits = predictor.logits(predictor.encode([Example(text=TEXTS[0])]))[0]
    assert not torch.isfinite(logits).all()
    with pytest.raises(BundleError, match="self-test: 'turn on the lamp' is off by nan"):
        self_test(open_bundle(home), backbone)


def test_one_changed_weight_fails_the_self_test(home: Path, backbone: Backbone):
    tensors = open_bundle(home).read_part("one.head")
    tensors["bias"][0] += 0.01
    put_arrays(home, "one.head", tensors)
    with pytest.raises(BundleError, match="one: self-test: 'turn on the lamp' is off by"):
        self_test(open_bundle(home), backbone)


def test_a_longer_input_than_the_backbone_takes_is_refused(home: Path, tiny_folder: Path):
    change_manifest(home, lambda values: values["backbone"].update(max_tokens=2**20))
    limit = open_bundle(home).manifest.backbone.max_tokens
    with pytest.raises(BackboneError, match="max_tokens 1048576: the backbone takes at most 64"):
        open_backbone(tiny_folder, precision="float32", max_tokens=limit)


def run_changed(home: Path, backbone: Backbone, original: Manifest) -> bool:
    """Open a bundle and run what is new in it; False where it is refused in our words."""
    try:
        bundle = open_bundle(home)
        for name, record in bundle.manifest.compositions.items():
            if _same(name, bundle.manifest, original):
                continue
            predictor = open_composition(bundle, name, backbone)
            found = predictor.predict([Example(text=TEXTS[0])])
            values = {one.value for one in found}
            assert record.type != "text-classification" or values <= set(record.labels)
    except ComposerError:
        return False
    return True


def _same(name: str, new: Manifest, old: Manifest) -> bool:
    record = new.compositions[name]
    return record == old.compositions.get(name) and all(
        new.parts[part].config == old.parts[part].config for part in record.parts
    )


CONFIGS: dict[str, tuple[object, ...]] = {
    "placement": ("houlsby", "pfeiffer"),
    "middle_layers": (1, 2, 3),
    "width": (3, 4, 6, 10**12),
    "train_norm": (True, False),
    "bias": (True, False),
    "leave_out": ([], [0], [0, 1]),
    "scaling": (0.5, -1.0, 1e38, "learned"),
    "non_linearity": ("relu", "gelu", "tanh"),
    "form": ("sequential", "parallel"),
}
EXPRESSIONS = (
    *("none", "relu", "mid2 > relu", "fuse(relu, mid2)", "fuse(mid2, relu, none)"),
    *("gate(mid2, relu, none)", "fuse(relu, low)", "average(relu, low)", "swish > low > mid3"),
    *("gate(relu, mid3)", "gate(mid3, relu) > swish", "fuse(relu > mid2, none, mid3)"),
    *("fuse(none, average(relu, mid2), mid3)", "fuse(swish > mid2, relu, none)"),
)


def redescribed(values: dict[str, Any], chance: random.Random) -> None:
    """Say of a part or a composition what might well be so, and is not."""
    if chance.random() < 0.5:
        name = chance.choice(("relu", "low", "low2", "mid2", "mid3", "swish"))
        key = chance.choice(list(CONFIGS))
        values["parts"][name]["config"][key] = chance.choice(CONFIGS[key])
        return
    record = values["compositions"][chance.choice(("one", "fused", "gated", "mean"))]
    record["expression"] = str(parse_composition(chance.choice(EXPRESSIONS)))
    owned = [name for name in record["parts"] if name.endswith(".mix")]
    record["parts"] = [*adapter_names(parse_composition(record["expression"])), *owned]


def fuzz(home: Path, backbone: Backbone, count: int) -> int:
    """Change what says how parts are run; the lists of tensors are held by hash and shape."""
    path, original = home / "manifest.json", (home / "manifest.json").read_bytes()
    whole, accepted, before = json.loads(original), 0, open_bundle(home).manifest
    for seed in range(count):
        values, chance = json.loads(original), random.Random(seed)
        if seed % 3 == 0:
            values["compositions"] = mutated(whole["compositions"], chance)
        elif seed % 3 == 1:
            name = chance.choice(list(values["parts"]))
            values["parts"][name]["config"] = mutated(whole["parts"][name]["config"], chance)
        else:
            redescribed(values, chance)
        path.write_bytes(original)
        change_manifest(home, lambda old, new=values: old.update(new))
        accepted += run_changed(home, backbone, before)
    path.write_bytes(original)
    return accepted


def test_a_changed_description_is_refused_or_run_as_it_says(
    home: Path, backbone: Backbone, standing: dict[str, Predictor]
):
    before = answers(standing)
    assert 0 < fuzz(home, backbone, 90) < 60
    assert answers(standing) == before


@pytest.mark.slow
def test_five_thousand_changed_descriptions_are_refused_or_run_as_they_say(
    home: Path, backbone: Backbone
):
    assert fuzz(home, backbone, 5000) < 3500
