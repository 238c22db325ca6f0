"""What a graph file may hold: checked field by field before ONNX Runtime reads a byte of it.

A structure is an ONNX model (protocol buffers; numbers of fields as in onnx.proto, IR 10) whose
large constants lie elsewhere. From others it could hold more: control flow that never ends,
functions, operators of other libraries, constants in files of the device. None of that is what
composer writes, so all of it is refused: a field, an operator or a constant is known or the
graph is not loaded. What the operators compute, and how much memory that takes, is the
author's: ask for a signature where that matters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.bundle.graphs import WEIGHTS
from composer.bundle.header import TensorType
from composer.errors import BundleError

LIMIT = 16 * 2**20  # bytes
LARGEST = 2**31 - 1  # length of a constant
OPERATORS = {
    "": frozenset(
        "Add Cast Concat CumSum DequantizeLinear DynamicQuantizeLinear Equal Gather Gelu "
        "LayerNormalization MatMul MatMulInteger Mul Not Range Relu Reshape Shape Sigmoid Softmax "
        "Split Squeeze Sub Tanh Transpose Unsqueeze".split()
    ),
    "com.microsoft": frozenset({"MatMulNBits"}),
}

_EXTERNAL = 1  # TensorProto.DataLocation
# TensorProto.DataType -> the type as a safetensors file calls it
_DTYPES = {1: "F32", 2: "U8", 3: "I8", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16"}
_COUNTS = ("offset", "length")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Message -> the fields that composer writes; the numbers are onnx.proto's.
_FIELDS = {
    "model": {1: "ir_version", 2: "producer_name", 3: "producer_version", 7: "graph", 8: "opset"},
    "graph": {1: "node", 2: "name", 5: "initializer", 11: "input", 12: "output"},
    "node": {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 7: "domain"},
    "attribute": {1: "name", 2: "f", 3: "i", 4: "s", 7: "floats", 8: "ints", 20: "type"},
    "initializer": {
        1: "dims",
        2: "data_type",
        4: "float_data",
        5: "int32_data",
        7: "int64_data",
        8: "name",
        9: "raw_data",
        13: "external_data",
        14: "data_location",
    },
    "place": {1: "key", 2: "value"},
}


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a graph file says of itself.

    Attributes:
        nodes: How many.
        external: Name -> type of the constants that lie elsewhere, in order.
        told: Name -> all that is said of where such a constant lies, in order.
    """

    nodes: int
    external: Mapping[str, TensorType]
    told: Mapping[str, tuple[tuple[str, str], ...]]


def read_structure(data: bytes, *, place: str) -> Structure:
    """Check a graph file.

    Raises:
        BundleError: It is damaged, or holds what composer does not write.
    """
    if len(data) > LIMIT:
        raise BundleError(
            f"{place}: {len(data):,} bytes; a graph's structure has at most {LIMIT:,}"
        )
    graphs = [value for field, value in _fields(data, "model", place) if field == "graph"]
    if len(graphs) != 1 or not isinstance(graphs[0], bytes):
        raise BundleError(f"{place}: {len(graphs)} graphs; there must be one")
    nodes, names, external, told = 0, set(), {}, {}
    for field, value in _fields(graphs[0], "graph", place):
        if field == "node":
            nodes += 1
            _check_node(_message(value, place), place)
        if field == "initializer":
            constant = _read_constant(_message(value, place), place)
            if constant.name in names:
                raise BundleError(f"{place}: the constant {constant.name[:80]!r} is named twice")
            names.add(constant.name)
            if constant.outside:
                external[constant.name] = constant.type(place)
                told[constant.name] = constant.told
    return Structure(nodes=nodes, external=external, told=told)


@dataclass
class _Constant:
    """An initializer while it is read."""

    name: str = ""
    number: int = 0  # of its type
    shape: tuple[int, ...] = ()
    outside: bool = False
    told: tuple[tuple[str, str], ...] = ()

    def type(self, place: str) -> TensorType:
        if self.number not in _DTYPES or max(self.shape, default=0) > LARGEST:
            raise BundleError(
                f"{place}: the constant {self.name[:80]!r} is of no type that composer writes"
            )
        return TensorType(_DTYPES[self.number], self.shape)


def _check_node(data: bytes, place: str) -> None:
    found: dict[str, str] = {"domain": "", "op_type": ""}
    for field, value in _fields(data, "node", place):
        if field == "attribute":
            for _ in _fields(_message(value, place), "attribute", place):
                pass  # a subgraph or a tensor is a field that is not known
        elif field in found:
            found[field] = _text(value, place)
    if found["op_type"] not in OPERATORS.get(found["domain"], ()):
        name = ":".join(filter(None, (found["domain"], found["op_type"])))
        raise BundleError(f"{place}: the operator {name[:80]!r} is none that composer writes")


def _read_constant(data: bytes, place: str) -> _Constant:
    found = _Constant()
    for field, value in _fields(data, "initializer", place):
        if field == "name":
            found.name = _text(value, place)
        if field == "dims":
            found.shape += _numbers(value, place)
        if field == "data_type" and isinstance(value, int):
            found.number = value
        if field == "data_location":
            found.outside = found.outside or value == _EXTERNAL
        if field == "external_data":
            found.outside = True
            found.told += (_read_place(_message(value, place), place),)
    return found


def _fields(data: bytes, message: str, place: str) -> Iterator[tuple[str, int | bytes]]:
    """Go through the fields of a message: name and value; an unknown one is a fault."""
    known = _FIELDS[message]
    at = 0
    while at < len(data):
        tag, at = _varint(data, at, place)
        number, wire = tag >> 3, tag & 7
        if number not in known:
            raise BundleError(
                f"{place}: field {number} of an ONNX {message} is none that composer writes"
            )
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(data, at, place)
        elif wire in (_BYTES, _FIXED32, _FIXED64):
            length = {_FIXED32: 4, _FIXED64: 8}.get(wire)
            if length is None:
                length, at = _varint(data, at, place)
            value, at = data[at : at + length], at + length
        else:
            raise BundleError(f"{place}: damaged (wire type {wire} in an ONNX {message})")
        if at > len(data):
            raise BundleError(f"{place}: damaged (an ONNX {message} is cut short)")
        yield known[number], value


def _varint(data: bytes, at: int, place: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BundleError(f"{place}: damaged (a number is cut short)")


def _read_place(data: bytes, place: str) -> tuple[str, str]:
    """Hold a constant's place to the bundle's own file: others load a graph by its path."""
    said = {name: _text(value, place) for name, value in _fields(data, "place", place)}
    key, value = said.get("key", ""), said.get("value", "")
    if not (value == WEIGHTS if key == "location" else key in _COUNTS and value.isdecimal()):
        raise BundleError(
            f"{place}: says that a constant lies at {key[:80]!r} {value[:80]!r}; all lie in "
            f"{WEIGHTS!r}"
        )
    return key, value


def _numbers(value: int | bytes, place: str) -> tuple[int, ...]:
    """Give the numbers of a repeated field: one, or several packed."""
    if isinstance(value, int):
        return (value,)
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at, place)
        found.append(number)
    return tuple(found)


def _message(value: int | bytes, place: str) -> bytes:
    if not isinstance(value, bytes):
        raise BundleError(f"{place}: damaged (a number where a message belongs)")
    return value


def _text(value: int | bytes, place: str) -> str:
    try:
        return _message(value, place).decode()
    except UnicodeDecodeError as fault:
        raise BundleError(f"{place}: damaged (a name is not UTF-8)") from fault
