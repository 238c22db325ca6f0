"""A folder that another library wrote, or somebody who says so: a config, and weights.

    adapter_config.json      at most 1 MiB, strict JSON, an object
    adapter.safetensors      at most 1 GiB, floating point, finite, read as float32
    pytorch_adapter.bin      the same, by way of `composer.model.interchange.unpickling`

Nothing is read that lies outside the folder. In a cache of the Hugging Face Hub, where files are
links, they may point to the `blobs` beside its `snapshots`, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from composer.bundle.files import open_regular, read_json
from composer.bundle.header import Entry, read_header
from composer.errors import Fault, InterchangeError
from composer.model.interchange.unpickling import unpickled

CONFIG_LIMIT = 2**20  # bytes
WEIGHTS_LIMIT = 2**30  # bytes

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

Tensors = dict[str, np.ndarray]


class _ForeignError(InterchangeError):
    """A fault of a file that is told as one line, its place in it."""

    def __init__(self, message: str) -> None:
        place, _, told = message.partition(": ")
        super().__init__([Fault(place, told)] if told else [Fault("PATH", message)])


def misfit(place: str, message: str) -> InterchangeError:
    """Say the one thing that does not fit, and where."""
    return InterchangeError([Fault(place, message)])


def holds(folder: Path, *names: str) -> bool:
    """Say whether any of these files is in a folder."""
    return any((folder / name).exists() for name in names)


def inner_folder(folder: Path, name: str) -> Path:
    """Give a folder in a folder.

    Raises:
        InterchangeError: It is a link, or none is there.
    """
    inner = folder / name
    if inner.is_symlink() or not inner.is_dir():
        raise misfit(str(inner), "it is no folder; what adapter_setup.json names lies beside it")
    return inner


def foreign_config(folder: Path, name: str) -> dict[str, Any]:
    """Read a config.

    Raises:
        InterchangeError: It is not there, too large, or no JSON object.
    """
    return read_json(_own_file(folder, name), CONFIG_LIMIT, error=_ForeignError)


def foreign_weights(folder: Path, names: Sequence[str]) -> Tensors:
    """Read the weights of the first of these files that is there, in float32.

    Args:
        folder: Of the file.
        names: What it may be called; those that end in .safetensors first.

    Raises:
        InterchangeError: None is there, or it holds anything but finite numbers by name.
    """
    for name in names:
        if not holds(folder, name):
            continue
        place = str(folder / name)
        with open_regular(_own_file(folder, name), error=_ForeignError) as (file, size):
            _check_size(size, place)
            if name.endswith(".safetensors"):
                return _floats_of(file, size, place=place)
            with unpickled(file, limit=WEIGHTS_LIMIT, place=place) as (made, length):
                return _floats_of(made, length, place=place)
    raise InterchangeError(
        [Fault(str(folder), f"it holds no weights; their file is called {' or '.join(names)}")]
    )


def no_more_than(faults: Sequence[Fault], limit: int = 20) -> list[Fault]:
    """Cut a long list of faults short, and say that it was."""
    if len(faults) <= limit:
        return list(faults)
    return [*faults[:limit], Fault(faults[0].place, f"and {len(faults) - limit:,} more")]


def compared(
    found: Mapping[str, np.ndarray], wanted: Mapping[str, Sequence[int]], *, place: str
) -> list[Fault]:
    """List the tensors that are missing, left over or of another shape."""
    faults = []
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found:
            faults.append(Fault(place, f"tensor {name!r} {list(wanted[name])} is missing"))
            continue
        shape = list(found[name].shape)
        if name not in wanted:
            message = f"tensor {name[:200]!r} {shape} has no place in what the config says"
            faults.append(Fault(place, message))
        elif shape != list(wanted[name]):
            message = f"tensor {name!r} is {shape}, and {list(wanted[name])} on this backbone"
            faults.append(Fault(place, message))
    return no_more_than(faults)


def _check_size(size: int, place: str) -> None:
    if size > WEIGHTS_LIMIT:
        raise misfit(place, f"{size:,} bytes; at most {WEIGHTS_LIMIT:,} are read")


def _own_file(folder: Path, name: str) -> Path:
    """Give a file of a folder; of a cache of the Hub, what its link stands for."""
    path = folder / name
    if not path.is_symlink():
        return path
    target = path.resolve()
    caches = [one.parent for one in folder.resolve().parents if one.name == "snapshots"]
    if not any(target.parent == cache / "blobs" for cache in caches):
        raise misfit(str(path), "it is a link that leads out of the folder; copy the file itself")
    return target


def _floats_of(file: BinaryIO, size: int, *, place: str) -> Tensors:
    """Read the tensors of a safetensors file in float32; memory is taken for what it holds."""
    entries = read_header(file, size, place=place, error=_ForeignError)
    file.seek(0)
    data = file.read(size)
    faults = [
        Fault(place, f"tensor {name!r} is {one.type}; weights are {', '.join(_FLOATS)}")
        for name, one in entries.items()
        if one.type.dtype not in _FLOATS
    ]
    if faults:
        raise InterchangeError(faults)
    found = {name: _floats(data, one) for name, one in sorted(entries.items())}
    wild = [name for name, one in found.items() if not np.isfinite(one).all()]
    if wild:
        raise misfit(place, f"tensor {wild[0]!r} holds a number that is not finite")
    return found


def _floats(data: bytes, entry: Entry) -> np.ndarray:
    array = np.frombuffer(data, _FLOATS[entry.type.dtype], entry.type.elements, entry.start)
    if entry.type.dtype == "BF16":  # the upper half of a float32
        array = (array.astype("<u4") << 16).view("<f4")
    with np.errstate(over="ignore"):  # of float64; what becomes infinite is refused
        return array.astype(np.float32).reshape(entry.type.shape)
