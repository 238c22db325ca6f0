"""A graph from elsewhere is loaded only if it holds nothing but what composer writes."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from composer.bundle.graphs import GraphRecord, Signature
from composer.bundle.header import TensorType
from composer.device.structure import LIMIT, read_structure
from composer.errors import BundleError
from composer.model.families import read_encoder
from composer.model.graph_files import make_graphs
from tests.tiny import write_tiny_backbone


def model(*nodes: object, constants: tuple[object, ...] = (), **more: object):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(constants))
    return helper.make_model(graph, **more)


def add(**more: object):
    return helper.make_node("Add", ["x", "c"], ["y"], **more)


def subgraph() -> object:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    return helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "inner", [], [value])


def external(
    name: str = "c", *, key: str = "location", value: str = "graph.safetensors"
) -> TensorProto:
    constant = numpy_helper.from_array(np.ones(100, np.float32), name)
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    entry = constant.external_data.add()
    entry.key, entry.value = key, value
    return constant


def with_training() -> object:
    made = model(add())
    made.training_info.add()
    return made


REFUSED = {
    "another operator": (
        model(helper.make_node("Loop", ["x"], ["y"])),
        "the operator 'Loop' is none that",
    ),
    "another library's operator": (
        model(helper.make_node("Add", ["x"], ["y"], domain="evil")),
        "the operator 'evil:Add' is none that",
    ),
    "an operator where it does not belong": (
        model(helper.make_node("MatMulNBits", ["x"], ["y"])),
        "the operator 'MatMulNBits' is none that",
    ),
    "a subgraph": (
        model(helper.make_node("Add", ["x"], ["y"], body=subgraph())),
        "field 6 of an ONNX attribute",
    ),
    "a tensor in an attribute": (
        model(helper.make_node("Add", ["x"], ["y"], value=external())),
        "field 5 of an ONNX attribute",
    ),
    "a function": (
        model(
            add(),
            functions=[
                helper.make_function("f", "F", ["a"], ["b"], [], [helper.make_opsetid("", 21)])
            ],
        ),
        "field 25 of an ONNX model",
    ),
    "training": (with_training(), "field 20 of an ONNX model"),
    "a constant in another file": (
        model(add(), constants=(external(value="../../etc/passwd"),)),
        "says that a constant lies at 'location' '../../etc/passwd'; all",
    ),
    "a constant at no place": (
        model(add(), constants=(external(key="checksum", value="1"),)),
        "says that a constant lies at 'checksum' '1'",
    ),
    "a constant at a negative place": (
        model(add(), constants=(external(key="offset", value="-8"),)),
        "says that a constant lies at 'offset' '-8'",
    ),
    "a constant twice": (
        model(add(), constants=(external(), external())),
        "the constant 'c' is named twice",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_graph_that_composer_would_not_write_is_refused(what: str):
    hostile, message = REFUSED[what]
    with pytest.raises(BundleError, match=f"^home: {message}"):
        read_structure(hostile.SerializeToString(), place="home")


def test_constants_that_lie_elsewhere_are_named():
    inside = numpy_helper.from_array(np.ones(3, np.float32), "small")
    data = model(add(), constants=(external("far"), inside)).SerializeToString()
    found = read_structure(data, place="home")
    assert found.external == {"far": TensorType("F32", (100,))}
    assert found.nodes == 1


def test_no_bytes_at_all_and_no_graph_and_too_many_bytes_are_refused():
    for data in (b"", model().SerializeToString() * 2):
        with pytest.raises(BundleError, match="graphs; there must be one"):
            read_structure(data, place="home")
    with pytest.raises(BundleError, match="a graph's structure has at most"):
        read_structure(b"\0" * (LIMIT + 1), place="home")


def test_every_damaged_graph_is_refused_or_read_and_raises_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
):
    from composer.model.backbone import open_backbone

    folder = write_tiny_backbone(tmp_path_factory.mktemp("tiny"))
    encoder = read_encoder(open_backbone(folder, precision="float32"))
    record = GraphRecord(signature=Signature(), precision="float32")
    whole = make_graphs(encoder, {"graph": record}).structures["graph"]
    assert len(read_structure(whole, place="home").external) > 20
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        at = int(random.integers(len(data)))
        if random.random() < 0.3:
            del data[at:]
        else:
            data[at] ^= int(random.integers(1, 256))
        try:
            read_structure(bytes(data), place="home")
        except BundleError:
            refused += 1
    assert refused > 500
