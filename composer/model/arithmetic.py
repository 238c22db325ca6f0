"""What adapters compute at one site, as functions of tensors.

A site is a sub-layer: `hidden` its output, `residual` the stream it is added to, `norm` the
frozen layer norm behind it. An adapter's *units* are the values inside its bottleneck; what it
adds to `hidden` is linear in them, so compositions can be computed on units alone:

    stack      units of the second, read where the first has already added
    average    units side by side, up-projections times the weights
    fusion     softmax over members, from units; see `fold_fusion`

Before all sites an invertible adapter moves the embeddings; see `couple`.

Nothing here is ever of size members x hidden per token. Held equal to a float64 reference
written apart from it (`tests/model/reference.py`) and, where it is right, to `adapters`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from composer.recipe.grammar.adapters import NonLinearity

ACTIVATIONS: dict[NonLinearity, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


def product(values: Tensor, weight: Tensor, bias: Tensor, precision: torch.dtype | None) -> Tensor:
    """Multiply (..., in) to (..., out): `values @ weight.T + bias`, as wide as the values.

    Args:
        values: (..., in).
        weight: (out, in).
        bias: (out,).
        precision: The product is taken in it, and the bias added in that of the values; None: all
            is done in that of the values.
    """
    if precision is None:
        return F.linear(values, weight, bias)
    narrow = F.linear(values.to(precision), weight.to(precision))
    return narrow.to(values.dtype).add_(bias)


@dataclass(frozen=True, kw_only=True)
class Units:
    """What a member of a composition adds: `values @ up.T + bias`.

    Attributes:
        values: (batch, tokens, units); units may be 0, for the null member.
        up: (size, units).
        bias: (size,).
    """

    values: Tensor
    up: Tensor
    bias: Tensor

    def added(self, products: torch.dtype | None = None) -> Tensor:
        """Give what is added to the hidden states: (batch, tokens, size); see `product`."""
        return product(self.values, self.up, self.bias, products)


@dataclass(frozen=True, kw_only=True)
class Members:
    """What the members of a fusion or gate add, side by side: weights only, no token is in it.

    Behind the R units of all members stand N constant ones, each 1 for every token: what such
    a unit adds is its member's bias.

    Attributes:
        up: (size, R + N).
        segments: (R + N, N), 1 where the unit belongs to the member, else 0.
    """

    up: Tensor
    segments: Tensor


@dataclass(frozen=True, kw_only=True)
class TwoLayers:
    """A small network: down, non-linearity, up.

    Attributes:
        down: (quarter, half).
        down_bias: (quarter,).
        up: (half, quarter).
        up_bias: (half,).
        non_linearity: In between.
    """

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor
    non_linearity: NonLinearity

    def of(self, half: Tensor) -> Tensor:
        """Apply it to halves of vectors: (..., half) to the same."""
        narrow = ACTIVATIONS[self.non_linearity](F.linear(half, self.down, self.down_bias))
        return F.linear(narrow, self.up, self.up_bias)


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """What an invertible adapter does to vectors: each half is moved by what the other says.

    Attributes:
        f: Moves the first half, reading the second.
        g: Moves the second half, reading the first where it was moved to.
    """

    f: TwoLayers
    g: TwoLayers


def couple(vectors: Tensor, coupling: Coupling) -> Tensor:
    """Move vectors, (..., size): y1 = x1 + F(x2), y2 = x2 + G(y1).

    Source: NICE, Dinh et al. (2015), eq. 2; MAD-X, Pfeiffer et al. (2020), section 3.3.
    """
    first, second = vectors.chunk(2, dim=-1)
    first = first + coupling.f.of(second)
    second = second + coupling.g.of(first)
    return torch.cat((first, second), dim=-1)


def uncouple(vectors: Tensor, coupling: Coupling) -> Tensor:
    """Undo `couple`: x2 = y2 - G(y1), x1 = y1 - F(x2)."""
    first, second = vectors.chunk(2, dim=-1)
    second = second - coupling.g.of(first)
    first = first - coupling.f.of(second)
    return torch.cat((first, second), dim=-1)


def middle_layers(
    values: Tensor, middle: Sequence[tuple[Tensor, Tensor]], non_linearity: NonLinearity
) -> Tensor:
    """Pass units through an MAdapter's middle layers, (batch, tokens, width) to the same.

    Source: Kim and Kim, MAdapter; h + f(f(h W_down) W_mid) W_up.
    """
    for weight, bias in middle:
        values = ACTIVATIONS[non_linearity](F.linear(values, weight, bias))
    return values


def average(members: Sequence[Units], weights: Sequence[float]) -> Units:
    """Join members into one that adds the weighted mean of what they add."""
    return Units(
        values=torch.cat([member.values for member in members], dim=-1),
        up=torch.cat([w * m.up for w, m in zip(weights, members, strict=True)], dim=1),
        bias=sum_of([w * m.bias for w, m in zip(weights, members, strict=True)]),
    )


def joined(members: Sequence[Units]) -> Units:
    """Join members into one that adds what they add together."""
    return average(members, [1.0] * len(members))


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """Add tensors of one shape, in order."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """A fusion or gate over N members with R units and N constant ones, ready to act on tokens.

    Attributes:
        score: (R + N, size), or (N, size) where units do not score (the gate form).
        score_bias: (R + N,) or (N,).
        up: (size, R + N), V included.
        segments: (R + N, N); see `Members`.

    Products with tokens are taken in the precision of `score` and `up`; what they give is as
    wide as the tokens.
    """

    score: Tensor
    score_bias: Tensor
    up: Tensor
    segments: Tensor


def segments_of(widths: Sequence[int], like: Tensor) -> Tensor:
    """Say which unit belongs to which member: (sum of widths + members, members), zeros and ones.

    >>> segments_of([2, 1], torch.zeros(1)).tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    members = torch.arange(len(widths))
    owner = torch.cat((torch.repeat_interleave(members, torch.tensor(widths)), members))
    return F.one_hot(owner, len(widths)).to(like)


