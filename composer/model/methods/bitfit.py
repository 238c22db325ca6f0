"""BitFit: what is learnt is added to the biases of the encoder, and kept apart from them.

    b + delta    of every product, and of the norms behind the embeddings and sub-layers

A product's sum is taken before it is cast, so in bfloat16 a bias is rounded once. What is added
to a norm's bias may as well be added to what the norm gives, and is. Where an adapter trains own
copies of the norms (`train_norm`), those have a bias of their own.

Source: Ben Zaken et al. (2022), section 3. The key's bias cancels in the softmax and is learnt in
name only; it is counted, as the paper does.
"""

from dataclasses import replace

import torch
from torch import Tensor

from composer.model.backbone import Backbone
from composer.model.embeddings import Embeddings
from composer.model.encoder import Layer
from composer.model.methods.inner import Shares, promised, with_norms
from composer.model.parts import Adapter
from composer.model.products import Product
from composer.recipe.grammar.adapters import BitFit


def new_bitfit(shape: BitFit, *, backbone: Backbone, generator: torch.Generator) -> Adapter:
    """Make an untrained BitFit: all it adds is zero, and nothing is drawn."""
    wanted = promised(shape, backbone)
    deltas = {name: torch.zeros(wanted[name]) for name in wanted if name.endswith("_delta")}
    return with_norms(shape, deltas, backbone)


def with_bias_deltas(layer: Layer, number: int, shares: Shares) -> Layer:
    """Add to the biases of one layer."""
    joined = [_delta(shares, f"{number}.{one}.bias_delta") for one in ("query", "key", "value")]
    given = [one for one in joined if one is not None]
    return replace(
        layer,
        joined=_moved(layer.joined, torch.cat(given) if given else None),
        mixed=_moved(layer.mixed, _delta(shares, f"{number}.mixed.bias_delta")),
        wide=_moved(layer.wide, _delta(shares, f"{number}.wide.bias_delta")),
        narrow=_moved(layer.narrow, _delta(shares, f"{number}.narrow.bias_delta")),
        norm_deltas=(
            _delta(shares, f"{number}.attention.norm_bias_delta"),
            _delta(shares, f"{number}.output.norm_bias_delta"),
        ),
    )


def with_norm_delta(embeddings: Embeddings, shares: Shares) -> Embeddings:
    """Add to the bias of the norm behind the embeddings."""
    delta = _delta(shares, "embeddings.norm_bias_delta")
    if delta is None:
        return embeddings
    return replace(embeddings, norm_bias=embeddings.norm_bias + delta)


def _moved(product: Product, delta: Tensor | None) -> Product:
    if delta is None:
        return product
    bias = product.bias + delta
    return replace(product, bias=bias, narrow_bias=bias.to(product.narrow_bias.dtype))


def _delta(shares: Shares, name: str) -> Tensor | None:
    """Add up what the members say of one bias; None: none does."""
    total: Tensor | None = None
    for adapter, weight in shares:
        if name in adapter:
            added = adapter[name] if weight == 1.0 else weight * adapter[name]
            total = added if total is None else total + added
    return total
