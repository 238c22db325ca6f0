"""Whether the frozen weights of a bundle are those that its graphs name, no more and no less.

A graph's structure tells each weight's name, type and shape; `graph.safetensors` has to hold
exactly these, and the backbone's norms. That they are the backbone's own numbers cannot be
told on a device: its fingerprints are of the weights before they were rounded and transposed.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from composer.bundle.header import TensorType
from composer.bundle.records import BackboneRecord
from composer.bundle.tensors import DTYPES
from composer.device.structure import Structure
from composer.errors import BundleError, did_you_mean

Weights = Mapping[str, NDArray[np.generic]]

_TOKENS = ("embeddings.tokens", "embeddings.tokens_int8")
_POSITIONS = "embeddings.positions"
_DTYPES = {dtype: name for name, dtype in DTYPES.items()}
_FAULTS_SHOWN = 20


def check_weights(
    weights: Weights, structures: Mapping[str, Structure], backbone: BackboneRecord, *, place: str
) -> None:
    """Hold weights to all graphs that share them.

    Args:
        weights: Name -> array.
        structures: Name of a graph -> what its file says.
        backbone: Whose norms they hold, and whose longest text must fit.
        place: For messages.

    Raises:
        BundleError: Naming every weight that is missing, too many, or of another type.
    """
    expected = {name: TensorType("F32", (backbone.hidden_size,)) for name in _norms(backbone)}
    found = {name: TensorType(_DTYPES[one.dtype], one.shape) for name, one in weights.items()}
    faults = []
    for graph, structure in structures.items():
        for name, type_ in structure.external.items():
            if expected.setdefault(name, type_) != type_:
                faults.append(f"{graph}: {name!r} is {type_}, elsewhere {expected[name]}")
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            faults.append(f"tensor {name[:200]!r} ({expected[name]}) is missing")
        elif name not in expected:
            faults.append(f"tensor {name[:200]!r} is in no graph; {did_you_mean(name, expected)}")
        elif found[name] != expected[name]:
            faults.append(f"tensor {name[:200]!r} is {found[name]}, not {expected[name]}")
    faults = faults or _embedding_faults(found, backbone)
    if faults:
        shown = [f"{place}: {fault}" for fault in faults[:_FAULTS_SHOWN]]
        more = len(faults) - len(shown)
        raise BundleError("\n".join([*shown, f"and {more:,} more"] if more else shown))


def token_rows(weights: Weights) -> int:
    """Count the tokens that a graph has embeddings of."""
    return next(len(weights[name]) for name in _TOKENS if name in weights)


def _norms(backbone: BackboneRecord) -> list[str]:
    return [
        f"{layer}.{where}.norm_{one}"
        for layer in range(backbone.layers)
        for where in ("attention", "output")
        for one in ("weight", "bias")
    ]


def _embedding_faults(found: Mapping[str, TensorType], backbone: BackboneRecord) -> list[str]:
    size, faults = backbone.hidden_size, []
    tables = [name for name in _TOKENS if name in found]
    if len(tables) != 1:
        faults.append(f"{len(tables)} token embeddings; there must be one")
    for name in (*tables, _POSITIONS):
        shape = found[name].shape if name in found else ()
        if len(shape) != 2 or shape[1] != size:
            faults.append(f"tensor {name!r} must have {size} numbers a row")
        elif name == _POSITIONS and shape[0] < backbone.max_tokens:
            faults.append(
                f"tensor {name!r} has {shape[0]} rows, and a text may have {backbone.max_tokens} "
                "tokens"
            )
    return faults
