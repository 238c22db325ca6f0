"""LoRA: frozen matrices with a low-rank product beside them.

    W x + alpha / rank * B A x        A (rank, in), in files "down"; B (out, rank), "up"

While A or B is learnt, and wherever products are taken in bfloat16, the two stay apart: W is
left as it is, and all targets that share a product (query, key, value) share one product with
their A's and one with their B's. In float32, with nothing left to learn, W + alpha / rank * B A
is put together once and used as a plain matrix; a recipe may say `merge: false` where memory is
short. In bfloat16 a sum would be rounded to what W is, and most of B A lost.

Source: Hu et al. (2022), eq. 3; A starts as in their code, uniform in +-1 / sqrt(in), B at zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from composer.model.attention import drop
from composer.model.backbone import Backbone
from composer.model.encoder import Layer
from composer.model.methods.inner import Shares, promised, with_norms
from composer.model.mixers import Kept
from composer.model.parts import Adapter
from composer.model.products import Product
from composer.recipe.grammar.adapters import Lora

_PRODUCTS = {
    "joined": ("query", "key", "value"),
    "mixed": ("mixed",),
    "wide": ("wide",),
    "narrow": ("narrow",),
}


@dataclass(frozen=True, kw_only=True)
class Low:
    """A low-rank matrix, up @ down.

    Attributes:
        down: (ranks, in).
        up: (out, ranks), scaled.
        dropout: Share of what `down` reads that is dropped.
    """

    down: Tensor
    up: Tensor
    dropout: float

    def read(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, ranks), in the precision of the rows."""
        return F.linear(drop(rows, self.dropout), self.down.to(rows.dtype))


@dataclass(frozen=True, kw_only=True)
class LowRankProduct(Product):
    """A frozen linear layer with low-rank products beside it."""

    lows: tuple[Low, ...]

    def within(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out), for another product to read."""
        found = super().within(rows)
        for low in self.lows:
            found = found.addmm_(low.read(rows), low.up.to(rows.dtype).t())
        return found

    def to_site(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out), for a site."""
        found = super().to_site(rows)
        for low in self.lows:
            added = F.linear(low.read(rows), low.up.to(rows.dtype))
            found = found.add_(added.to(found.dtype))
        return found


def new_lora(shape: Lora, *, backbone: Backbone, generator: torch.Generator) -> Adapter:
    """Make an untrained LoRA: it changes nothing yet."""
    tensors: dict[str, Tensor] = {}
    for name, lengths in promised(shape, backbone).items():
        if name.endswith(".down"):
            bound = 1.0 / math.sqrt(lengths[1])
            tensors[name] = torch.empty(lengths).uniform_(-bound, bound, generator=generator)
        elif name.endswith(".up"):
            tensors[name] = torch.zeros(lengths)
    return with_norms(shape, tensors, backbone)


def with_low_ranks(layer: Layer, number: int, shares: Shares, kept: Kept) -> Layer:
    """Put the low-rank products of one layer beside its frozen ones."""
    changed: dict[str, Product] = {}
    for name, matrices in _PRODUCTS.items():
        using = [
            (adapter, weight)
            for adapter, weight in shares
            if any(f"{number}.{matrix}.down" in adapter for matrix in matrices)
        ]
        if using:
            frozen: Product = getattr(layer, name)
            changed[name] = _changed(frozen, f"{number}", matrices, using, kept)
    return replace(layer, **changed)  # type: ignore[arg-type]


def _changed(
    frozen: Product, number: str, matrices: Sequence[str], using: Shares, kept: Kept
) -> Product:
    def lows() -> tuple[Low, ...]:
        return tuple(_low(adapter, weight, number, matrices) for adapter, weight in using)

    weights = [
        adapter[f"{number}.{matrix}.{which}"]
        for adapter, _ in using
        for matrix in matrices
        for which in ("down", "up")
        if f"{number}.{matrix}.{which}" in adapter
    ]
    if not _merges(frozen, using, weights):
        return LowRankProduct(
            weight=frozen.weight,
            bias=frozen.bias,
            narrow_bias=frozen.narrow_bias,
            prepacked=frozen.prepacked,
            lows=lows(),
        )

    def merged() -> Product:
        added = sum((low.up @ low.down for low in lows()), torch.zeros_like(frozen.weight))
        return replace(frozen, weight=frozen.weight + added, prepacked=None)

    name = ("merged", number, matrices, *((id(adapter), weight) for adapter, weight in using))
    return kept.of(name, [frozen.weight, *weights], merged)


def _merges(frozen: Product, using: Shares, weights: Sequence[Tensor]) -> bool:
    learnt = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
    asked = all(isinstance(one.shape, Lora) and one.shape.merge for one, _ in using)
    return asked and not learnt and frozen.weight.dtype != torch.bfloat16


def _low(adapter: Adapter, weight: float, number: str, matrices: Sequence[str]) -> Low:
    """Put the targets that share a product side by side; `up` has zeros for what is no target."""
    shape = adapter.shape
    if not isinstance(shape, Lora):
        raise TypeError(f"{shape.kind} has no low-rank products")
    names = [one for one in matrices if f"{number}.{one}.down" in adapter]
    downs = [adapter[f"{number}.{one}.down"] for one in names]
    ups = [adapter[f"{number}.{one}.up"] for one in names]
    if len(matrices) > 1:
        rows, behind = len(ups[0]), len(matrices) - 1
        ups = [
            F.pad(up, (0, 0, rows * place, rows * (behind - place)))
            for up, place in zip(ups, map(matrices.index, names), strict=True)
        ]
    up = torch.cat(ups, dim=1) if len(ups) > 1 else ups[0]
    return Low(
        down=torch.cat(downs) if len(downs) > 1 else downs[0],
        up=weight * shape.alpha / shape.rank * up,
        dropout=shape.dropout if adapter.training else 0.0,
    )
