"""Which weights of a sparse adapter are kept: scored once, before it is trained.

    random        drawn
    erdos-renyi   drawn, of each matrix in proportion to its rows and columns together:
                  kept = e (in + out), so that large matrices are the sparsest
                  (Mocanu et al., 2018, eq. 2; Evci et al., 2020, section 3)
    magnitude     |w|
    snip          |w g|          g = dL/dw            (Lee et al., 2019, eq. 6)
    grasp         w (H g)        H = d2L/dw2          (Wang et al., 2020, eq. 8)

All matrices are ranked together, the highest scores are kept, and of equal ones those that come
first, by name and row. GraSP keeps a weight whose loss would lower the norm of the gradient, and
its sign counts: what holds the gradient back goes first. Source: SparseAdapter, He et al. (2022).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from composer.errors import TrainingError
from composer.model.attention import twice_differentiable
from composer.recipe.grammar.adapters import Sparsity
from composer.recipe.sizes.sparsity import dropped_weights

Losses = Callable[[], Iterator[Tensor]]
"""Gives the loss of each batch that weights are scored on, computed anew at each call."""

Masks = dict[str, Tensor]


def find_masks(
    weights: Mapping[str, Tensor], sparsity: Sparsity, *, losses: Losses, generator: torch.Generator
) -> Masks:
    """Choose the weights that are kept, exactly as many as the ratio says.

    Args:
        weights: Name -> matrix; gradients are taken of them.
        sparsity: Method and ratio.
        losses: For the methods that score by gradients.
        generator: For the methods that draw.

    Returns:
        Name -> True where a weight is kept.

    Raises:
        TrainingError: Gradients tell nothing: they are all zero, or not finite.
    """
    weights = dict(sorted(weights.items()))
    count = sum(one.numel() for one in weights.values())
    kept = count - dropped_weights(count, sparsity)
    if sparsity.method == "erdos-renyi":
        return _erdos_renyi(weights, kept, generator)
    if sparsity.method == "random":
        return _highest(_drawn(weights, generator), kept)
    if sparsity.method == "magnitude":
        return _highest({name: one.detach().abs() for name, one in weights.items()}, kept)
    scores = (_snip if sparsity.method == "snip" else _grasp)(weights, losses)
    _check(scores, sparsity)
    return _highest(scores, kept)


def _drawn(weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    return {
        name: torch.rand(one.shape, generator=generator).to(one.device)
        for name, one in weights.items()
    }


def _snip(weights: Mapping[str, Tensor], losses: Losses) -> dict[str, Tensor]:
    gradients = _gradients(weights, losses)
    return {
        name: (one.detach() * gradient).abs()
        for (name, one), gradient in zip(weights.items(), gradients, strict=True)
    }


def _grasp(weights: Mapping[str, Tensor], losses: Losses) -> dict[str, Tensor]:
    """Score by the gradient's norm: H g is the gradient of g . g with one g held still."""
    still = _gradients(weights, losses)
    matrices = list(weights.values())
    products = [torch.zeros_like(one) for one in matrices]
    with twice_differentiable():
        for loss in losses():
            gradients = torch.autograd.grad(
                loss, matrices, create_graph=True, materialize_grads=True
            )
            along = torch.stack(
                [(one * other).sum() for one, other in zip(gradients, still, strict=True)]
            ).sum()
            found = torch.autograd.grad(along, matrices, materialize_grads=True)
            products = [one + other for one, other in zip(products, found, strict=True)]
    return {
        name: one.detach() * product
        for (name, one), product in zip(weights.items(), products, strict=True)
    }


def _gradients(weights: Mapping[str, Tensor], losses: Losses) -> list[Tensor]:
    """Add up the gradients of the batches."""
    matrices = list(weights.values())
    total = [torch.zeros_like(one) for one in matrices]
    for loss in losses():
        found = torch.autograd.grad(loss, matrices, materialize_grads=True)
        total = [one + other for one, other in zip(total, found, strict=True)]
    return total


def _check(scores: Mapping[str, Tensor], sparsity: Sparsity) -> None:
    values = torch.cat([one.flatten() for one in scores.values()])
    if not bool(torch.isfinite(values).all()):
        raise TrainingError(f"sparsity: a score by {sparsity.method!r} is not finite")
    if not bool(values.any()):
        raise TrainingError(
            f"sparsity: every score by {sparsity.method!r} is 0, so nothing says which weights "
            "matter; another `init`, or the method 'random', does not need gradients"
        )


def _highest(scores: Mapping[str, Tensor], kept: int) -> Masks:
    flat = torch.cat([one.flatten() for one in scores.values()])
    order = torch.sort(flat, descending=True, stable=True).indices
    chosen = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    chosen[order[:kept]] = True
    pieces = torch.split(chosen, [one.numel() for one in scores.values()])
    return {
        name: piece.view(one.shape).clone()
        for (name, one), piece in zip(scores.items(), pieces, strict=True)
    }


def _erdos_renyi(weights: Mapping[str, Tensor], kept: int, generator: torch.Generator) -> Masks:
    counts = erdos_renyi_counts([(len(one), one.shape[1]) for one in weights.values()], kept)
    masks: Masks = {}
    for (name, scores), count in zip(_drawn(weights, generator).items(), counts, strict=True):
        masks |= _highest({name: scores}, count)
    return masks


def erdos_renyi_counts(shapes: Sequence[tuple[int, int]], kept: int) -> list[int]:
    """Share out the weights that are kept: e (rows + columns) each, and no more than there are.

    What rounding leaves over goes to the largest remainders.

    >>> erdos_renyi_counts([(2, 8), (8, 2), (2, 2)], 18)
    [8, 7, 3]
    """
    whole = [rows * columns for rows, columns in shapes]
    exact = [0.0] * len(shapes)
    open_ = list(range(len(shapes)))
    left = kept
    while open_:
        each = left / sum(sum(shapes[number]) for number in open_)
        full = [number for number in open_ if each * sum(shapes[number]) >= whole[number]]
        for number in full or open_:
            exact[number] = whole[number] if full else each * sum(shapes[number])
        left -= sum(whole[number] for number in full)
        open_ = [number for number in open_ if number not in full] if full else []
    counts = [int(one) for one in exact]
    order = sorted(range(len(shapes)), key=lambda number: (counts[number] - exact[number], number))
    for number in order[: kept - sum(counts)]:
        counts[number] += 1
    return counts
