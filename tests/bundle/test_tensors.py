import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from composer.bundle.header import HEADER_LIMIT, TensorType
from composer.bundle.tensors import DTYPES, parse_tensors, read_tensors, write_tensors
from composer.errors import AdapterError, ComposerError

NUMBERS = np.random.default_rng(0)
WEIGHTS: dict[str, np.ndarray] = {
    "0.output.up": NUMBERS.standard_normal((6, 2)).astype(np.float32),
    "0.output.down": NUMBERS.standard_normal((2, 6)).astype(np.float32),
    "nobody": np.zeros((6, 0), np.float32),
    "scale": np.array(0.5, np.float32),
}
SHAPES = {name: array.shape for name, array in WEIGHTS.items()}
ALL_TYPES: dict[str, np.ndarray] = {
    name.lower(): np.arange(5).astype(dtype) for name, dtype in DTYPES.items()
}


def raw(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one(dtype: object = "F32", shape: object = (2,), start: object = 0, end: object = 8) -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("tensors", [WEIGHTS, ALL_TYPES], ids=["weights", "all types"])
def test_what_is_written_reads_back_and_the_library_reads_it_too(
    tensors: dict[str, np.ndarray], tmp_path: Path
):
    write_tensors(tmp_path / "a", tensors)
    ours, theirs = read_tensors(tmp_path / "a"), load_file(tmp_path / "a")
    assert list(ours) == sorted(tensors)
    assert sorted(theirs) == sorted(tensors)
    for name, array in tensors.items():
        for read in (ours[name], theirs[name]):
            assert read.dtype == array.dtype
            np.testing.assert_array_equal(read, array)
        assert ours[name].flags.writeable
        assert ours[name].flags.aligned


def test_what_the_library_writes_is_read(tmp_path: Path):
    save_file(WEIGHTS, tmp_path / "a", metadata={"format": "pt"})
    read = read_tensors(tmp_path / "a", expected=SHAPES)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(read[name], array)


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path):
    write_tensors(tmp_path / "a", WEIGHTS)
    other_order = dict(reversed(WEIGHTS.items()))
    other_order["0.output.up"] = np.asfortranarray(other_order["0.output.up"])
    other_order["0.output.down"] = other_order["0.output.down"].astype(">f4")
    write_tensors(tmp_path / "b", other_order)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_all_arrays_that_cannot_be_written_are_named_at_once(tmp_path: Path):
    wrong = {
        "nan": np.array([1, np.nan], np.float32),
        "wide": np.zeros(2),
        "complex": np.zeros((2, 2), np.complex64),
    }
    with pytest.raises(
        AdapterError, match="(?s)'complex' is complex64.*'nan' .*not finite.*'wide' is float64"
    ):
        write_tensors(tmp_path / "a", wrong)
    assert list(tmp_path.iterdir()) == []


def test_missing_unexpected_and_misshapen_tensors_are_named_at_once(tmp_path: Path):
    write_tensors(tmp_path / "a", {**WEIGHTS, "0.output.upp": np.ones(3, np.float32)})
    expected = {**SHAPES, "0.output.down": (3, 6), "1.output.up": (6, 2)}
    with pytest.raises(AdapterError) as caught:
        read_tensors(tmp_path / "a", expected=expected, dtypes={"scale": "F16"})
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "a: tensor '0.output.down' is F32[2,6], not F32[3,6]",
        "a: tensor '0.output.upp' (F32[3]) is not expected; did you mean '0.output.up'?",
        "a: tensor '1.output.up' (F32[6,2]) is missing",
        "a: tensor 'scale' is F32[], not F16[]",
    ]


def test_a_thousand_faults_are_counted_and_twenty_shown():
    header = {f"t{i}": one(end=4 * i + 4, start=4 * i, shape=[1]) for i in range(1000)}
    with pytest.raises(AdapterError, match="and 980 more") as caught:
        parse_tensors(bytearray(raw(header, bytes(4000))), place="a", expected={})
    assert len(str(caught.value).splitlines()) == 21


