"""Attention and dropout of frozen layers, made for short texts on processors.

The texts of a batch lie one behind the other, without padding; only the attention looks at them
in a grid.

Held equal to `scaled_dot_product_attention`, whose backward pass is several times slower on a
processor at the lengths of utterances, and in bfloat16 more than ten times.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

_threads = threading.local()
_SHORT = 16  # tokens of a text
_STEPS = 2**16  # of a dropout's probability: a mask's number is 16 bits


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Where the tokens of texts lie: one behind the other, and in a grid padded at the end.

    Attributes:
        texts: In the batch.
        tokens: Of the longest.
        kept: Number of each token's cell in the grid, (all tokens,).
        cells: Number of each cell's token, (texts * tokens,), 0 at padding; None: none is padded.
        hidden: (texts, 1, tokens), -inf at padding, else 0; None: none is padded.
        real: (texts, 1, tokens, 1), 0 at padding, else 1; None: none is padded.
    """

    texts: int
    tokens: int
    kept: Tensor
    cells: Tensor | None
    hidden: Tensor | None
    real: Tensor | None
    _places: dict[tuple[str, int, int], Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, mask: Tensor) -> "Packing":
        """Read a mask of (texts, tokens), True at tokens."""
        texts, tokens = mask.shape
        kept = mask.flatten().nonzero().squeeze(1)
        if len(kept) == texts * tokens:
            return cls(texts=texts, tokens=tokens, kept=kept, cells=None, hidden=None, real=None)
        cells = torch.zeros(texts * tokens, dtype=torch.long, device=mask.device)
        cells[kept] = torch.arange(len(kept), device=mask.device)
        hidden = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)
        return cls(
            texts=texts,
            tokens=tokens,
            kept=kept,
            cells=cells,
            hidden=hidden.unsqueeze(1),
            real=mask.float().view(texts, 1, tokens, 1),
        )

    def numbers(self, place: int) -> Tensor:
        """Give the number of the token at a place of every text, (texts,)."""
        at = torch.arange(self.texts, device=self.kept.device) * self.tokens + place
        return at if self.cells is None else self.cells[at]

    def pack(self, grid: Tensor) -> Tensor:
        """Take the tokens out of the grid: (texts * tokens, ...) to (all tokens, ...)."""
        return grid if self.cells is None else grid.index_select(0, self.kept)

    def spread(self, rows: Tensor) -> Tensor:
        """Put tokens into the grid, zeros at padding: the other way round."""
        if self.cells is None:
            return rows
        grid = rows.new_zeros((len(self.cells), *rows.shape[1:]))
        return grid.index_copy(0, self.kept, rows)

    def fill(self, rows: Tensor) -> Tensor:
        """Put tokens into the grid, at padding any; quicker than `spread`."""
        return rows if self.cells is None else rows.index_select(0, self.cells)

    def cut(self, rows: Tensor, heads: int, *, parts: int) -> Tensor:
        """Cut (all tokens, parts * size) into (parts, texts * heads, tokens, width).

        Padding becomes any token. One pass, where the grid and then its heads would be two.
        """
        if ("cut", heads, parts) not in self._places:
            cells = torch.arange(len(self.kept)) if self.cells is None else self.cells.cpu()
            token = cells.view(1, self.texts, 1, self.tokens)
            part, head = (torch.arange(n) for n in (parts, heads))
            places = (token * parts + part.view(-1, 1, 1, 1)) * heads + head.view(-1, 1)
            self._places["cut", heads, parts] = places.flatten().to(rows.device)
        places, width = self._places["cut", heads, parts], rows.shape[1] // (parts * heads)
        pieces = rows.reshape(-1, width).index_select(0, places)
        return pieces.view(parts, self.texts * heads, self.tokens, width)

    def sew(self, pieces: Tensor, heads: int) -> Tensor:
        """Undo `cut`, and leave the padding out."""
        parts, _, _, width = pieces.shape
        if ("sew", heads, parts) not in self._places:
            kept = self.kept.cpu()
            text, token = (kept // self.tokens).view(-1, 1, 1), (kept % self.tokens).view(-1, 1, 1)
            part, head = (torch.arange(n) for n in (parts, heads))
            grid = (part.view(-1, 1) * self.texts + text) * heads + head
            self._places["sew", heads, parts] = (
                (grid * self.tokens + token).flatten().to(pieces.device)
            )
        rows = pieces.view(-1, width).index_select(0, self._places["sew", heads, parts])
        return rows.view(len(self.kept), -1)


def attend(
    joined: Tensor,
    *,
    packing: Packing,
    heads: int,
    dropout: float,
    asking: Tensor | None = None,
) -> Tensor:
    """Let each token of a text look at the others: softmax(q k^T / sqrt(width)) v.

    Args:
        joined: Query, key and value side by side, (all tokens, 3 * size).
        packing: Which token is of which text.
        heads: The size's equal parts.
        dropout: Share of the attention that is dropped.
        asking: The query of one token of each text, (texts, size), where no other looks at
            anything; `joined` has no query then, (all tokens, 2 * size). None: all look.

    Returns:
        (all tokens, size), or (texts, size) of those that ask.

    Source: Vaswani et al. (2017), eq. 1.
    """
    kept = None
    if dropout:
        looking = packing.tokens if asking is None else 1
        shape = (packing.texts * heads, looking, packing.tokens)
        kept = kept_at_random(shape, dropout, joined.device)
    elif getattr(_threads, "twice", False):
        return _plain(joined, asking, packing, heads)
    return _Attention.apply(joined, asking, packing, heads, kept, dropout)  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Let gradients of what runs in the block be differentiated again, in this thread.

    What `attend` saves for its backward pass has forgotten where it came from, so the gradient
    of a gradient would be wrong; here the attention is written out, and so is torch's own.
    """
    before, _threads.twice = getattr(_threads, "twice", False), True
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _threads.twice = before


def _plain(joined: Tensor, asking: Tensor | None, packing: Packing, heads: int) -> Tensor:
    """Compute what `attend` does without dropout, in steps that torch can differentiate twice."""
    parts = 3 if asking is None else 2
    *own, key, value = _heads(packing.fill(joined), packing.texts, heads, parts=parts)
    query = own[0] if asking is None else _of_one(asking, heads)
    scores = _wide(torch.bmm(query, key.transpose(1, 2))) * (1 / math.sqrt(query.shape[-1]))
    if packing.hidden is not None:
        hidden = packing.hidden.repeat_interleave(heads, dim=0)
        scores = scores + hidden
    seen = torch.bmm(torch.softmax(scores, dim=-1).to(joined.dtype), value)
    if asking is not None:
        return seen.view(asking.shape)
    return packing.pack(_side_by_side(seen.unsqueeze(0), packing.texts))


def _of_one(rows: Tensor, heads: int) -> Tensor:
    """Cut (texts, size) into (texts * heads, 1, width)."""
    return rows.reshape(len(rows) * heads, 1, -1)


def attend_with_prefix(
    joined: Tensor, keys: Tensor, values: Tensor, *, packing: Packing, heads: int, dropout: float
) -> Tensor:
    """Let each token of a text look at a prefix and at the others, all under one softmax.

    Args:
        joined: Query, key and value side by side, (all tokens, 3 * size).
        keys: Of the prefix, the same for every text, (positions, size).
        values: Likewise.
        packing: Which token is of which text.
        heads: The size's equal parts.
        dropout: Share of the attention that is dropped.

    Returns:
        (all tokens, size).

    Source: Li and Liang (2021), eq. 3, in the form of He et al. (2022), eq. 5.
    """
    texts, before = packing.texts, len(keys)
    query, key, value = _heads(packing.fill(joined), texts, heads, parts=3)
    key, value = (
        torch.cat([_of_each_text(prefix, texts, heads).to(own.dtype), own], dim=1)
        for prefix, own in ((keys, key), (values, value))
    )
    scores = _wide(torch.bmm(query, key.transpose(1, 2))) * (1 / math.sqrt(query.shape[-1]))
    if packing.hidden is not None:
        hidden = F.pad(packing.hidden, (before, 0)).unsqueeze(1)  # a prefix is never padding
        scores = (scores.view(texts, heads, *scores.shape[1:]) + hidden).view(scores.shape)
    shares = drop(torch.softmax(scores, dim=-1), dropout)
    seen = torch.bmm(shares.to(joined.dtype), value).unsqueeze(0)
    return packing.pack(_side_by_side(seen, texts))


def _of_each_text(prefix: Tensor, texts: int, heads: int) -> Tensor:
    """Cut (positions, size) into (texts * heads, positions, width)."""
    cut = prefix.view(len(prefix), heads, -1).transpose(0, 1)
    return cut.expand(texts, *cut.shape).flatten(0, 1)


class _Attention(torch.autograd.Function):
    """Products in the operands' precision, softmax in float32; shares are saved, no scores."""

    @staticmethod
    def forward(
        ctx: Any,
        joined: Tensor,
        asking: Tensor | None,
        packing: Packing,
        heads: int,
        kept: Tensor | None,
        dropout: float,
    ) -> Tensor:
        *own, key, value = packing.cut(joined, heads, parts=3 if asking is None else 2)
        query = own[0] if asking is None else _of_one(asking, heads)
        scores = _wide(torch.bmm(query, key.transpose(1, 2)))
        scores.mul_(1 / math.sqrt(query.shape[-1]))
        if packing.hidden is not None:
            scores.view(packing.texts, heads, *scores.shape[1:]).add_(packing.hidden.unsqueeze(1))
        shares = _softmax(scores)
        if packing.real is not None and asking is None:  # padding sees nothing: no gradient of it
            shares.view(packing.texts, heads, *shares.shape[1:]).mul_(packing.real)
        used = _thinned(shares, kept, dropout).to(joined.dtype)
        shares = shares.to(joined.dtype) if kept is not None else used
        ctx.save_for_backward(query, key, value, shares, used, kept)
        ctx.packing, ctx.heads, ctx.dropout, ctx.all = packing, heads, dropout, asking is None
        seen = torch.bmm(used, value)
        return packing.sew(seen.unsqueeze(0), heads) if asking is None else seen.view(asking.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, shares, used, kept = ctx.saved_tensors
        cut, heads = ctx.packing.cut, ctx.heads
        given = cut(gradient, heads, parts=1)[0] if ctx.all else _of_one(gradient, heads)
        of_used = _wide(torch.bmm(given, value.transpose(1, 2)))
        of_shares, exact = _thinned(of_used, kept, ctx.dropout), _wide(shares)
        of_scores = exact * (of_shares - (exact * of_shares).sum(-1, keepdim=True))
        of_scores = of_scores.mul_(1 / math.sqrt(query.shape[-1])).to(query.dtype)
        found = torch.empty((3 if ctx.all else 2, *key.shape), dtype=key.dtype, device=key.device)
        torch.bmm(of_scores.transpose(1, 2), query, out=found[-2])
        torch.bmm(used.transpose(1, 2), given, out=found[-1])
        of_asking = None
        if ctx.all:
            torch.bmm(of_scores, key, out=found[0])
        else:
            of_asking = torch.bmm(of_scores, key).view(gradient.shape)
        return ctx.packing.sew(found, heads), of_asking, None, None, None, None


def _softmax(scores: Tensor) -> Tensor:
    """Take the softmax over the last dimension; changes what it is given.

    torch's own takes a vector of the processor a row, nearly empty at the lengths of utterances:
    four times as long there as what is written out here, and half as long from 32 on.
    """
    if scores.shape[-1] > _SHORT or scores.device.type != "cpu":
        return torch.softmax(scores, dim=-1)
    shares = scores.sub_(scores.amax(-1, keepdim=True)).exp_()
    return shares.div_(shares.sum(-1, keepdim=True))


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype == torch.bfloat16 else values


def _heads(rows: Tensor, texts: int, heads: int, *, parts: int) -> Tensor:
    """Cut (texts * tokens, parts * size) into (parts, texts * heads, tokens, width)."""
    cut = rows.view(texts, len(rows) // texts, parts, heads, -1).permute(2, 0, 3, 1, 4)
    return cut.reshape(parts, texts * heads, *cut.shape[3:])


def _side_by_side(cut: Tensor, texts: int) -> Tensor:
    """Undo `_heads`."""
    parts, _, tokens, width = cut.shape
    rows = cut.view(parts, texts, -1, tokens, width).permute(1, 3, 0, 2, 4)
    return rows.reshape(texts * tokens, -1)


def drop(values: Tensor, probability: float) -> Tensor:
    """Set a share of values to zero, and make up for it in the others."""
    if not probability:
        return values
    kept = kept_at_random(values.shape, probability, values.device)
    return _Dropout.apply(values, kept, probability)  # type: ignore[no-any-return, no-untyped-call]


class _Dropout(torch.autograd.Function):
    """Saves a byte a value."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, kept: Tensor, probability: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.probability = probability
        return _thinned(values, kept, probability)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return _thinned(gradient, kept, ctx.probability), None, None


def kept_at_random(
    shape: torch.Size | tuple[int, ...], probability: float, device: torch.device
) -> Tensor:
    """Draw which values a dropout keeps, four to a random number of 64 bits.

    The probability is rounded to a 65,536th. torch's own draws a number a value, and takes
    longer than the matrix product before it.
    """
    count = math.prod(shape)
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    return (drawn.view(torch.int16)[:count] >= _steps(probability) - _STEPS // 2).view(shape)


def _thinned(values: Tensor, kept: Tensor | None, probability: float) -> Tensor:
    if kept is None:
        return values
    return (values * kept).mul_(_STEPS / (_STEPS - _steps(probability)))


def _steps(probability: float) -> int:
    return round(probability * _STEPS)
