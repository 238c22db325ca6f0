"""Sparse matrices in files: the weights that are kept, and a bit for each weight.

    3.output.down        F32[64,768]     dense
    3.output.down.kept   F32[29491]      sparse: the kept ones, row by row
    3.output.down.mask   U8[6144]        a bit a weight, row by row, the lowest of a byte first

A weight whose bit is 0 is masked: it is 0, and was while it was trained. Bits past the last
weight are 0. Which matrices of an adapter are stored so is said in
`composer.recipe.sizes.sparsity`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from composer.bundle.header import TensorType
from composer.errors import ComposerError
from composer.recipe.sizes.sparsity import is_masked

KEPT, MASK = ".kept", ".mask"
DENSE_LIMIT = 2**30  # bytes that one part may take when it is unpacked

Lengths = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A sparse part in memory.

    Attributes:
        tensors: Name -> array, zeros where it is masked.
        masks: Name -> True where a weight is kept.
    """

    tensors: dict[str, np.ndarray]
    masks: dict[str, NDArray[np.bool_]]


def packed(
    tensors: Mapping[str, np.ndarray], masks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, np.ndarray]:
    """Store the masked tensors among these as two each.

    >>> packed({"up": np.eye(2)}, {"up": np.eye(2, dtype=bool)})["up.mask"].tolist()
    [9]
    """
    stored: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        if name in masks:
            stored[f"{name}{KEPT}"] = array[masks[name]]
            stored[f"{name}{MASK}"] = np.packbits(masks[name], bitorder="little")
        else:
            stored[name] = array
    return stored


def unpacked(
    stored: Mapping[str, np.ndarray],
    lengths: Mapping[str, Lengths],
    *,
    place: str,
    error: type[ComposerError],
) -> Unpacked:
    """Undo `packed`, and check what types do not tell: that masks and values agree.

    Args:
        stored: Of the types that `dense_types` found nothing wrong with.
        lengths: Name -> shape of every tensor, dense.
        place: For messages.
        error: Raised for any fault.
    """
    whole = sum(4 * math.prod(shape) for shape in lengths.values())
    if whole > DENSE_LIMIT:
        raise error(f"{place}: {whole:,} bytes when unpacked; at most {DENSE_LIMIT:,} are")
    tensors: dict[str, np.ndarray] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, shape in lengths.items():
        if f"{name}{MASK}" not in stored:
            tensors[name] = stored[name]
            continue
        values, bits = stored[f"{name}{KEPT}"], stored[f"{name}{MASK}"]
        count = math.prod(shape)
        mask = np.unpackbits(bits, bitorder="little").view(np.bool_)
        if mask[count:].any():
            raise error(f"{place}: tensor {name + MASK!r} has bits past the last weight")
        if np.count_nonzero(mask) != len(values):
            raise error(
                f"{place}: tensor {name + MASK!r} keeps {np.count_nonzero(mask):,} weights, and "
                f"{name + KEPT!r} has {len(values):,}"
            )
        masks[name] = mask[:count].reshape(shape)
        tensors[name] = np.zeros(shape, values.dtype)
        tensors[name][masks[name]] = values
    return Unpacked(tensors=tensors, masks=masks)


def dense_types(
    found: Mapping[str, TensorType], lengths: Mapping[str, Lengths]
) -> tuple[dict[str, TensorType], list[str]]:
    """Tell what a sparse part's tensors are when unpacked, and what is wrong with how they lie.

    Args:
        found: As stored.
        lengths: Name -> shape of every tensor that is promised, dense.
    """
    types, faults = dict(found), []
    for name in filter(is_masked, lengths):
        kept, mask = types.pop(f"{name}{KEPT}", None), types.pop(f"{name}{MASK}", None)
        if name in found:
            faults.append(f"tensor {name!r} is dense, and the adapter is sparse")
        if kept is None or mask is None:
            continue  # it will be missed
        types[name] = TensorType(kept.dtype, lengths[name])
        count = math.prod(lengths[name])
        if len(kept.shape) != 1 or kept.shape[0] > count:
            faults.append(f"tensor {name + KEPT!r} is {kept}; at most {count:,} weights are kept")
        if mask != TensorType("U8", (-(-count // 8),)):
            faults.append(f"tensor {name + MASK!r} is {mask}, not U8[{-(-count // 8)}]")
    return types, faults


def parameter_count(types: Mapping[str, TensorType]) -> int:
    """Count the numbers that were trained: of a sparse matrix the kept ones, and no bits."""
    return sum(type_.elements for name, type_ in types.items() if not name.endswith(MASK))


def kept_weights(types: Mapping[str, TensorType]) -> int:
    """Count the weights of sparse matrices that are kept."""
    return sum(type_.elements for name, type_ in types.items() if name.endswith(KEPT))
