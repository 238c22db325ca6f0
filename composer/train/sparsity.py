"""Mask a sparse adapter before its first step; what was chosen is kept in the checkpoint.

Gradients are those of the stage's own loss on its first training batches, without dropout.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from composer.model.methods.sparsity import find_masks
from composer.model.parts import Bottleneck, Part
from composer.recipe.sizes.sparsity import is_masked, sparsity_of
from composer.train.loop import Batch, Decide, Epoch

SCORED_BATCHES = 16  # of the first epoch, or as many as it has

_STREAM = 2**32  # past every seed: what masks draw from is nobody else's


def masking(
    part: Part | None,
    *,
    loss: Callable[[Batch], Tensor],
    epoch: Epoch,
    seed: int,
    device: torch.device,
) -> Decide | None:
    """Give what masks an adapter before its first step; None: it is dense.

    Args:
        part: The adapter.
        loss: Of a batch on the device, dropout off.
        epoch: The first one.
        seed: Of the stage.
        device: Of the weights.
    """
    if not isinstance(part, Bottleneck) or (sparsity := sparsity_of(part.shape)) is None:
        return None
    adapter = part

    def losses() -> Iterator[Tensor]:
        for number in range(min(SCORED_BATCHES, epoch.count)):
            batch = epoch.batch(number)
            tensors = {name: tensor.to(device) for name, tensor in batch.tensors.items()}
            yield loss(replace(batch, tensors=tensors))

    def decide(known: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        weights = {name: adapter[name] for name in adapter.names if is_masked(name)}
        if known is None:
            generator = torch.Generator().manual_seed(_STREAM + seed)
            known = find_masks(weights, sparsity, losses=losses, generator=generator)
        adapter.mask({name: known[name].to(device) for name in weights})
        return dict(adapter.masks)

    return decide
