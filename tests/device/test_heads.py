"""Heads of one layer and of two answer on a device what torch answers, out of one graph."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composer.bundle.editing import with_compositions
from composer.bundle.reader import open_bundle
from composer.bundle.tensors import read_tensors
from composer.data.examples import Example
from composer.device import adding
from composer.device.bundle import Bundle
from composer.device.session import Session
from composer.device.unpacking import unpack_bundle
from composer.errors import BundleError
from composer.model.backbone import Backbone
from composer.model.bundled import open_composition
from composer.recipe.grammar.bundles import StaticShape
from tests.bundle.content import change_manifest
from tests.device.homes import Task, write_home
from tests.device.test_bundle import bits, far, logits_of
from tests.tiny import SENTENCES

EXAMPLES = [Example(text=text) for text in SENTENCES]
TASKS = {
    "plain": Task("relu"),
    "tanh": Task("relu", between="tanh", pooling="first"),
    "gelu": Task("relu > mid2", classes=2, between="gelu"),
    "relu": Task("average(0.25 * relu, 0.75 * mid2)", "regression", 1, between="relu"),
    "swish": Task("none", between="swish"),
    "mixed": Task("fuse(relu, mid2, none)", "multi-label-classification", between="tanh"),
    "spans": Task("mid3", "token-classification", between="tanh"),
    "plain-spans": Task("mid3", "token-classification"),
}
ONE = {"plain": TASKS["plain"]}
TANH = {**ONE, "tanh": TASKS["tanh"]}


@pytest.fixture(scope="module")
def home(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("heads") / "home"
    return write_home(target, backbone, tiny_folder, tasks=TASKS)


@pytest.fixture(scope="module")
def two(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_home(tmp_path_factory.mktemp("two") / "two", backbone, tiny_folder, tasks=TANH)


@pytest.fixture
def attacked(two: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two, tmp_path / "attacked"))


@pytest.fixture
def own(backbone: Backbone, tiny_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a bundle for one test."""

    def write(name: str, tasks: dict[str, Task], **more: Any) -> Path:
        return write_home(tmp_path / name, backbone, tiny_folder, tasks=tasks, **more)

    return write


def torch_logits(home: Path, name: str, backbone: Backbone) -> list[np.ndarray]:
    predictor = open_composition(open_bundle(home), name, backbone)
    return [one.numpy() for one in predictor.logits(predictor.encode(EXAMPLES))]


def inputs_of(home: Path) -> set[str]:
    return set(Bundle.open(home, threads=1)._session("graph").inputs)  # noqa: SLF001


@pytest.mark.parametrize("name", TASKS)
def test_one_graph_answers_what_torch_answers_whatever_the_head(
    home: Path, backbone: Backbone, name: str
):
    bundle = Bundle.open(home, threads=1)
    assert list(bundle.manifest.graphs) == ["graph"]
    assert bundle.manifest.graphs["graph"].signature.heads == ("gelu", "relu", "swish", "tanh")
    got, expected = logits_of(bundle.use(name)), torch_logits(home, name, backbone)
    # Random weights make scores of hundreds, where a rounding of 1e-7 grows a thousandfold.
    assert far(got, expected) < (3e-4 if name == "mixed" else 2e-5)


