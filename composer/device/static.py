"""A composition's inputs filled up to the one shape that a static graph takes.

Units and classes that are not there are zeros and add nothing. A member of a fusion that is not
there gets the score -1e9, which leaves it no share in any softmax.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from composer.bundle.graphs import FixedShape
from composer.device.feeds import Array

NO_SHARE = -1e9


def filled_feeds(feeds: Mapping[str, Array], shape: FixedShape) -> dict[str, Array]:
    """Fill up all inputs but the tokens and `pooling`."""
    return {name: _filled(name, array, feeds, shape) for name, array in feeds.items()}


def filled_batch(
    batch: Mapping[str, NDArray[np.generic]], shape: FixedShape, *, pad_id: int
) -> dict[str, NDArray[np.generic]]:
    """Fill up tokens and `pooling` with padding, and with texts of nothing but padding."""
    sizes = {
        name: (shape.batch, shape.rows, shape.tokens)
        if name == "pooling"
        else (shape.batch, shape.tokens)
        for name in batch
    }
    return {
        name: _grown(array, sizes[name], pad_id if name == "input_ids" else 0)
        for name, array in batch.items()
    }


def _filled(name: str, array: Array, feeds: Mapping[str, Array], shape: FixedShape) -> Array:
    stem = name.partition(".")[0]
    units, members = shape.upper_units, shape.members
    if stem in ("upper_read", "upper_read_bias"):
        had, mixed = feeds["segments"].shape
        narrow, keys, direct = np.split(array, [had, 2 * had], axis=-1)
        scores = _grown(direct, (*array.shape[:-1], members), 0.0)
        if stem == "upper_read_bias":
            scores[..., mixed:] = NO_SHARE
        wide = (*array.shape[:-1], units)
        return np.concatenate([_grown(narrow, wide), _grown(keys, wide), scores], axis=-1)
    if stem == "upper_out":
        had = len(feeds["segments"])
        size = array.shape[-1]
        return np.concatenate(
            [_grown(array[:had], (units, size)), _grown(array[had:], (members, size))]
        )
    return _grown(array, _size(stem, array, shape))


def _size(stem: str, array: Array, shape: FixedShape) -> tuple[int, ...]:
    """Say how large an input becomes: its lengths that are units, members or classes grow."""
    slot = stem.partition("_")[0]
    if stem == "segments":
        return (shape.upper_units, shape.members)
    if stem in ("head_weight", "head_bias"):
        return (*array.shape[:-1], shape.classes)
    if slot not in ("lower", "upper"):
        return array.shape  # norms, and what moves the embeddings
    units = shape.lower_units if slot == "lower" else shape.upper_units
    kind = stem.removeprefix(f"{slot}_")
    if kind == "up":
        return (units, array.shape[-1])
    if kind == "up_bias":
        return array.shape
    if kind == "down":
        return (array.shape[0], units)
    return (units,) * array.ndim  # middle layers, biases and masks


def _grown(array: NDArray[np.generic], size: tuple[int, ...], value: float = 0) -> Array:
    grown = np.full(size, value, array.dtype)
    grown[tuple(slice(length) for length in array.shape)] = array
    return grown
