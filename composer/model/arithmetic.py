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

from composer.recipe.schema import NonLinearity

ACTIVATIONS: dict[NonLinearity, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


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

    def added(self) -> Tensor:
        """Give what is added to the hidden states: (batch, tokens, size)."""
        return F.linear(self.values, self.up, self.bias)


@dataclass(frozen=True, kw_only=True)
class Members:
    """What the members of a fusion or gate add, side by side: weights only, no token is in it.

    Attributes:
        up: (size, R), of the units of all members.
        bias: (N, size).
        segments: (R, N), 1 where the unit belongs to the member, else 0.
    """

    up: Tensor
    bias: Tensor
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
    """A fusion or gate over N members with R units in all, ready to act on tokens.

    Attributes:
        unit_score: (R, size), or None: units do not score (the gate form).
        unit_score_bias: (R,), or None.
        member_score: (N, size).
        member_score_bias: (N,).
        up: (size, R), V included.
        up_bias: (N, size), V included.
        segments: (R, N), 1 where the unit belongs to the member, else 0.
    """

    unit_score: Tensor | None
    unit_score_bias: Tensor | None
    member_score: Tensor
    member_score_bias: Tensor
    up: Tensor
    up_bias: Tensor
    segments: Tensor


def segments_of(widths: Sequence[int], like: Tensor) -> Tensor:
    """Say which unit belongs to which member: (sum of widths, members), of zeros and ones."""
    owner = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths))
    return F.one_hot(owner, len(widths)).to(like)


def side_by_side(members: Sequence[Units]) -> Members:
    """Put what members add side by side; their `values` are not read."""
    up = torch.cat([member.up for member in members], dim=1)
    return Members(
        up=up,
        bias=torch.stack([member.bias for member in members]),
        segments=segments_of([member.up.shape[1] for member in members], up),
    )


def fold_fusion(
    members: Members, *, query: Tensor, query_bias: Tensor, key: Tensor, value: Tensor
) -> Mixing:
    """Fold AdapterFusion's query, key and value into its members' up-projections.

    AdapterFusion (Pfeiffer et al., 2021, eq. 3 to 6) scores member i by q . K u_i with
    q = Q x + b and u_i = U_i z_i + c_i. The key's bias adds the same to every score and cancels
    in the softmax; q . K U_i z_i = (U_i^T K^T q) . z_i; and V commutes with the sum. All four
    products are of weights, so their cost does not grow with the number of tokens.

    Args:
        members: In order.
        query: (size, size), applied as `x @ query.T`.
        query_bias: (size,).
        key: (size, size).
        value: (size, size).
    """
    keys, bias_keys = key @ members.up, members.bias @ key.T  # (size, R), (N, size)
    return Mixing(
        unit_score=keys.T @ query,
        unit_score_bias=query_bias @ keys,
        member_score=bias_keys @ query,
        member_score_bias=bias_keys @ query_bias,
        up=value @ members.up,
        up_bias=members.bias @ value.T,
        segments=members.segments,
    )


def fold_gate(members: Members, *, gate: Tensor, gate_bias: Tensor) -> Mixing:
    """Prepare the gate form of fusion: p = softmax(W_g x + b_g), out = sum_i p_i u_i.

    Args:
        members: In order.
        gate: (members, size).
        gate_bias: (members,).
    """
    return Mixing(
        unit_score=None,
        unit_score_bias=None,
        member_score=gate,
        member_score_bias=gate_bias,
        up=members.up,
        up_bias=members.bias,
        segments=members.segments,
    )


def mixing_weights(inputs: Tensor, values: Tensor, mixing: Mixing) -> Tensor:
    """Give each member's share, (batch, tokens, members), adding to 1.

    Args:
        inputs: What the adapters read, (batch, tokens, size).
        values: Units of all members side by side, (batch, tokens, R).
        mixing: From `fold_fusion` or `fold_gate`.
    """
    scores = F.linear(inputs, mixing.member_score, mixing.member_score_bias)
    if mixing.unit_score is not None:
        by_unit = values * F.linear(inputs, mixing.unit_score, mixing.unit_score_bias)
        scores = scores + by_unit @ mixing.segments
    return torch.softmax(scores, dim=-1)


def mix(values: Tensor, weights: Tensor, mixing: Mixing) -> Tensor:
    """Add up the members by their shares: (batch, tokens, size)."""
    by_unit = values * (weights @ mixing.segments.T)  # (batch, tokens, R)
    return F.linear(by_unit, mixing.up) + weights @ mixing.up_bias
