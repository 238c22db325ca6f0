"""Named arrays in a safetensors file: the same arrays give the same bytes.

    write_tensors(folder / "adapter.safetensors", {"0.output.down": array, ...})
    read_tensors(folder / "adapter.safetensors", expected={"0.output.down": (24, 384), ...})

Tensors lie in the order of their names. Types: F32, F16, I64, I32, U8, I8, BOOL. Every number is
finite. Reading takes as much memory as the file has bytes, and at most `max_bytes`.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from composer.bundle.files import open_regular, unfinished_file
from composer.bundle.header import HEADER_LIMIT, Entry, TensorType, header_bytes, read_header
from composer.errors import AdapterError, ComposerError, did_you_mean

MAX_BYTES = 2**30
FAULTS_SHOWN = 20
DTYPES: dict[str, np.dtype] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays; the file appears complete or not at all.

    Raises:
        AdapterError: For an array that is not finite or of another type, all at once.
    """
    types = tensor_types(tensors, place=str(path))
    with unfinished_file(path) as file:
        file.write(header_bytes(types))
        for name, type_ in types.items():
            array = np.ascontiguousarray(tensors[name], dtype=DTYPES[type_.dtype])
            file.write(array.tobytes())


def read_tensors(
    path: Path,
    *,
    expected: Mapping[str, Sequence[int]] | None = None,
    dtypes: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
    error: type[ComposerError] = AdapterError,
) -> dict[str, np.ndarray]:
    """Read arrays from a file that may come from anywhere.

    Args:
        path: A plain file; a symbolic link is refused.
        expected: Name -> shape of every tensor; None: whatever is there.
        dtypes: Name -> type of those expected tensors that are not F32.
        max_bytes: A larger file is refused.
        error: Raised for any fault; missing, unexpected and misshapen tensors all at once.
    """
    with open_regular(path, error=error) as (file, size):
        if size > max_bytes:
            raise error(f"{path} has {size:,} bytes; at most {max_bytes:,} are read")
        data = bytearray(size)
        if file.readinto(data) != size:
            raise error(f"{path} changed while it was read")
    types = None
    if expected is not None:
        types = {
            name: TensorType((dtypes or {}).get(name, "F32"), tuple(shape))
            for name, shape in expected.items()
        }
    return parse_tensors(data, place=str(path), expected=types, error=error)


def parse_tensors(
    data: bytearray,
    *,
    place: str,
    expected: Mapping[str, TensorType] | None = None,
    error: type[ComposerError] = AdapterError,
) -> dict[str, np.ndarray]:
    """Read arrays, sorted by name, out of a file's bytes, which they share."""
    head = io.BytesIO(data[: 8 + HEADER_LIMIT])
    entries = read_header(head, len(data), place=place, error=error)
    types = {name: entry.type for name, entry in sorted(entries.items())}
    faults = _differences(types, types if expected is None else expected)
    faults += [
        f"tensor {name!r} is {type_}; known: {', '.join(DTYPES)}"
        for name, type_ in types.items()
        if type_.dtype not in DTYPES
    ]
    _raise(faults, place, error)
    arrays = {name: _array(data, entries[name]) for name in types}
    found = {name: _fault(array) for name, array in arrays.items()}
    _raise([f"tensor {name!r} {fault}" for name, fault in found.items() if fault], place, error)
    return arrays


def tensor_types(tensors: Mapping[str, np.ndarray], *, place: str = "") -> dict[str, TensorType]:
    """Tell the types of arrays that can be written, sorted by name.

    >>> print(*tensor_types({"bias": np.zeros(3, np.float32)}).values())
    F32[3]
    """
    types, faults = {}, []
    for name, array in sorted(tensors.items()):
        dtype = _NAMES.get(array.dtype.newbyteorder("<"))
        fault = _fault(array) if dtype else f"is {array.dtype}; written: {', '.join(DTYPES)}"
        if fault:
            faults.append(f"tensor {name!r} {fault}")
        elif dtype:
            types[name] = TensorType(dtype, array.shape)
    _raise(faults, place, AdapterError)
    return types


def _array(data: bytearray, entry: Entry) -> np.ndarray:
    dtype = DTYPES[entry.type.dtype]
    array = np.frombuffer(data, dtype, entry.type.elements, entry.start).reshape(entry.type.shape)
    return array if array.flags.aligned else array.copy()


def _fault(array: np.ndarray) -> str | None:
    if array.size == 0:  # a fusion of adapters none of which acts at a site
        return None
    if array.dtype.kind == "b" and array.view(np.uint8).max() > 1:
        return "holds a truth value that is neither 0 nor 1"
    if array.dtype.kind == "f":  # the extremes carry a NaN, and need no second array
        with np.errstate(invalid="ignore"):
            if not (np.isfinite(array.max()) and np.isfinite(array.min())):
                return "holds a number that is not finite"
    return None


def _differences(found: Mapping[str, TensorType], expected: Mapping[str, TensorType]) -> list[str]:
    faults: list[str] = []
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            faults.append(f"tensor {name!r} ({expected[name]}) is missing")
        elif name not in expected:
            hint = did_you_mean(name, expected) if len(faults) < FAULTS_SHOWN else ""
            faults.append(f"tensor {name[:200]!r} ({found[name]}) is not expected; {hint}")
        elif found[name] != expected[name]:
            faults.append(f"tensor {name!r} is {found[name]}, not {expected[name]}")
    return faults


def _raise(faults: Sequence[str], place: str, error: type[ComposerError]) -> None:
    if not faults:
        return
    shown = [f"{place}: {fault}" if place else fault for fault in faults[:FAULTS_SHOWN]]
    more = len(faults) - len(shown)
    raise error("\n".join([*shown, f"and {more:,} more"] if more else shown))
