"""Sparse adapters: how many of their weights are masked (SparseAdapter, He et al., 2022).

Masked are the projections and middle layers, ranked all together; biases, norms, a learned
scaling and what an invertible adapter does to the embeddings stay whole.
"""

import re

from composer.recipe.grammar.adapters import AdapterShape, Sparsity

_MASKED = re.compile(r"\d+\.(?:attention|output)\.(?:down|up|middle\.\d)")


def sparsity_of(shape: AdapterShape) -> Sparsity | None:
    """Give what a shape says of masks; kinds that have none are dense."""
    return getattr(shape, "sparsity", None)


def is_masked(name: str) -> bool:
    """Say whether a tensor of a sparse adapter is among those that are masked.

    >>> is_masked("3.output.up"), is_masked("3.output.up_bias"), is_masked("3.output.middle.0")
    (True, False, True)
    """
    return _MASKED.fullmatch(name) is not None


def dropped_weights(weights: int, sparsity: Sparsity | None) -> int:
    """Count how many of an adapter's weights are masked, to the weight.

    >>> dropped_weights(1001, Sparsity(method="snip", ratio=0.4))
    400
    """
    return 0 if sparsity is None else round(sparsity.ratio * weights)
