"""Write a frozen encoder as an ONNX graph that takes its adapters as inputs.

What the inputs are called and what is computed from them is said in `composer.bundle.graphs`.
The graph is put together node by node, and not traced: so every input keeps its name and the
names of its lengths, the same backbone gives the same bytes, and no tracer is needed.
"""

import math
from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from composer.bundle.graphs import (
    LOGITS,
    TOKEN_INPUTS,
    TOKENS,
    Dimensions,
    FixedShape,
    Signature,
    Slot,
    adapter_inputs,
    slot_sites,
    with_lengths,
)
from composer.model.families import Encoder
from composer.recipe.grammar.adapters import NonLinearity

Attribute = int | float | str | Sequence[int]

OPSET = 21
IR_VERSION = 10  # of ONNX 1.16, the first with this opset: runtimes refuse a later one

_HIDDEN = -10_000.0  # added to the attention of padding; exp of it is 0 in float32
_ACTIVATIONS: dict[NonLinearity, str] = {
    "relu": "Relu",
    "gelu": "Gelu",
    "tanh": "Tanh",
}


def build_graph(
    encoder: Encoder,
    signature: Signature,
    *,
    narrow_tokens: bool = False,
    shape: FixedShape | None = None,
) -> ModelProto:
    """Make the graph, the frozen weights inside.

    Args:
        encoder: The frozen encoder.
        signature: What the graph can run.
        narrow_tokens: Keep the token embeddings in 8 bits, each row with a scale of its own.
        shape: Of every call; None: any.
    """

    def value(name: str, type_: int, dimensions: Dimensions) -> ValueInfoProto:
        return helper.make_tensor_value_info(
            name, type_, with_lengths(dimensions, shape, size=encoder.size)
        )

    graph = _Graph(encoder, signature, narrow_tokens=narrow_tokens)
    graph.write()
    inputs = [
        value(name, TensorProto.INT64, TOKENS)
        for name in TOKEN_INPUTS
        if name != "token_type_ids" or encoder.types
    ]
    trained = adapter_inputs(signature, size=encoder.size, layers=encoder.layers)
    inputs += [value(name, TensorProto.FLOAT, shape_) for name, shape_ in trained.items()]
    logits = value("logits", TensorProto.FLOAT, LOGITS)
    return helper.make_model(
        helper.make_graph(graph.nodes, "composer", inputs, [logits], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="composer",
    )


def narrowed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round each row to 8 bits: whole numbers from -127 to 127, and a factor for each row.

    >>> narrowed(np.array([[1.0, -2.0]], np.float32))[0].tolist()
    [[64, -127]]
    """
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12) / np.float32(127.0)
    return np.rint(rows / scales).astype(np.int8), scales.astype(np.float32)


class _Graph:
    """The nodes and constants written so far; a method writes nodes and gives their output."""

    def __init__(self, encoder: Encoder, signature: Signature, *, narrow_tokens: bool) -> None:
        self.encoder, self.signature, self.narrow_tokens = encoder, signature, narrow_tokens
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._known: set[str] = set()
        self._slots = [
            (name, slot, {site: row for row, site in enumerate(slot_sites(slot, encoder.layers))})
            for name, slot in (("lower", signature.lower), ("upper", signature.upper))
            if slot is not None
        ]

    def write(self) -> None:
        hidden = self._couple(self._embed())
        hidden_tokens = self._node("Cast", "attention_mask", to=TensorProto.FLOAT)
        padding = self._node("Mul", self._minus(1.0, hidden_tokens), self._number(_HIDDEN))
        mask = self._node("Unsqueeze", padding, self._whole([1, 2]))  # (batch, 1, 1, tokens)
        for layer in range(self.encoder.layers):
            mixed = self._attend(layer, hidden, mask)
            hidden = self._site(layer, "attention", mixed, hidden)
            wide = self._activation(self.encoder.activation, self._linear(f"{layer}.wide", hidden))
            hidden = self._site(layer, "output", self._linear(f"{layer}.narrow", wide), hidden)
        pooled = self._node("MatMul", "pooling", hidden)  # (batch, rows, size)
        scored = self._node("MatMul", self._dense(pooled), "head_weight")
        self._node("Add", scored, "head_bias", output="logits")

    def _dense(self, pooled: str) -> str:
        """Pass vectors through the first of a head's two layers, (batch, rows, size)."""
        acts, name = self.signature.heads, "head_dense"
        if not acts:
            return pooled
        product = self._node("MatMul", pooled, name)
        passed = self._act("head", acts, self._sum(product, f"{name}_bias"))
        return self._chosen(f"{name}_mask", passed, pooled)

    def _embed(self) -> str:
        places = self._node("Gather", self._weight("embeddings.positions"), self._positions())
        total = self._node("Add", self._tokens(), places)
        if self.encoder.types:
            types = self._node("Gather", self._weight("embeddings.types"), "token_type_ids")
            total = self._node("Add", total, types)
        return self._norm(total, "embeddings.norm")

    def _couple(self, hidden: str) -> str:
        """Move the embeddings: first by F, then by G."""
        if not self.signature.invertible:
            return hidden
        name = "embeddings"
        for row in (0, 1):
            down = self._node("MatMul", hidden, self._row(f"{name}_down", row))
            narrow = self._sum(down, self._row(f"{name}_down_bias", row))
            units = self._act(name, self.signature.invertible, narrow)
            up = self._node("MatMul", units, self._row(f"{name}_up", row))
            hidden = self._sum(hidden, self._sum(up, self._row(f"{name}_up_bias", row)))
        return hidden

    def _tokens(self) -> str:
        """Look up the token embeddings, (batch, tokens, size)."""
        if not self.narrow_tokens:
            return self._node("Gather", self._weight("embeddings.tokens"), "input_ids")
        rows, scales = narrowed(self.encoder.weights["embeddings.tokens"])
        narrow = self._node("Gather", self._constant("embeddings.tokens_int8", rows), "input_ids")
        scale = self._node("Gather", self._constant("embeddings.scales", scales), "input_ids")
        return self._node("Mul", self._node("Cast", narrow, to=TensorProto.FLOAT), scale)

    def _positions(self) -> str:
        """Give each token's row of the position embeddings."""
        encoder = self.encoder
        if encoder.counted_pad is None:
            length = self._node("Shape", "input_ids", start=1, end=2)
            return self._node(
                "Range",
                self._whole(0),
                self._node("Squeeze", length),
                self._whole(1),
            )
        counted = self._node(
            "Not", self._node("Equal", "input_ids", self._whole(encoder.counted_pad))
        )
        ones = self._node("Cast", counted, to=TensorProto.INT64)
        place = self._node("Mul", self._node("CumSum", ones, self._whole(1)), ones)
        return self._node("Add", place, self._whole(encoder.first_position - 1))

    def _attend(self, layer: int, hidden: str, mask: str) -> str:
        heads, size = self.encoder.heads, self.encoder.size // self.encoder.heads

        def split(name: str, order: Sequence[int]) -> str:
            projected = self._linear(f"{layer}.{name}", hidden)
            shaped = self._node("Reshape", projected, self._whole([0, 0, heads, size]))
            return self._node("Transpose", shaped, perm=order)

        query, value = split("query", [0, 2, 1, 3]), split("value", [0, 2, 1, 3])
        products = self._node("MatMul", query, split("key", [0, 2, 3, 1]))
        scores = self._node("Mul", products, self._number(1.0 / math.sqrt(size)))
        shares = self._node("Softmax", self._node("Add", scores, mask), axis=-1)
        joined = self._node("Transpose", self._node("MatMul", shares, value), perm=[0, 2, 1, 3])
        flat = self._node("Reshape", joined, self._whole([0, 0, heads * size]))
        return self._linear(f"{layer}.mixed", flat)

    def _site(self, layer: int, where: str, hidden: str, residual: str) -> str:
        """Let both slots act, then add the residual and take the norm."""
        norm = f"{layer}.{where}.norm"
        for name, slot, rows in self._slots:
            if (layer, where) in rows:
                read = residual if slot.form == "parallel" else hidden
                if slot.form == "sequential" and slot.placement == "pfeiffer":
                    read = self._norm(self._node("Add", hidden, residual), norm)
                row = rows[layer, where]
                mixes = name == "upper" and self.signature.mixing
                added = self._mixed(slot, row, read) if mixes else self._slot(name, slot, row, read)
                hidden = self._node("Add", hidden, added)
        total = self._node("Add", hidden, residual)
        if not self.signature.norms:
            return self._norm(total, norm)
        row = 2 * layer + (where == "output")
        return self._normed(total, self._row("norm_weight", row), self._row("norm_bias", row))

    def _slot(self, name: str, slot: Slot, row: int, read: str) -> str:
        """Give what a slot adds at one site."""
        down = self._node("MatMul", read, self._row(f"{name}_down", row))
        narrow = self._sum(down, self._row(f"{name}_down_bias", row))
        units = self._units(name, slot, row, narrow)
        up, bias = self._row(f"{name}_up", row), self._row(f"{name}_up_bias", row)
        return self._sum(self._node("MatMul", units, up), bias)

    def _mixed(self, slot: Slot, row: int, read: str) -> str:
        """Give what the upper slot's members add together at one site, by their shares."""
        product = self._node("MatMul", read, self._row("upper_read", row))
        narrow, keys, direct = self._split(self._sum(product, self._row("upper_read_bias", row)))
        units = self._units("upper", slot, row, narrow)
        scores = self._node("MatMul", self._node("Mul", units, keys), "segments")
        shares = self._node("Softmax", self._sum(scores, direct), axis=-1)
        by_unit = self._node("MatMul", shares, self._node("Transpose", "segments", perm=[1, 0]))
        beside = self._node("Concat", self._node("Mul", units, by_unit), shares, axis=-1)
        return self._node("MatMul", beside, self._row("upper_out", row))

    def _split(self, wide: str) -> tuple[str, str, str]:
        """Take R, R and N columns apart."""
        units = self._node("Shape", "segments", start=0, end=1)
        members = self._node("Shape", "segments", start=1, end=2)
        lengths = self._node("Concat", units, units, members, axis=0)
        first = f"split_{len(self.nodes)}"
        names = (first, f"{first}_keys", f"{first}_direct")
        made = helper.make_node("Split", [wide, lengths], names, name=first, axis=-1)
        self.nodes.append(made)
        return names

    def _units(self, name: str, slot: Slot, row: int, narrow: str) -> str:
        units = self._act(name, slot.non_linearities, narrow)
        for depth in range(slot.middle_layers):
            units = self._middle(f"{name}_middle_{depth}", name, slot, row, units)
        return units

    def _middle(self, layer: str, name: str, slot: Slot, row: int, units: str) -> str:
        """Pass units through a middle layer; those that have none keep their values."""
        product = self._node("MatMul", units, self._row(layer, row))
        wide = self._sum(product, self._row(f"{layer}_bias", row))
        passed = self._act(name, slot.non_linearities, wide)
        return self._chosen(f"{layer}_mask", passed, units)

    def _chosen(self, mask: str, passed: str, before: str) -> str:
        """Take what was passed through a layer where the mask is 1, and what was before where 0."""
        kept = self._node("Mul", before, self._minus(1.0, mask))
        return self._node("Add", self._node("Mul", passed, mask), kept)

    def _act(self, name: str, non_linearities: tuple[NonLinearity, ...], values: str) -> str:
        """Apply each unit's own non-linearity."""
        if len(non_linearities) == 1:
            return self._non_linearity(non_linearities[0], values)
        found = [
            self._node("Mul", self._non_linearity(act, values), f"{name}_{act}")
            for act in non_linearities
        ]
        total = found[0]
        for one in found[1:]:
            total = self._sum(total, one)
        return total

    def _non_linearity(self, act: NonLinearity, values: str) -> str:
        if act == "swish":  # ONNX has it from opset 24 only
            return self._node("Mul", values, self._node("Sigmoid", values))
        return self._node(_ACTIVATIONS[act], values)

    def _activation(self, name: str, values: str) -> str:
        if name == "Gelu(tanh)":
            return self._node("Gelu", values, approximate="tanh")
        return self._node(name, values)

    def _linear(self, name: str, values: str) -> str:
        product = self._node("MatMul", values, self._weight(f"{name}.weight"))
        return self._sum(product, self._weight(f"{name}.bias"))

    def _norm(self, values: str, name: str) -> str:
        return self._normed(values, self._weight(f"{name}_weight"), self._weight(f"{name}_bias"))

    def _normed(self, values: str, weight: str, bias: str) -> str:
        epsilon = self.encoder.epsilon
        return self._node("LayerNormalization", values, weight, bias, axis=-1, epsilon=epsilon)

    def _row(self, name: str, row: int) -> str:
        return f"{name}.{row}"

    def _sum(self, one: str, other: str) -> str:
        return self._node("Add", one, other)

    def _minus(self, number: float, values: str) -> str:
        return self._node("Sub", self._number(number), values)

    def _node(self, op: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        name = output or f"{op.lower()}_{len(self.nodes)}"
        made = helper.make_node(op, inputs, [name], name=name, **attributes)  # type: ignore[arg-type]
        self.nodes.append(made)
        return name

    def _weight(self, name: str) -> str:
        return self._constant(name, self.encoder.weights[name])

    def _number(self, value: float) -> str:
        return self._constant(f"number {value:g}", np.array(value, np.float32))

    def _whole(self, value: int | list[int]) -> str:
        return self._constant(f"whole {value}", np.array(value, np.int64))

    def _constant(self, name: str, value: np.ndarray) -> str:
        if name not in self._known:
            self._known.add(name)
            self.constants.append(numpy_helper.from_array(value, name))
        return name
