"""Bundles of an attacker who knows the format: nothing is accepted, nothing is half loaded."""

import json
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from composer.bundle.fingerprint import fingerprints_of
from composer.bundle.graphs import WEIGHTS
from composer.device.bundle import Bundle
from composer.errors import BackboneError, BundleError, ComposerError
from composer.model.backbone import open_backbone
from tests.bundle.content import change_manifest
from tests.device.homes import Task, change_weights, put_file, write_home
from tests.tiny import SENTENCES, write_tiny_backbone

GRAPH = "graph.onnx"


def refused(folder: Path, message: str, *, error: type[ComposerError] = BundleError) -> None:
    """Hold that a bundle is refused when it is opened, and that the message can be printed."""
    with pytest.raises(error, match=message) as caught:
        Bundle.open(folder, threads=1)
    said = str(caught.value)
    assert said.replace("\n", "").isprintable()
    assert len(said) < 14_000


def unusable(folder: Path, message: str) -> None:
    """Hold that a bundle opens, and that its graph is refused, again and again."""
    bundle = Bundle.open(folder, threads=1)
    for _ in range(2):
        with pytest.raises(BundleError, match=message) as caught:
            bundle.use("one").predict(SENTENCES)
        assert str(caught.value).replace("\n", "").isprintable()


def change_graph(folder: Path, change: Callable[[ModelProto], object]) -> None:
    """Change a graph's structure and reseal the bundle."""
    model = onnx.load_model_from_string((folder / GRAPH).read_bytes())
    change(model)
    put_file(folder, GRAPH, model.SerializeToString(deterministic=True))


@pytest.mark.parametrize("flips", [1000, pytest.param(4000, marks=pytest.mark.slow)])
def test_no_changed_byte_of_any_file_is_accepted_in_a_folder_and_in_a_zip(
    attacked: Path, tmp_path: Path, flips: int
):
    from composer.bundle.writer import pack_bundle

    zipped, chance, accepted, tried = tmp_path / "home.zip", random.Random(7), [], 0
    pack_bundle(attacked, zipped)
    files = [path for path in sorted(attacked.rglob("*")) if path.is_file()]
    assert {attacked / GRAPH, attacked / WEIGHTS} < {*files}
    share, more = divmod(flips // 2, len(files))
    counts = {path: share + (number < more) for number, path in enumerate(files)}
    for path, count in {**counts, zipped: flips // 2}.items():
        whole, opened = path.read_bytes(), zipped if path == zipped else attacked
        for at in np.linspace(0, len(whole) - 1, count, dtype=int).tolist():
            data = bytearray(whole)
            data[at] ^= chance.randrange(1, 256)
            path.write_bytes(data)
            tried += 1
            try:
                Bundle.open(opened, threads=1)
            except BundleError:
                continue
            accepted.append((path.name, at))
        path.write_bytes(whole)
        Bundle.open(opened, threads=1).use("one")
    assert (tried, accepted) == (flips, [])


def rename_input(model: ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["upper_mine" if one == "upper_up.0" else one for one in node.input]
    next(one for one in model.graph.input if one.name == "upper_up.0").name = "upper_mine"


def drop_input(name: str, *shape: int, kind: type = np.float32) -> Callable[[ModelProto], None]:
    """Turn an input into a constant of the graph."""

    def change(model: ModelProto) -> None:
        (found,) = (one for one in model.graph.input if one.name == name)
        model.graph.input.remove(found)
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, kind), name))

    return change


def more_input(kind: int = TensorProto.FLOAT) -> Callable[[ModelProto], None]:
    value = helper.make_tensor_value_info("more\n", kind, ["batch"])
    return lambda model: model.graph.input.append(value)


def sequence_input(model: ModelProto) -> None:
    value = helper.make_tensor_sequence_value_info("more", TensorProto.FLOAT, ["batch"])
    model.graph.input.append(value)


def retype(name: str, kind: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        (found,) = (one for one in model.graph.input if one.name == name)
        found.type.tensor_type.elem_type = kind

    return change


def reshape(name: str, *shape: int | str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        values = [*model.graph.input, *model.graph.output]
        (found,) = (one for one in values if one.name == name)
        kind = found.type.tensor_type.elem_type
        found.CopyFrom(helper.make_tensor_value_info(name, kind, list(shape)))

    return change


def rename_output(model: ModelProto) -> None:
    model.graph.node[-1].output[0] = model.graph.output[0].name = "answers"


def more_outputs(model: ModelProto) -> None:
    value = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["a", "b", "c"])
    model.graph.node.append(helper.make_node("Relu", ["logits"], ["pooled"]))
    model.graph.output.append(value)


def shadowed_input(model: ModelProto) -> None:
    """Give an input a default: some runtimes then ignore what they are fed."""
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "head_bias"))