FLOAT_NAN = struct.pack("<2f", 1.0, float("nan"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (b"\x10\0\0", "cut short"),
        (b"\xff" * 8 + b"{}", "cut short"),
        (struct.pack("<Q", 3) + b"{}", "cut short"),
        (raw(b"{" + b" " * HEADER_LIMIT + b"}"), "a header of .* bytes; at most"),
        (raw(b" {}"), "does not begin with a brace"),
        (b"\x80\x02}q\x00." * 20, "cut short"),  # a pickle
        (raw(b'{"a":1'), "column"),
        (raw(b'{"a":{},"a":{}}'), "the key 'a' is there twice"),
        (raw({"a": {"dtype": "F32"}}), "must have dtype, shape and data_offsets"),
        (raw({"a": {**one(), "x": 1}}, bytes(8)), "and nothing else"),
        (raw({"a": [1]}), "must have dtype"),
        (raw({"a": one("F33")}, bytes(8)), "'a' is of the type 'F33'; known: BOOL"),
        (raw({"a": one(["F32"])}, bytes(8)), "'a' is of the type"),
        (raw({"a": one("BF16", [4])}, bytes(8)), "'a' is BF16.4.; known: F32"),
        (raw({"a": one("F64", [1])}, bytes(8)), "'a' is F64.1.; known: F32"),
        (raw({"a": one(shape=[-2])}, bytes(8)), "'a' has the shape"),
        (raw({"a": one(shape=[True, 2])}, bytes(8)), "'a' has the shape"),
        (raw({"a": one(shape=[2.0])}, bytes(8)), "'a' has the shape"),
        (raw({"a": one(shape=[1] * 9)}, bytes(8)), "'a' has the shape"),
        (raw({"a": one(shape="2")}, bytes(8)), "'a' has the shape"),
        (raw({"a": one(start="0")}, bytes(8)), "'a' has the offsets"),
        (raw({"a": one(start=8, end=0)}, bytes(8)), "'a' is F32.2., 8 bytes, but its offsets"),
        (raw({"a": one(shape=[3])}, bytes(8)), "12 bytes, but its offsets say 8"),
        (raw({"a": one(shape=[2**30, 2**20])}, bytes(8)), "but its offsets say 8"),
        (raw({"a": one("U8", [2**31 - 1], end=2**31 - 1)}, bytes(8)), "are declared; 8 are there"),
        (raw({"a": one(shape=[2**60], end=2**62)}, bytes(8)), "'a' has the shape"),
        (raw({"a": one(shape=[2**63], end=2**65)}, bytes(8)), "more than 64 bits"),
        (raw({"a": one(shape=[0, 2**62], end=0)}), "'a' has the shape"),
        (raw({"a": one(), "b": one(start=4, end=12)}, bytes(12)), "'b' overlaps the one before"),
        (raw({"a": one(), "b": one()}, bytes(8)), "'b' overlaps"),
        (raw({"a": one(start=4, end=12)}, bytes(12)), "'a' leaves a gap"),
        (raw({"a": one()}, bytes(9)), "8 bytes are declared; 9 are there"),
        (raw({"a": one()}, bytes(7)), "8 bytes are declared; 7 are there"),
        (raw({"a": one()}, FLOAT_NAN), "'a' holds a number that is not finite"),
        (raw({"a": one("F16", [4])}, b"\0\x7c" + bytes(6)), "not finite"),
        (raw({"a": one("F16", [4])}, b"\0\xfc" + bytes(6)), "not finite"),
        (raw({"a": one("BOOL", [8])}, b"\0\1\0\1\2\0\0\0"), "neither 0 nor 1"),
        (raw({"a b": one()}, bytes(8)), "without spaces"),
        (raw({"a\n": one()}, bytes(8)), "without spaces"),
        (raw({"": one()}, bytes(8)), "1 to 256 printable"),
    ],
    ids=range(41),
)
def test_a_file_that_does_not_add_up_is_refused(data: bytes, message: str, tmp_path: Path):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(AdapterError, match=f"a: .*{message}"):
        read_tensors(tmp_path / "a")


def test_a_larger_file_than_allowed_is_refused(tmp_path: Path):
    write_tensors(tmp_path / "a", WEIGHTS)
    with pytest.raises(AdapterError, match="at most 100 are read"):
        read_tensors(tmp_path / "a", max_bytes=100)


def test_a_symbolic_link_is_refused(tmp_path: Path):
    write_tensors(tmp_path / "a", WEIGHTS)
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(AdapterError, match="is a symbolic link"):
        read_tensors(tmp_path / "b")


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_of_the_header_raises_only_our_errors(at: int, byte: int):
    header = {"a": one(), "b": one("I64", [1], 8, 16)}
    data = bytearray(raw(header, bytes(16)))
    data[at % (len(data) - 16)] = byte
    try:
        parse_tensors(data, place="a")
    except ComposerError:
        return


@pytest.mark.parametrize("text", ["F32", "F33[2]", "F32[02]", "F32[2,]", "F32[-1]", "F32[2] ", ""])
def test_what_is_no_tensor_type_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a tensor's type"):
        TensorType.parse(text)
