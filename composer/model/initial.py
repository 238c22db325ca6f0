"""What a bottleneck's matrices start with, by the word that a recipe says.

    normal             N(0, 0.02), as BERT; middle layers N(0, sqrt(2 / width))
    near-identity      up-projections 0, so that nothing is added; down-projections as torch's
                       linear layers (Hu et al., 2022, section 4.1; He et al., 2022)
    xavier             U(-a, a) with a = sqrt(6 / (in + out))   (Glorot and Bengio, 2010, eq. 16)
    truncated-normal   N(0, 0.01) within two deviations (Houlsby et al., 2019, section 3.6)

Biases start at 0 and a learned scaling at 1.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

STD = 0.02  # BERT's; both projections, so that SNIP scores are not all zero
TRUNCATED_STD = 0.01

Lengths = tuple[int, int]  # out, in


def normal(lengths: tuple[int, ...], generator: torch.Generator, std: float = STD) -> Tensor:
    """Draw from N(0, std)."""
    return torch.empty(lengths).normal_(0.0, std, generator=generator)


def middle_std(width: int) -> float:
    """Give the spread that middle layers start with: sqrt(2 / width), which keeps a signal's size.

    With N(0, 0.02) three matrices in a row leave next to nothing of it, and nothing is learnt
    (He et al., 2015, eq. 10).
    """
    return math.sqrt(2.0 / width)


def initial(init: str, name: str, lengths: Lengths, generator: torch.Generator) -> Tensor:
    """Start a matrix of a bottleneck.

    Args:
        init: The recipe's word.
        name: "down", "up", or "middle" and a number.
        lengths: Outputs and inputs.
        generator: Source of the weights.
    """
    return _INITS[init](name, lengths, generator)


def _normal(name: str, lengths: Lengths, generator: torch.Generator) -> Tensor:
    return normal(lengths, generator, _std(name, lengths, STD))


def _near_identity(name: str, lengths: Lengths, generator: torch.Generator) -> Tensor:
    if name == "up":
        return torch.zeros(lengths)
    if name != "down":
        return _normal(name, lengths, generator)
    bound = 1.0 / math.sqrt(lengths[1])
    return torch.empty(lengths).uniform_(-bound, bound, generator=generator)


def _xavier(name: str, lengths: Lengths, generator: torch.Generator) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(lengths), generator=generator)


def _truncated_normal(name: str, lengths: Lengths, generator: torch.Generator) -> Tensor:
    std = _std(name, lengths, TRUNCATED_STD)
    return nn.init.trunc_normal_(
        torch.empty(lengths), std=std, a=-2 * std, b=2 * std, generator=generator
    )


def _std(name: str, lengths: Lengths, std: float) -> float:
    return middle_std(lengths[0]) if name.startswith("middle") else std


_INITS: dict[str, Callable[[str, Lengths, torch.Generator], Tensor]] = {
    "normal": _normal,
    "near-identity": _near_identity,
    "xavier": _xavier,
    "truncated-normal": _truncated_normal,
}