AT_LOADING = {
    "an input renamed": (rename_input, "input 'upper_up.0' is missing, not tensor"),
    "an input too many": (more_input(), r"input 'more\\n' is not in its signature"),
    "an input of another kind": (sequence_input, "not in its signature|cannot load"),
    "an input too few": (drop_input("head_bias", 3), "input 'head_bias' is missing"),
    "an input with a default": (shadowed_input, "input 'head_bias' is missing"),
    "no mask": (
        drop_input("attention_mask", 1, 1, kind=np.int64),
        "input 'attention_mask' is missing",
    ),
    "tokens of another type": (
        retype("input_ids", TensorProto.INT32),
        r"input 'input_ids' is tensor\(int32\)",
    ),
    "an input of another type": (retype("pooling", TensorProto.DOUBLE), "cannot load"),
    "an input of another shape": (
        reshape("head_bias", 1),
        r"input 'head_bias' is tensor\(float\)\[1\]",
    ),
    "one batch only": (
        reshape("input_ids", 1, "tokens"),
        r"input 'input_ids' is tensor\(int64\)\[1, 'tokens'\]",
    ),
    "another output": (rename_output, "its outputs are 'answers'"),
    "two outputs": (more_outputs, "its outputs are 'logits' .*, 'pooled'"),
    "another output's shape": (reshape("logits", "batch", "rows", 7), "its outputs are 'logits'"),
}


@pytest.mark.parametrize("what", AT_LOADING)
def test_a_graph_that_is_not_what_its_signature_says_is_refused(attacked: Path, what: str):
    change, message = AT_LOADING[what]
    change_graph(attacked, change)
    unusable(attacked, message)


def append(*nodes: Any, constant: np.ndarray | None = None) -> Callable[[ModelProto], None]:
    """Let nodes turn `before` into `logits`."""

    def change(model: ModelProto) -> None:
        model.graph.node[-1].output[0] = "before"
        model.graph.node.extend(nodes)
        if constant is not None:
            model.graph.initializer.append(numpy_helper.from_array(constant, "mine"))

    return change


def node(kind: str, *inputs: str, **more: Any) -> Any:
    return helper.make_node(kind, inputs, ["logits"], **more)


def endless(model: ModelProto) -> None:
    """Count to 2^50."""
    for number, name in ((0, "zero"), (1, "step"), (2**50, "far")):
        model.graph.initializer.append(numpy_helper.from_array(np.array(number), name))
    model.graph.node.append(helper.make_node("Range", ["zero", "far", "step"], ["counted"]))
    model.graph.node.append(helper.make_node("Cast", ["counted"], ["floats"], to=1))
    append(node("Add", "before", "floats"))(model)


def short_constant(model: ModelProto) -> None:
    """Announce a constant of 2^31 numbers, and give one."""
    constant = TensorProto(name="mine", dims=[2**31 - 1], data_type=TensorProto.FLOAT)
    constant.raw_data = b"\0\0\0\0"
    model.graph.initializer.append(constant)
    append(node("Add", "before", "mine"))(model)


WHEN_RUN = {
    "numbers that are none": (
        append(node("Mul", "before", "mine"), constant=np.array(np.nan, np.float32)),
        "gives outputs that are no numbers",
    ),
    "numbers without bound": (
        append(node("Mul", "before", "mine"), constant=np.array(np.inf, np.float32)),
        "gives outputs that are no numbers",
    ),
    "rows in the place of classes": (
        append(node("Transpose", "before", perm=[2, 1, 0])),
        r"gives \(3, 1, 8\), and \(8, 1, 3\) is asked for",
    ),
    "one dimension more": (
        append(node("Add", "before", "mine"), constant=np.ones((2, 1, 1, 1), np.float32)),
        r"its outputs are 'logits' tensor\(float\)\[2, 'batch'",
    ),
    "a count without end": (endless, "cannot load|cannot run"),
    "a constant that is cut short": (short_constant, "cannot load"),
    "a gather out of bounds": (
        append(
            helper.make_node("Gather", ["embeddings.positions", "mine"], ["row"]),
            helper.make_node("MatMul", ["row", "head_weight"], ["scored"]),
            node("Add", "before", "scored"),
            constant=np.array([[900]]),
        ),
        "cannot load|cannot run",
    ),
}


@pytest.mark.parametrize("what", WHEN_RUN)
def test_a_graph_that_computes_what_none_should_gives_no_answer(attacked: Path, what: str):
    change, message = WHEN_RUN[what]
    change_graph(attacked, change)
    unusable(attacked, message)


