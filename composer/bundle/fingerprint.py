"""Fingerprints: which backbone it is, by the bytes of its weights and not by its name.

    body        every weight but the token embeddings
    vocabulary  the token embeddings and `tokenizer.json`

A backbone is the bare encoder: a prefix that a task's model gives its names (`bert.`) is
taken off; heads, the pooler and buffers are left out. So the same encoder has the same
fingerprints with a head or without, in one file or in shards. A copy in another number
format has others. A tensor's digest is the SHA-256 of `F32[384,384]`, a new line, and its
bytes; `body` is the SHA-256 of lines of name and digest, sorted by name.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from composer.bundle.files import check_name, read_json, sha256_file
from composer.bundle.header import TensorType, read_header
from composer.errors import BackboneError, ComposerError

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"

_PREFIX = re.compile(
    r"(?:bert|roberta|xlm_roberta|distilbert|camembert|electra|albert|mpnet|deberta|model)\."
)
# What a head or a pooler is called, in the models of `transformers`.
_HEAD = re.compile(
    r"(?:cls|lm_head|classifier|pre_classifier|pooler|predictions|qa_outputs|score|head|mlm_head"
    r"|vocab_transform|vocab_layer_norm|vocab_projector|generator_predictions"
    r"|generator_lm_head|discriminator_predictions|lm_predictions|mask_predictions)\.|decoder\.(?:weight|bias)$"
)
_BUFFER = re.compile(r"(?:^|\.)(?:position_ids|token_type_ids|inv_freq)$")
_TOKEN_EMBEDDINGS = re.compile(
    r"(?:^|\.)(?:word_embeddings|tok_embeddings|embed_tokens|wte|shared)\.weight$"
)
_CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class Fingerprints:
    """What an adapter is bound to.

    Attributes:
        body: Of all weights but the token embeddings; 64 hex digits.
        vocabulary: Of the token embeddings and the tokenizer; 64 hex digits.
    """

    body: str
    vocabulary: str


@dataclass(frozen=True)
class StoredTensor:
    """Where a weight lies, and what it is.

    Attributes:
        file: A safetensors file.
        type: Type and shape.
        start: Its first byte in the file.
    """

    file: Path
    type: TensorType
    start: int

    def chunks(self) -> Iterator[bytes]:
        """Read its bytes, piece by piece.

        Raises:
            BackboneError: The file cannot be read, or was cut meanwhile.
        """
        with _open_weights(self.file) as file:
            file.seek(self.start)
            left = self.type.bytes
            while left:
                chunk = file.read(min(left, _CHUNK))
                if not chunk:
                    raise BackboneError(f"{self.file} changed while it was read")
                left -= len(chunk)
                yield chunk


def canonical_name(name: str) -> str | None:
    """Name a tensor as the bare encoder does; None for what is no part of it.

    >>> canonical_name("bert.encoder.layer.0.output.LayerNorm.gamma")
    'encoder.layer.0.output.LayerNorm.weight'
    >>> canonical_name("cls.predictions.bias") is None
    True
    """
    name = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
    if _HEAD.match(name) or _BUFFER.search(name):
        return None
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):  # as early BERTs are stored
        if name.endswith(f"LayerNorm{old}"):
            name = name.removesuffix(old) + new
    return name


def is_token_embedding(name: str) -> bool:
    """Say whether a tensor, by its canonical name, has a row for each token.

    >>> is_token_embedding("embeddings.word_embeddings.weight")
    True
    """
    return _TOKEN_EMBEDDINGS.search(name) is not None


def fingerprint_folder(folder: Path) -> Fingerprints:
    """Fingerprint the backbone in a folder: its safetensors weights and `tokenizer.json`."""
    digests = tensor_digests(folder)
    tokenizer = folder / TOKENIZER
    if tokenizer.exists() and not tokenizer.is_file():  # to open a pipe is to wait for ever
        raise BackboneError(f"{tokenizer} is no plain file")
    return fingerprints_of(
        digests, tokenizer=sha256_file(tokenizer, error=BackboneError), place=str(folder)
    )


def fingerprints_of(
    digests: Mapping[str, str],
    *,
    tokenizer: str,
    place: str = "backbone",
    error: type[ComposerError] = BackboneError,
) -> Fingerprints:
    """Put tensors' digests and the tokenizer's SHA-256 together.

    Raises:
        ComposerError: As `error` says, if there are no token embeddings, or nothing else.
    """
    vocabulary = {name: digests[name] for name in digests if is_token_embedding(name)}
    body = {name: digests[name] for name in digests if name not in vocabulary}
    if not vocabulary or not body:
        missing = "no token embeddings" if not vocabulary else "nothing but token embeddings"
        raise error(f"{place}: {missing} among {len(digests)} tensors")
    return Fingerprints(
        body=_digest(body), vocabulary=_digest({**vocabulary, TOKENIZER: tokenizer})
    )


def tensor_digests(folder: Path) -> dict[str, str]:
    """Digest every weight of the backbone in a folder: canonical name -> SHA-256, sorted.

    Raises:
        BackboneError: If the weights are missing, damaged, or there twice.
    """
    return {name: _tensor_digest(stored) for name, stored in stored_tensors(folder).items()}


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Say where every weight of the backbone in a folder lies: canonical name -> place, sorted.

    Raises:
        BackboneError: If the weights are missing, damaged, or there twice.
    """
    found: dict[str, StoredTensor] = {}
    for stored_name, stored in named_tensors(folder):
        name = canonical_name(stored_name)
        if name in found:
            raise BackboneError(f"{stored.file}: the tensor {name!r} is there twice")
        if name is not None:
            found[name] = stored
    return dict(sorted(found.items()))


def named_tensors(folder: Path) -> Iterator[tuple[str, StoredTensor]]:
    """Say where every tensor in a folder lies, heads and all, by the name that its file has.

    Raises:
        BackboneError: If the weights are missing or damaged.
    """
    for path in weight_files(folder):
        with _open_weights(path) as file:
            size = os.fstat(file.fileno()).st_size
            entries = read_header(file, size, place=str(path), error=BackboneError)
        for name, entry in entries.items():
            yield name, StoredTensor(path, entry.type, entry.start)


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a backbone: one, or the shards that its index names.

    Raises:
        BackboneError: If there are none, or a shard's name is no plain file name.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / SHARDS).is_file():
        raise BackboneError(
            f"{folder} has no {WEIGHTS} and no {SHARDS}; only safetensors weights are read"
        )
    index = read_json((folder / SHARDS).resolve(), error=BackboneError)
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BackboneError(f"{folder / SHARDS} has no `weight_map`")
    for shard in shards.values():
        if not isinstance(shard, str) or "/" in check_name(shard, error=BackboneError):
            raise BackboneError(f"{folder / SHARDS}: {shard!r} is not the name of a file")
    return [folder / shard for shard in sorted(set(shards.values()))]


@contextmanager
def _open_weights(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file; a link is followed (hub caches are made of them), a pipe is not."""
    if not path.is_file() and path.exists():
        raise BackboneError(f"{path} is no plain file")
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as fault:
        raise BackboneError(f"{path} cannot be read: {fault.strerror or fault}") from fault


def _tensor_digest(stored: StoredTensor) -> str:
    hashed = hashlib.sha256(f"{stored.type}\n".encode())
    for chunk in stored.chunks():
        hashed.update(chunk)
    return hashed.hexdigest()


def _digest(digests: Mapping[str, str]) -> str:
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
