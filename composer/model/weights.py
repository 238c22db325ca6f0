"""Weights of a backbone from its files: every tensor where the config says, and no other.

The module comes without memory ("meta" tensors). All names, types and shapes are compared with
the headers of the files first, so what is then allocated is what lies on disk: a config cannot
ask for more. Tensors are read piece by piece; each number is finite. `composer.model.mapped`
puts them into one file that several processes share.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from composer.bundle.fingerprint import StoredTensor, stored_tensors
from composer.errors import BackboneError

WEIGHTS_LIMIT = 2**33  # bytes, of all tensors together
_FAULTS_SHOWN = 20
_TYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
}


def load_weights(module: nn.Module, folder: Path) -> None:
    """Give a module on the meta device the weights of a folder, in float32.

    Raises:
        BackboneError: Naming each tensor that is missing, too many, of another shape or type,
            or not finite.
    """
    stored = check_weights(module, folder)
    place_weights(module, {name: _read(name, one, folder) for name, one in stored.items()})


def read_weights(folder: Path, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Read all weights of a folder, in float32.

    Args:
        folder: Of a backbone.
        wanted: Name -> shape, of every tensor that is there.

    Raises:
        BackboneError: Naming each tensor that is missing, too many, of another shape or type,
            or not finite.
    """
    stored = stored_tensors(folder)
    _raise(folder, list(_differences(stored, wanted)))
    return {name: _read(name, one, folder) for name, one in stored.items()}


def check_weights(module: nn.Module, folder: Path) -> dict[str, StoredTensor]:
    """Say where the weights of a module lie, once they are known to be all of it.

    Raises:
        BackboneError: Naming each tensor that is missing, too many, or of another shape or type.
    """
    stored = stored_tensors(folder)
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    _raise(folder, list(_differences(stored, wanted)))
    size = sum(one.type.bytes for one in stored.values())
    if size > WEIGHTS_LIMIT:
        raise BackboneError(f"{folder}: weights of {size:,} bytes; at most {WEIGHTS_LIMIT:,}")
    return stored


def read_pieces(name: str, stored: StoredTensor, folder: Path) -> Iterator[Tensor]:
    """Read a tensor piece by piece, flat and in float32.

    Raises:
        BackboneError: It holds a number that is not finite.
    """
    for chunk in stored.chunks():
        piece = torch.frombuffer(bytearray(chunk), dtype=_TYPES[stored.type.dtype]).float()
        if not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(piece)):
            fault = f"{name} in {stored.file.name} holds a number that is not finite"
            _raise(folder, [fault])
        yield piece


def place_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let a module on the meta device have these tensors, and make those that are in no file."""
    module.load_state_dict(tensors, strict=True, assign=True)
    _fill_buffers(module)


def _differences(
    stored: Mapping[str, StoredTensor], wanted: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    for name in sorted(stored.keys() | wanted.keys()):
        if name not in stored:
            yield f"{name} {list(wanted[name])} is missing"
            continue
        type_, file = stored[name].type, stored[name].file.name
        if name not in wanted:
            yield f"{name} {type_} in {file} has no place in a model of this config"
        elif type_.shape != wanted[name]:
            yield f"{name} in {file} is {type_}, of another shape than {list(wanted[name])}"
        elif type_.dtype not in _TYPES:
            yield f"{name} in {file} is {type_}; weights are {', '.join(_TYPES)}"


def _read(name: str, stored: StoredTensor, folder: Path) -> Tensor:
    whole, at = torch.empty(stored.type.elements), 0
    for piece in read_pieces(name, stored, folder):
        whole[at : at + len(piece)] = piece
        at += len(piece)
    return whole.reshape(stored.type.shape)


def _fill_buffers(module: nn.Module) -> None:
    """Make the tensors that are in no file: positions counted up, and token types of zero."""
    for owner in module.modules():
        for name, buffer in owner.named_buffers(recurse=False):
            if name == "position_ids":
                made = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            elif name == "token_type_ids":
                made = torch.zeros(buffer.shape, dtype=torch.long)
            else:
                raise BackboneError(f"the buffer {name!r} is in no file, and unknown here")
            owner.register_buffer(name, made, persistent=False)


def _raise(folder: Path, faults: list[str]) -> None:
    if not faults:
        return
    more = len(faults) - _FAULTS_SHOWN
    shown = faults[:_FAULTS_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])
    raise BackboneError(
        "\n".join(f"{folder}: weights do not fit config.json: {fault}" for fault in shown)
    )
