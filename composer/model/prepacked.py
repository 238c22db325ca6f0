"""Frozen weights laid out for the processor before anything is multiplied with them.

    rows @ weight.T     forward      one layout of the weight
    rows @ weight       backward     another

oneDNN, with which torch multiplies bfloat16 on processors, lays a weight out anew in each product.
Laid out beforehand it is multiplied to the same bits sooner, and lies in memory three times.

torch has the two operators for what its own compiler makes, and documents neither. So where one is
missing, or gives other bits than the product that everybody uses, nothing is laid out.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

logger = logging.getLogger(__name__)

_ROWS = 1024  # that the layouts are made for; any number is multiplied
_TRIED = (9, 500)  # rows that are multiplied in both ways, to see that they are the same


@dataclass(frozen=True, kw_only=True)
class Prepacked:
    """A weight of (out, in) in two layouts of oneDNN's own.

    Attributes:
        forward: Takes (rows, in) to (rows, out).
        backward: Takes (rows, out) to (rows, in).
    """

    forward: Tensor
    backward: Tensor

    def multiply(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out): `rows @ weight.T`."""
        return _Product.apply(rows, self.forward, self.backward)  # type: ignore[no-any-return, no-untyped-call]


def prepacked(weight: Tensor) -> Prepacked | None:
    """Lay out a weight of (out, in); None: it cannot be, or would be multiplied otherwise."""
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or not _supported():
        return None
    if not _exact(*weight.shape):
        return None
    return Prepacked(forward=_laid_out(weight), backward=_laid_out(weight.t()))


@lru_cache(maxsize=64)
def _exact(out: int, inner: int) -> bool:
    """Say whether weights of a shape give the same bits laid out, by trying one."""
    generator = torch.Generator().manual_seed(0)

    def drawn(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=generator).to(torch.bfloat16)

    weight = drawn(out, inner)
    forward, backward = _laid_out(weight), _laid_out(weight.t())
    for count in _TRIED:
        rows, given = drawn(count, inner), drawn(count, out)
        same = torch.equal(_times(rows, forward), F.linear(rows, weight))
        if not same or not torch.equal(_times(given, backward), given @ weight):
            logger.info("prepack: weights of %d x %d would give other bits here", out, inner)
            return False
    return True


def _supported() -> bool:
    operators = torch.ops.mkldnn
    needed = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(operators, name) for name in needed)
        and bool(operators._is_mkldnn_bf16_supported())
    )


def _laid_out(weight: Tensor) -> Tensor:
    made: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
    return made


def _times(rows: Tensor, laid_out: Tensor) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(
        rows.contiguous(), laid_out, None, "none", [], ""
    )
    return found


class _Product(torch.autograd.Function):
    """A product whose gradient is one of its own kind, so that it has a gradient as well."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, forth: Tensor, back: Tensor) -> Tensor:
        ctx.forth, ctx.back = forth, back
        return _times(rows, forth)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Product.apply(gradient, ctx.back, ctx.forth), None, None  # type: ignore[no-untyped-call]
