"""The header of a safetensors file: which tensor lies where, checked before a byte is used.

    8 bytes      length of the header, little endian
    header       {"0.output.down":{"dtype":"F32","shape":[24,384],"data_offsets":[0,36864]},...}
    the rest     the tensors' bytes, without gaps

A tensor's type is written `F32[24,384]`, in messages and in the manifest.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from composer.bundle.jsontext import parse_json
from composer.errors import AdapterError, ComposerError

HEADER_LIMIT = 8 * 2**20  # bytes
DIMENSIONS_LIMIT = 8
LENGTH_LIMIT = 2**31 - 1  # of a dimension
ELEMENTS_LIMIT = 2**56  # of a tensor, a length of 0 taken for 1: numpy counts strides that way
# Bytes an element, of all types of the format. Composer itself writes fewer: see `tensors`.
ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}

_NAME = re.compile("[!-~]{1,256}")
_SIZE = r"(?:0|[1-9][0-9]{0,9})"
_TYPE = re.compile(rf"([A-Z0-9_]+)\[({_SIZE}(?:,{_SIZE}){{0,{DIMENSIONS_LIMIT - 1}}})?\]")


@dataclass(frozen=True)
class TensorType:
    """Type and shape of a tensor.

    >>> TensorType("F32", (24, 384)).bytes
    36864
    >>> str(TensorType.parse("F32[24,384]"))
    'F32[24,384]'
    """

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """Write it as the manifest does."""
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How long the tensor is."""
        return self.elements * ITEM_BYTES[self.dtype]

    @classmethod
    def parse(cls, text: str) -> "TensorType":
        """Read what `str` writes.

        Raises:
            ValueError: If it is not a type; pydantic reports it with its place.
        """
        found = _TYPE.fullmatch(text)
        if found is None or found[1] not in ITEM_BYTES:
            raise ValueError(f"{text[:80]!r} is not a tensor's type; one is 'F32[24,384]'")
        shape = tuple(int(size) for size in (found[2] or "").split(",") if size)
        if any(one > LENGTH_LIMIT for one in shape):
            raise ValueError(f"{text[:80]!r} is too long; a dimension is at most {LENGTH_LIMIT:,}")
        return cls(found[1], shape)


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies in its file.

    Attributes:
        type: Type and shape.
        start: First byte, counted from the file's.
    """

    type: TensorType
    start: int


def header_bytes(types: Mapping[str, TensorType]) -> bytes:
    """Spell the header of tensors that lie one after another, in the mapping's order."""
    header: dict[str, object] = {}
    end = 0
    for name, type_ in types.items():
        start, end = end, end + type_.bytes
        header[name] = {
            "dtype": type_.dtype,
            "shape": list(type_.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return struct.pack("<Q", len(text)) + text


def read_header(
    file: BinaryIO, size: int, *, place: str, error: type[ComposerError] = AdapterError
) -> dict[str, Entry]:
    """Read a header and hold it to the file's size.

    Args:
        file: At its first byte; afterwards anywhere.
        size: Of the whole file, in bytes.
        place: For messages.
        error: Raised for any fault.

    Returns:
        The tensors in the order of their bytes.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise error(f"{place}: cut short, or no safetensors file ({size:,} bytes)")
    if length > HEADER_LIMIT:
        raise error(f"{place}: a header of {length:,} bytes; at most {HEADER_LIMIT:,} are read")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise error(f"{place}: no safetensors file: its header does not begin with a brace")
    header = parse_json(text, place=place, error=error)
    header.pop("__metadata__", None)  # the format allows free text there; nothing uses it
    found = [_entry(name, value, place, error) for name, value in header.items()]
    found.sort(key=lambda one: (one[1], one[2], one[0]))
    end = 0
    entries = {}
    for name, start, stop, type_ in found:
        if start != end:
            fault = "overlaps the one before" if start < end else "leaves a gap before it"
            raise error(f"{place}: tensor {name[:200]!r} {fault} (byte {start:,}, not {end:,})")
        entries[name] = Entry(type_, 8 + length + start)
        end = stop
    if 8 + length + end != size:
        raise error(
            f"{place}: tensors of {end:,} bytes are declared; {size - 8 - length:,} are there"
        )
    return entries


def _entry(
    name: str, value: object, place: str, error: type[ComposerError]
) -> tuple[str, int, int, TensorType]:
    where = f"{place}: tensor {name[:200]!r}"
    if not _NAME.fullmatch(name):
        raise error(f"{where} must have a name of 1 to 256 printable characters without spaces")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise error(f"{where} must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise error(f"{where} is of the type {str(dtype)[:40]!r}; known: {', '.join(ITEM_BYTES)}")
    if (
        not _whole_numbers(shape)
        or len(shape) > DIMENSIONS_LIMIT
        or any(one > LENGTH_LIMIT for one in shape)
        or math.prod(one or 1 for one in shape) > ELEMENTS_LIMIT
    ):
        raise error(f"{where} has the shape {str(shape)[:200]}")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise error(f"{where} has the offsets {str(offsets)[:200]}")
    type_ = TensorType(dtype, tuple(shape))
    if offsets[1] - offsets[0] != type_.bytes:
        raise error(
            f"{where} is {type_}, {type_.bytes:,} bytes, but its offsets say "
            f"{offsets[1] - offsets[0]:,}"
        )
    return name, offsets[0], offsets[1], type_


def _whole_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
