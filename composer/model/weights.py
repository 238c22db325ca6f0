"""Weights of a backbone from its files: every tensor where the config says, and no other.

The module comes without memory ("meta" tensors). All names, types and shapes are compared with
the headers of the files first, so what is then allocated is what lies on disk: a config cannot
ask for more. Tensors are read one by one; each number is finite.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
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
    stored = stored_tensors(folder)
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    _raise(folder, list(_differences(stored, wanted)))
    size = sum(one.type.bytes for one in stored.values())
    if size > WEIGHTS_LIMIT:
        raise BackboneError(f"{folder}: weights of {size:,} bytes; at most {WEIGHTS_LIMIT:,}")
    tensors = {name: _read(one) for name, one in stored.items()}
    _raise(
        folder,
        [
            f"{name} in {stored[name].file.name} holds a number that is not finite"
            for name, tensor in tensors.items()
            if not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor))
        ],
    )
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


def _read(stored: StoredTensor) -> Tensor:
    data = torch.empty(stored.type.bytes, dtype=torch.uint8)
    view, at = data.numpy(), 0
    for chunk in stored.chunks():
        view[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
        at += len(chunk)
    return data.view(_TYPES[stored.type.dtype]).reshape(stored.type.shape).float()


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
