"""The published formulas at one site, written out the long way in float64.

Written apart from `composer.model`: it shares no code with it, folds nothing, keeps the key's
bias, and makes the members x size tensors that composer never makes. Weights are plain
dictionaries by file name, cast to float64.
"""

import torch
from torch import Tensor

FUNCTIONS = {
    "relu": lambda x: x.clamp(min=0),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "swish": lambda x: x / (1 + torch.exp(-x)),
    "tanh": torch.tanh,
}


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def up_projection(u: Tensor, w: dict[str, Tensor], site: str, f: str, middle: int = 0) -> Tensor:
    """What one bottleneck adds: f(...f(u W_down) W_mid...) W_up."""
    z = FUNCTIONS[f](u @ w[f"{site}.down"].T + w[f"{site}.down_bias"])
    for depth in range(middle):
        z = FUNCTIONS[f](z @ w[f"{site}.middle.{depth}"].T + w[f"{site}.middle.{depth}_bias"])
    return z @ w[f"{site}.up"].T + w[f"{site}.up_bias"]


def moved(x: Tensor, w: dict[str, Tensor], f: str) -> Tensor:
    """An invertible adapter at the embeddings: NICE, eq. 2 of Dinh et al. (2015), both ways."""
    half = x.shape[-1] // 2
    y1 = x[..., :half] + _half(x[..., half:], w, "f", f)
    y2 = x[..., half:] + _half(y1, w, "g", f)
    return torch.cat([y1, y2], -1)


def moved_back(y: Tensor, w: dict[str, Tensor], f: str) -> Tensor:
    half = y.shape[-1] // 2
    x2 = y[..., half:] - _half(y[..., :half], w, "g", f)
    x1 = y[..., :half] - _half(x2, w, "f", f)
    return torch.cat([x1, x2], -1)


def _half(x: Tensor, w: dict[str, Tensor], which: str, f: str) -> Tensor:
    z = x @ w[f"embeddings.{which}_down"].T + w.get(f"embeddings.{which}_down_bias", 0.0)
    return FUNCTIONS[f](z) @ w[f"embeddings.{which}_up"].T + w.get(
        f"embeddings.{which}_up_bias", 0.0
    )


def fusion(
    u: Tensor, ups: list[Tensor], w: dict[str, Tensor], prefix: str, key_bias: Tensor
) -> Tensor:
    """AdapterFusion, eq. 3 to 6 of Pfeiffer et al. (2021)."""
    members = torch.stack(ups, dim=-2)  # (batch, tokens, members, size)
    query = u @ w[f"{prefix}.query"].T + w[f"{prefix}.query_bias"]
    keys = members @ w[f"{prefix}.key"].T + key_bias
    scores = (keys * query.unsqueeze(-2)).sum(-1)
    shares = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)
    values = members @ w[f"{prefix}.value"].T
    return (values * shares.unsqueeze(-1)).sum(-2)


def gate(u: Tensor, ups: list[Tensor], w: dict[str, Tensor], prefix: str) -> Tensor:
    scores = u @ w[f"{prefix}.gate"].T + w[f"{prefix}.gate_bias"]
    shares = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)
    return (torch.stack(ups, dim=-2) * shares.unsqueeze(-1)).sum(-2)