def side_by_side(members: Sequence[Units]) -> Members:
    """Put what members add side by side; their `values` are not read."""
    up = torch.cat(
        [*(member.up for member in members), *(member.bias.unsqueeze(1) for member in members)],
        dim=1,
    )
    return Members(up=up, segments=segments_of([member.up.shape[1] for member in members], up))


def fold_fusion(
    members: Members, *, query: Tensor, query_bias: Tensor, key: Tensor, value: Tensor
) -> Mixing:
    """Fold AdapterFusion's query, key and value into its members' up-projections.

    AdapterFusion (Pfeiffer et al., 2021, eq. 3 to 6) scores member i by q . K u_i with
    q = Q x + b and u_i = U_i z_i, its bias being that of a constant unit. The key's bias adds
    the same to every score and cancels in the softmax; q . K U_i z_i = (U_i^T K^T q) . z_i; and
    V commutes with the sum. All products are of weights, so their cost does not grow with the
    number of tokens.

    Args:
        members: In order.
        query: (size, size), applied as `x @ query.T`.
        query_bias: (size,).
        key: (size, size).
        value: (size, size).
    """
    keys = key @ members.up  # (size, R + N)
    return Mixing(
        score=keys.T @ query,
        score_bias=query_bias @ keys,
        up=value @ members.up,
        segments=members.segments,
    )


def fold_gate(members: Members, *, gate: Tensor, gate_bias: Tensor) -> Mixing:
    """Prepare the gate form of fusion: p = softmax(W_g x + b_g), out = sum_i p_i u_i.

    Args:
        members: In order.
        gate: (members, size).
        gate_bias: (members,).
    """
    return Mixing(score=gate, score_bias=gate_bias, up=members.up, segments=members.segments)


def with_constants(members: Sequence[Units]) -> Tensor:
    """Put members' units and their constant ones side by side: (batch, tokens, R + N)."""
    first = members[0].values
    constants = first.new_ones((*first.shape[:-1], len(members)))
    return torch.cat([*(member.values for member in members), constants], dim=-1)


def mixing_weights(inputs: Tensor, values: Tensor, mixing: Mixing) -> Tensor:
    """Give each member's share, (batch, tokens, members), adding to 1.

    Args:
        inputs: What the adapters read, (batch, tokens, size).
        values: From `with_constants`.
        mixing: From `fold_fusion` or `fold_gate`.
    """
    scores = F.linear(inputs.to(mixing.score.dtype), mixing.score, mixing.score_bias)
    scores = scores.to(values.dtype)
    if len(mixing.score) == len(mixing.segments):  # of units; a gate's are of members
        scores = (values * scores) @ mixing.segments
    return torch.softmax(scores, dim=-1)


def mix(values: Tensor, weights: Tensor, mixing: Mixing) -> Tensor:
    """Add up the members by their shares: (batch, tokens, size)."""
    shares = values * (weights @ mixing.segments.T)
    return F.linear(shares.to(mixing.up.dtype), mixing.up).to(values.dtype)