def loop(model: ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", "", "x"], ["y"], body=body))


def branch(model: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    made = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    model.graph.node.append(made)


def function(model: ModelProto) -> None:
    opset = helper.make_opsetid("", 21)
    model.functions.append(helper.make_function("f", "F", ["a"], ["b"], [], [opset]))


def elsewhere(model: ModelProto) -> None:
    constant = next(one for one in model.graph.initializer if one.external_data)
    constant.external_data[0].value = "/etc/passwd"


def grown(model: ModelProto) -> None:
    constant = next(one for one in model.graph.initializer if one.external_data)
    constant.dims[0] = 2**62


def taller(model: ModelProto) -> None:
    constant = next(one for one in model.graph.initializer if one.external_data)
    constant.dims[0] += 1


def retyped(model: ModelProto) -> None:
    constant = next(one for one in model.graph.initializer if one.external_data)
    constant.data_type = TensorProto.INT8


AT_OPENING = {
    "a loop": (loop, "field 6|operator 'Loop'"),
    "a branch": (branch, "field 6|operator 'If'"),
    "a function": (function, "field 25 of an ONNX model"),
    "a constant in a file of the device": (
        elsewhere,
        "says that a constant lies at 'location' '/etc/pass",
    ),
    "a constant larger than all": (grown, "is of no type that composer writes"),
    "a constant larger than its weight": (taller, r"tensor '.*' is F32\[.*\], not F32\[.*\]"),
    "a constant of another type": (retyped, r"tensor '.*' is F32\[.*\], not I8\["),
}


@pytest.mark.parametrize("what", AT_OPENING)
def test_a_graph_that_composer_would_not_write_is_refused_on_opening(attacked: Path, what: str):
    change, message = AT_OPENING[what]
    change_graph(attacked, change)
    refused(attacked, message)


def put(name: str, *, dtype: str = "float32", shape: tuple[int, ...] = ()) -> Callable:
    return lambda weights: weights.update({name: np.zeros(shape or weights[name].shape, dtype)})


def poison(number: float) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda weights: weights["0.wide.weight"].reshape(-1).__setitem__(5, number)


WEIGHT_ATTACKS = {
    "one missing": (lambda w: w.pop("1.wide.weight"), r"tensor '1.wide.weight' \(F32.*missing"),
    "a norm missing": (lambda w: w.pop("1.output.norm_bias"), "'1.output.norm_bias'.*missing"),
    "one too many": (
        put("1.wide.wait", shape=(3,)),
        "tensor '1.wide.wait' is in no graph; did you mean '1.wide.weight'",
    ),
    "one misshapen": (put("0.wide.weight", shape=(64, 32)), r"is F32\[64,32\], not F32\[32,64\]"),
    "one of another type": (put("0.wide.weight", dtype="float16"), r"is F16\[32,64\], not F32"),
    "no number": (poison(np.nan), "tensor '0.wide.weight' holds a number that is not finite"),
    "an infinite number": (poison(np.inf), "holds a number that is not finite"),
}


@pytest.mark.parametrize("what", WEIGHT_ATTACKS)
def test_frozen_weights_that_are_not_the_graphs_are_refused(attacked: Path, what: str):
    change, message = WEIGHT_ATTACKS[what]
    change_weights(attacked, change)
    refused(attacked, message)


def signature(**values: object) -> Callable[[Any], None]:
    return lambda manifest: manifest["graphs"]["graph"]["signature"].update(values)


SLOT = {"placement": "houlsby", "non_linearities": ["relu"], "middle_layers": 0}
LIES = {
    "it mixes": (signature(mixing=True), "input 'upper_read.0' is missing"),
    "it takes norms": (signature(norms=True), "input 'norm_weight.0' is missing"),
    "it takes a stack": (signature(lower=SLOT), "input 'lower_down.0' is missing"),
    "it takes middle layers": (
        signature(upper={**SLOT, "middle_layers": 1}),
        "input 'upper_middle_0.0' is missing",
    ),
    "it takes another non-linearity": (
        signature(upper={**SLOT, "non_linearities": ["gelu", "relu"]}),
        "input 'upper_gelu' is missing",
    ),
}


@pytest.mark.parametrize("what", LIES)
def test_a_signature_that_promises_too_much_is_refused(attacked: Path, what: str):
    change, message = LIES[what]
    change_manifest(attacked, change)
    unusable(attacked, message)


MANIFEST_LIES = {
    "another placement": (
        signature(upper={**SLOT, "placement": "pfeiffer"}),
        "compositions.one: graph: 'graph' cannot run 'relu'",
    ),
    "no adapters": (signature(upper=None), "graph: 'graph' cannot run 'relu'"),
    "no graph for a composition": (
        lambda manifest: manifest["compositions"]["one"].update(graph=None),
        "compositions.one: graph: says none",
    ),
    "a graph that is not there": (
        lambda manifest: manifest["compositions"]["one"].update(graph="graph-2"),
        "compositions.one: graph: no graph 'graph-2'",
    ),
    "longer texts than there are positions": (
        lambda manifest: manifest["backbone"].update(max_tokens=1000),
        "'embeddings.positions' has 64 rows, and a text may have 1000 tokens",
    ),
    "one layer more": (lambda manifest: manifest["backbone"].update(layers=3), "2.*missing"),
    "another hidden size": (lambda manifest: manifest["backbone"].update(hidden_size=64), "32"),
}


@pytest.mark.parametrize("what", MANIFEST_LIES)
def test_a_manifest_that_does_not_fit_its_graph_is_refused(attacked: Path, what: str):
    change, message = MANIFEST_LIES[what]
    change_manifest(attacked, change)
    refused(attacked, message)


def test_a_composition_is_not_run_by_the_graph_of_another_placement(home: Path, tmp_path: Path):
    folder = Path(shutil.copytree(home, tmp_path / "home"))
    change_manifest(folder, lambda values: values["compositions"]["low"].update(graph="graph"))
    refused(folder, "compositions.low: graph: 'graph' cannot run 'low > low2'")


def test_a_second_graph_that_is_missing_is_told(home: Path, tmp_path: Path):
    folder = Path(shutil.copytree(home, tmp_path / "home"))
    (folder / "graph-2.onnx").unlink()
    refused(folder, "'graph-2.onnx' is missing")
    change_manifest(folder, lambda values: values["files"].pop("graph-2.onnx"))
    refused(folder, "files: 'graph-2.onnx' is missing")
    change_manifest(folder, lambda values: values["graphs"].pop("graph-2"))
    refused(folder, "compositions.low: graph: no graph 'graph-2'")


def write_other(target: Path, **shape: int) -> Path:
    """Write the bundle of one composition for another backbone."""
    folder = write_tiny_backbone(target.with_name("other"), seed=5, **shape)
    other = open_backbone(folder, precision="float32")
    return write_home(target, other, folder, tasks={"one": Task("relu")})


def take_graph(folder: Path, other: Path) -> None:
    for name in (GRAPH, WEIGHTS):
        put_file(folder, name, (other / name).read_bytes())


@pytest.mark.parametrize("shape", [{"size": 16}, {"layers": 3}, {"layers": 1}], ids=str)
def test_a_graph_of_a_backbone_of_another_shape_is_refused(
    attacked: Path, tmp_path: Path, shape: dict[str, int]
):
    take_graph(attacked, write_other(tmp_path / "that", **shape))
    with pytest.raises(BundleError, match="tensor|input"):
        Bundle.open(attacked, threads=1).use("one")


def test_a_graph_of_another_backbone_of_the_same_shape_fails_the_self_test(
    attacked: Path, tmp_path: Path
):
    take_graph(attacked, write_other(tmp_path / "that"))
    with pytest.raises(BundleError, match="one: self-test: 'lamp' is off by"):
        Bundle.open(attacked, threads=1).self_test()


def put_tokenizer(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the tokenizer and make every hash and fingerprint match."""
    values = json.loads((folder / "tokenizer.json").read_text())
    change(values)
    data = json.dumps(values).encode()
    put_file(folder, "tokenizer.json", data)
    tensors = json.loads((folder / "backbone.json").read_text())["tensors"]
    digest = sha256(data).hexdigest()
    prints = fingerprints_of(tensors, tokenizer=digest)
    change_manifest(
        folder,
        lambda manifest: manifest["backbone"].update(
            tokenizer=digest, body=prints.body, vocabulary=prints.vocabulary
        ),
    )


TOKENIZERS = {
    "an id without a row": (lambda t: t["model"]["vocab"].update(lamp=110), "110"),
    "a search without end": (
        lambda t: t.update(
            pre_tokenizer={
                "type": "Split",
                "pattern": {"Regex": "(a+)+b"},
                "behavior": "Isolated",
                "invert": False,
            }
        ),
        "may take for ever",
    ),
    "no model": (lambda t: t.pop("model"), "tokenizer.json"),
}


@pytest.mark.parametrize("what", TOKENIZERS)
def test_a_tokenizer_that_does_not_fit_the_graph_or_harms_is_refused(attacked: Path, what: str):
    change, message = TOKENIZERS[what]
    put_tokenizer(attacked, change)
    refused(attacked, message, error=BackboneError)


def test_a_bundle_that_is_changed_after_it_was_opened_is_not_used(attacked: Path):
    bundle = Bundle.open(attacked, threads=1)
    file = attacked / "parts" / "relu.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleError, match="relu.safetensors is damaged"):
        bundle.use("one")
    file.write_bytes(whole)
    bundle.use("one")
    bundle = Bundle.open(attacked, threads=1)
    (attacked / GRAPH).write_bytes(b"")
    with pytest.raises(BundleError, match="graph.onnx"):
        bundle.use("one")