def test_heads_are_swapped_without_another_session_and_change_no_bit(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    built: list[str] = []

    def counted(*given: object, place: str, **more: object) -> Session:
        built.append(place)
        return Session(*given, place=place, **more)

    monkeypatch.setattr("composer.device.bundle.Session", counted)
    bundle = Bundle.open(home, threads=1)
    before = {name: bits(bundle.use(name)) for name in TASKS}
    for name in [*TASKS, *reversed(TASKS)]:
        assert bits(bundle.use(name)) == before[name]
    assert built == [f"{home}: graph"]


def test_a_head_of_one_layer_passes_such_a_graph_unchanged(own: Callable[..., Path], two: Path):
    one, other = (Bundle.open(home, threads=1).use("plain") for home in (own("one", ONE), two))
    assert bits(one) == bits(other)


def test_without_heads_of_two_layers_nothing_is_said_of_them(own: Callable[..., Path], two: Path):
    alone = own("alone", ONE)
    assert not any("head_dense" in name for name in inputs_of(alone))
    assert inputs_of(two) - inputs_of(alone) == {
        "head_dense",
        "head_dense_bias",
        "head_dense_mask",
    }
    told = json.loads((alone / "manifest.json").read_text())
    assert "heads" not in told["graphs"]["graph"]["signature"]
    assert told["parts"]["plain.head"]["config"] == {"type": "text-classification"}


@pytest.mark.parametrize(("precision", "off"), [("int8", 0.3), ("weight-int8", 0.05)])
def test_a_small_graph_answers_nearly_as_torch_does(
    own: Callable[..., Path], backbone: Backbone, precision: str, off: float
):
    small = own("small", {**TANH, "gelu": TASKS["gelu"]}, precision=precision)
    bundle = Bundle.open(small, threads=1)
    for name in bundle.manifest.compositions:
        expected = torch_logits(small, name, backbone)
        assert 0 < far(logits_of(bundle.use(name)), expected) < off


def test_a_graph_of_one_shape_gives_what_a_graph_of_any_shape_gives(
    home: Path, own: Callable[..., Path]
):
    fixed = own("fixed", TASKS, static=StaticShape(batch=3, tokens=16))
    bundle, wide = Bundle.open(fixed, threads=1), Bundle.open(home, threads=1)
    for name in TASKS:
        assert far(logits_of(bundle.use(name)), logits_of(wide.use(name))) < 1e-4


def test_a_device_without_composer_is_given_both_layers(home: Path, tmp_path: Path):
    unpack_bundle(open_bundle(home), tmp_path / "assets")
    found = read_tensors(tmp_path / "assets/tanh.safetensors")
    plain = read_tensors(tmp_path / "assets/plain.safetensors")
    assert found["head_dense"].shape == (32, 32)
    assert found["head_tanh"].all()
    assert not found["head_relu"].any()
    assert found["head_dense_mask"].all()
    assert not plain["head_dense_mask"].any()
    assert not plain["head_dense"].any()


def test_a_composition_comes_into_a_bundle_whose_graph_can_run_its_head(
    own: Callable[..., Path], two: Path
):
    plain, tanh = own("plain", ONE), own("tanh", {"late": TASKS["tanh"]})
    _, off = adding.tested(with_compositions(open_bundle(two), open_bundle(tanh), names=[]))
    assert off["late"] < 1e-4
    with pytest.raises(BundleError, match="which needs .*heads of two layers tanh; "):
        with_compositions(open_bundle(plain), open_bundle(tanh), names=[])
    gelu = own("gelu", {"late": Task("relu", between="gelu")})
    with pytest.raises(BundleError, match="heads of two layers gelu; "):
        with_compositions(open_bundle(two), open_bundle(gelu), names=[])


def put(*keys: str, value: object) -> Callable[[Any], None]:
    def change(manifest: Any) -> None:
        inner = manifest
        for key in keys[:-1]:
            inner = inner[key]
        if value is None:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value

    return change


CONFIG = "parts", "tanh.head", "config"
GRAPH = "graphs", "graph", "signature", "heads"
LIES = {
    "one layer": (put(*CONFIG, "non_linearity", value=None), "says none, and the head has two"),
    "something else": (
        put(*CONFIG, "non_linearity", value="mish"),
        "parts.tanh.head: config: non_linearity: 'mish'; composer has relu, gelu, swish, tanh",
    ),
    "a list": (put(*CONFIG, "non_linearity", value=["tanh"]), r"non_linearity: \"\['tanh'\]\""),
    "two layers of one": (
        put("parts", "plain.head", "config", "non_linearity", value="tanh"),
        "parts.plain.head: config: non_linearity: 'tanh', and the head has one layer",
    ),
    "a graph that runs none": (put(*GRAPH, value=None), "compositions.tanh: graph: 'graph' cannot"),
    "a graph that runs others": (put(*GRAPH, value=["gelu"]), "'graph' cannot run 'relu'"),
    "no such non-linearity": (put(*GRAPH, value=["mish"]), "graphs.graph.signature.heads.0: Input"),
    "twice": (put(*GRAPH, value=["tanh", "tanh"]), "'graph' cannot run 'relu'"),
    "an empty list": (put(*GRAPH, value=[]), "not in canonical form|'graph' cannot"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_manifest_that_lies_about_heads_is_refused(attacked: Path, what: str):
    change, message = LIES[what]
    change_manifest(attacked, change)
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.open(attacked, threads=1)
    assert str(caught.value).replace("\n", "").isprintable()


def test_another_non_linearity_that_is_told_fails_the_self_test(own: Callable[..., Path]):
    home = own("home", {"gelu": TASKS["gelu"], "tanh": TASKS["tanh"]})
    change_manifest(home, put(*CONFIG, "non_linearity", value="gelu"))
    with pytest.raises(BundleError, match="tanh: self-test"):
        Bundle.open(home, threads=1).self_test()


def test_a_graph_that_promises_heads_of_two_layers_and_has_none_is_refused(
    own: Callable[..., Path],
):
    home = own("home", ONE)
    change_manifest(home, put(*GRAPH, value=["tanh"]))
    bundle = Bundle.open(home, threads=1)
    with pytest.raises(BundleError, match="input 'head_dense' is missing"):
        bundle.use("plain")
