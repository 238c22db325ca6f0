"""A device graph in the precision of its frozen weights, and as the two files of a bundle.

    float32       as trained
    int8          products of 8-bit numbers, the activations rounded as they come: the fastest
    weight-int8   weights in 8 bits, widened for each product: nearly as exact as float32

In both of the small ones the token embeddings are kept in 8 bits a number, with a scale a row.
What is trained stays float32: it is an input. Quantisation is ONNX Runtime's own.

Sources: dynamic quantisation, Zafrir et al., 2019 (Q8BERT, section 2.1); weight-only, blocks of
32 with a scale each, as in ONNX Runtime's MatMulNBits.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from composer.bundle.graphs import WEIGHTS, GraphRecord
from composer.bundle.header import header_bytes
from composer.bundle.tensors import tensor_types
from composer.errors import BackboneError
from composer.model.families import Encoder
from composer.model.graph import build_graph

SMALL = 256  # bytes; a constant that is shorter, and no weight, stays in the structure
BLOCK = 32  # weights that share a scale, weight-int8
LIMIT = 2**31 - 1  # bytes of an ONNX graph while it is made


@dataclass(frozen=True, kw_only=True)
class GraphFiles:
    """Graphs of one backbone as they are stored.

    Attributes:
        structures: Name -> bytes of the `.onnx` file; its weights are marked as external, with
            their places in `graph.safetensors`, so that any ONNX Runtime loads it by its path.
        weights: Name -> array of all that the structures name.
    """

    structures: dict[str, bytes]
    weights: dict[str, np.ndarray]


def make_graphs(encoder: Encoder, records: Mapping[str, GraphRecord]) -> GraphFiles:
    """Make graphs of one backbone and take their weights out.

    Args:
        encoder: The frozen encoder.
        records: Name of a graph -> what it can run, and in which precision.

    Raises:
        BackboneError: The backbone is too large for one graph.
    """
    size = sum(weight.nbytes for weight in encoder.weights.values())
    if size > LIMIT:
        raise BackboneError(
            f"the backbone's weights have {size:,} bytes; a device graph holds {LIMIT:,}"
        )
    # The norms are stored in any case: where a graph takes norms as inputs, these are the
    # backbone's, for sites where a composition trained none.
    weights = {name: one for name, one in encoder.weights.items() if "norm_" in name}
    models: dict[str, ModelProto] = {}
    for name, record in records.items():
        models[name] = _in_precision(encoder, record)
        weights |= _take_weights(models[name], encoder)
    places = _places(weights)
    for model in models.values():
        _mark_external(model, places)
    structures = {
        name: model.SerializeToString(deterministic=True) for name, model in models.items()
    }
    return GraphFiles(structures=structures, weights=weights)


def _in_precision(encoder: Encoder, record: GraphRecord) -> ModelProto:
    narrow = record.precision != "float32"
    model = build_graph(encoder, record.signature, narrow_tokens=narrow, shape=record.shape)
    if record.precision == "int8":
        return _dynamic(model)
    return _weight_only(model) if record.precision == "weight-int8" else model


def _dynamic(model: ModelProto) -> ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        target = Path(folder) / "graph.onnx"
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(str(target))


def _weight_only(model: ModelProto) -> ModelProto:
    with _quiet():
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        quantizer = MatMulNBitsQuantizer(
            model, bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=4
        )
        quantizer.process()
    return quantizer.model.model  # type: ignore[no-any-return]


def _take_weights(model: ModelProto, encoder: Encoder) -> dict[str, np.ndarray]:
    """Take the large constants out of a graph; what is left of each is name, type and shape."""
    weights: dict[str, np.ndarray] = {}
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        if constant.name in encoder.weights or array.nbytes >= SMALL:
            weights[constant.name] = array
            for values in ("raw_data", "float_data", "int32_data", "int64_data"):
                constant.ClearField(values)
            constant.data_location = TensorProto.EXTERNAL
    del model.graph.value_info[:], model.metadata_props[:]  # a quantizer's notes to itself
    return weights


def _places(weights: Mapping[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    """Tell where each weight will lie in its file: first byte, and how many."""
    types = tensor_types(weights)
    end = len(header_bytes(types))
    places = {}
    for name, type_ in types.items():
        places[name] = (end, type_.bytes)
        end += type_.bytes
    return places


def _mark_external(model: ModelProto, places: Mapping[str, tuple[int, int]]) -> None:
    for constant in model.graph.initializer:
        if constant.data_location == TensorProto.EXTERNAL:
            start, length = places[constant.name]
            for key, value in (("location", WEIGHTS), ("offset", start), ("length", length)):
                entry = constant.external_data.add()
                entry.key, entry.value = key, str(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizers' advice to themselves, and their set-up of everybody's logging."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    import onnxruntime.quantization.matmul_nbits_quantizer  # noqa: F401 # sets logging up

    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
