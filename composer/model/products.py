"""The linear layers of a frozen encoder, as products of all tokens of a batch.

within     for another product to read     in the precision of products
to_site    for a site                      as wide as sites are, bias and all
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composer.model.mapped import side_by_side
from composer.model.prepacked import Prepacked, prepacked


@dataclass(frozen=True, kw_only=True)
class Product:
    """A frozen linear layer.

    Attributes:
        weight: (out, in), in the precision of products.
        bias: (out,), in the precision of sites.
        narrow_bias: (out,), in the precision of products.
        prepacked: The weight once more, laid out beforehand; None: it is not.
    """

    weight: Tensor
    bias: Tensor
    narrow_bias: Tensor
    prepacked: Prepacked | None = None

    def within(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out), for another product to read."""
        if self.weight.dtype == self.bias.dtype:
            return F.linear(rows, self.weight, self.bias)
        # A narrow product that is given its bias takes longer than the two one after the other.
        return self._multiplied(rows).add_(self.narrow_bias)

    def to_site(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out), for a site."""
        if self.weight.dtype == self.bias.dtype:
            return F.linear(rows, self.weight, self.bias)
        return self._multiplied(rows).to(self.bias.dtype).add_(self.bias)

    def _multiplied(self, rows: Tensor) -> Tensor:
        if self.prepacked is not None:
            return self.prepacked.multiply(rows)
        return F.linear(rows, self.weight)

    def split(self, out: int) -> "tuple[Product, Product] | None":
        """Split into what gives the first columns and what gives the others.

        None: a kind of its own, of which that cannot be told.
        """
        if type(self) is not Product:
            return None
        some, others = slice(None, out), slice(out, None)
        return self._columns(some), self._columns(others)

    def laid_out(self, *, prepack: bool) -> "Product":
        """Give the same with its weight laid out beforehand, or without that."""
        return replace(self, prepacked=prepacked(self.weight) if prepack else None)

    def _columns(self, some: slice) -> "Product":
        return Product(
            weight=self.weight[some], bias=self.bias[some], narrow_bias=self.narrow_bias[some]
        )


def product_of(*linear: nn.Module) -> Product:
    """Take linear layers side by side; they go on as views, so that no weight is held twice."""
    weight = side_by_side([cast(Tensor, one.weight).detach() for one in linear])
    bias = torch.cat([cast(Tensor, one.bias).detach() for one in linear])
    for one, part in zip(linear, weight.chunk(len(linear)), strict=True):
        cast(Tensor, one.weight).data = part
    return Product(weight=weight, bias=bias, narrow_bias=bias.to(weight.dtype))
