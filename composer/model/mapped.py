"""A backbone's weights in one file that every process maps, so that memory holds them once.

    backbones/5f1c….weights
        9d33…                                               SHA-256 of all that follows
        {"encoder.layer.0…": ["BF16", [384, 384], 4096]}    JSON, then spaces
        …                                                   each tensor from a multiple of 64 on

The file's name is a digest of the backbone's fingerprints and of what lies in it, so another
backbone or precision is another file. Whoever comes first writes it, piece by piece; it appears
complete or not at all. It is hashed whenever it is opened, and written again if it was damaged.

Pages are mapped privately: processes share what none of them writes to, and a write would stay
with who made it. A tensor begins where an allocated one would, as the fastest product, and so
the last bit of it, may depend on that.
"""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import torch
from filelock import FileLock
from torch import Tensor, nn

from composer.bundle.files import unfinished_file, write_hashed
from composer.bundle.fingerprint import Fingerprints, StoredTensor
from composer.bundle.header import TensorType
from composer.bundle.jsontext import canonical_json
from composer.errors import StoreError
from composer.model.weights import check_weights, read_pieces

logger = logging.getLogger(__name__)

FORMAT = 1
_ALIGNED = 64  # bytes, as torch allocates
_DIGITS = 64  # of a SHA-256
_TYPES = {"F32": torch.float32, "BF16": torch.bfloat16}

Layout = dict[str, tuple[TensorType, int]]  # name -> what it is, and its first byte


def mapped_weights(
    module: nn.Module,
    folder: Path,
    *,
    narrow: Collection[str],
    fingerprints: Fingerprints,
    cache: Path,
    together: Iterable[Sequence[str]] = (),
) -> dict[str, Tensor]:
    """Give the weights of a module on the meta device, as views of a file in `cache`.

    Args:
        module: Whose names and shapes the weights must have.
        folder: Of the backbone.
        narrow: Names of the tensors that are kept in bfloat16; the others are float32.
        fingerprints: Of the folder's files, taken just now.
        cache: Folder of such files, made if it is not there.
        together: Names of tensors that lie one behind the other; see `side_by_side`.

    Raises:
        BackboneError: The folder does not hold what the module asks for.
        StoreError: The file cannot be written.
    """
    stored = check_weights(module, folder)
    types = {
        name: TensorType("BF16" if name in narrow else "F32", one.type.shape)
        for name, one in stored.items()
    }
    first = dict.fromkeys(name for names in together for name in names)
    types = {name: types[name] for name in dict.fromkeys([*first, *types])}
    about = {"format": FORMAT, "types": [[name, str(one)] for name, one in types.items()]}
    name = hashlib.sha256(canonical_json({**about, **asdict(fingerprints)})).hexdigest()
    path, layout = cache / f"{name}.weights", _layout(types)
    if not _is_whole(path):
        _make(path, layout, stored, folder)
    return _map(path, layout)


def side_by_side(tensors: Sequence[Tensor]) -> Tensor:
    """Give tensors of one width below each other; one view where they lie so in memory."""
    first, end = tensors[0], 0
    held = first.untyped_storage().data_ptr()
    for one in tensors:
        near = one.data_ptr() == first.data_ptr() + end
        if not (near and one.is_contiguous() and one.untyped_storage().data_ptr() == held):
            return torch.cat(list(tensors))
        end += one.nbytes
    rows = sum(len(one) for one in tensors)
    return first.as_strided((rows, *first.shape[1:]), first.stride())


def _layout(types: Mapping[str, TensorType]) -> Layout:
    """Say where tensors lie behind a header that tells as much."""
    said = {name: [one.dtype, list(one.shape)] for name, one in types.items()}
    room = len(json.dumps(said)) + 24 * len(said)  # the digits of where they begin
    end, layout = _DIGITS + 1 + room, {}
    for name, one in types.items():
        start = -(-end // _ALIGNED) * _ALIGNED
        layout[name] = (one, start)
        end = start + one.bytes
    return layout


def _make(path: Path, layout: Layout, stored: Mapping[str, StoredTensor], folder: Path) -> None:
    """Write the file, unless another process does while this one waits."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not _is_whole(path):
                with unfinished_file(path) as file:
                    write_hashed(file, _pieces(file, layout, stored, folder))
    except OSError as fault:
        raise StoreError(f"{path} cannot be written: {fault.strerror or fault}") from fault


def _pieces(
    file: BinaryIO, layout: Layout, stored: Mapping[str, StoredTensor], folder: Path
) -> Iterator[bytes]:
    said = {name: [one.dtype, list(one.shape), start] for name, (one, start) in layout.items()}
    yield json.dumps(said).encode()
    for name, (one, start) in layout.items():
        yield b" " * (start - file.tell())
        for piece in read_pieces(name, stored[name], folder):
            yield piece.to(_TYPES[one.dtype]).view(torch.uint8).numpy().tobytes()


def _is_whole(path: Path) -> bool:
    """Say whether the file is there and what was written; a damaged one is told."""
    with suppress(FileNotFoundError, NotADirectoryError), open(path, "rb") as file:
        said = file.read(_DIGITS + 1)[:_DIGITS]
        rest = hashlib.sha256()
        while chunk := file.read(2**20):
            rest.update(chunk)
        if rest.hexdigest().encode() == said:
            return True
        logger.warning("%s is damaged; it is made again", path)
    return False


def _map(path: Path, layout: Layout) -> dict[str, Tensor]:
    size = os.stat(path).st_size
    whole = torch.from_file(os.fspath(path), shared=False, size=size, dtype=torch.uint8)
    return {
        name: whole[start : start + one.bytes].view(_TYPES[one.dtype]).reshape(one.shape)
        for name, (one, start) in layout.items()
    }
