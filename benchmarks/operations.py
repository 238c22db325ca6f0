"""How many operations the mathematics of training an adapter needs, counted on paper.

A product of (m, k) and (k, n) is 2 m k n operations: as many multiplications as additions. With
hidden size d, feed-forward size f, adapter width r and texts of T tokens, a token needs in a layer

    query, key, value, output      4 products d x d            8 d^2
    feed-forward                   d x f and f x d             4 d f
    attention                      q k^T and p v over T        4 d T
    Pfeiffer adapter               d x r and r x d             4 d r

Forward, all layers need all of it. Backward, a frozen product needs the gradient of its input
alone, as many operations again; attention needs those of q, k, v and of the shares, twice its
own; an adapter needs the gradients of its input and of its weights, twice its own. Below the
first adapter nothing is needed: of layer 0 only the gradients of its adapter's weights and units,
6 d r, since none goes on from there (Pfeiffer adapters come last in a layer); and what layer 0
gives its adapter is the same in every epoch, so it is counted once. Where a text's first
token alone is read, the last layer needs the keys and values of all tokens, and of the first one
the rest. Embeddings, norms, non-linearities, the head and the optimizer are left out: together
they are below a hundredth. A test holds the rest equal to what composer multiplies.

What a program computes beyond this (padding, gradients nobody asked for, what is computed
again) takes time and counts for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A backbone's size and the width of its Pfeiffer adapters; 0: none."""

    layers: int = 12
    size: int = 768
    wide: int = 3072
    width: int = 48


def forward(shape: Shape, *, tokens: int, length: float) -> float:
    """Count the operations of a forward pass over tokens in texts of one length.

    >>> forward(Shape(layers=1, size=2, wide=8, width=1), tokens=1, length=1)
    112.0
    """
    return tokens * shape.layers * (_frozen(shape) + _attention(shape, length) + _adapter(shape))


def training(
    shape: Shape, lengths: Sequence[int], *, first_only: bool = False, epochs: int = 1
) -> float:
    """Count the operations of learning texts of these lengths.

    Args:
        shape: Of two layers at least.
        lengths: Of the texts, in tokens.
        first_only: The head reads each text's first token alone, not all of them.
        epochs: How often each is learnt.
    """
    return sum(
        _below(shape, length) + epochs * _of_text(shape, length, 1 if first_only else length)
        for length in lengths
    )


def _below(shape: Shape, length: int) -> float:
    """Count what is below the first adapter of one text."""
    return length * (_frozen(shape) + _attention(shape, length))


def _of_text(shape: Shape, length: int, read: int) -> float:
    """Count the rest for one text, of whose tokens so many are read."""
    frozen, attention, adapter = _frozen(shape), _attention(shape, length), _adapter(shape)
    lowest = length * (adapter + 1.5 * adapter)
    between = length * (2 * frozen + 3 * attention + 3 * adapter)
    saved = (length - read) * (2 * (frozen - _keys(shape)) + 3 * attention + 3 * adapter)
    return lowest + (shape.layers - 1) * between - saved


def _keys(shape: Shape) -> float:
    """Count the products that give a token's key and value."""
    return 4.0 * shape.size**2


def _frozen(shape: Shape) -> float:
    return 8.0 * shape.size**2 + 4.0 * shape.size * shape.wide


def _attention(shape: Shape, length: float) -> float:
    return 4.0 * shape.size * length


def _adapter(shape: Shape) -> float:
    return 4.0 * shape.size * shape.width
