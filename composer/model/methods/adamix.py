"""AdaMix: several bottlenecks a site, drawn anew each step, averaged into one at the end.

    3.output.down.0 (width, size)   3.output.down_bias.0 (width,)      of the first expert
    3.output.up.0 (size, width)     3.output.up_bias.0 (size,)         and so on
    3.output.norm_weight (size,)    3.output.scaling (1,)              shared, where there are any

At each site a way down and a way up are drawn apart from each other, the same for a whole batch.
What is not routed (the score of an epoch, what is stored) is the mean of the experts: one
bottleneck, which is a plain one everywhere after.

Source: Wang et al. (2022), AdaMix, sections 3.1 and 3.3.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from composer.model.adapters import Site
from composer.model.parts import Bottleneck, new_bottleneck
from composer.recipe.grammar.adapters import AdaMix, merged_shape

Route = Mapping[str, int]
"""Name of a tensor, as a plain bottleneck has it -> the expert whose it is."""

_ROUTED = re.compile(r"(\d+\.(?:attention|output)\.(?:down|up))(?:_bias)?")


class Experts(Bottleneck):
    """Bottlenecks that are trained side by side; asked for by plain names, they give one.

    Attributes:
        experts: How many.
    """

    shape: AdaMix

    def __init__(self, shape: AdaMix, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(shape, tensors)
        self.experts = shape.experts
        first = [name for name in self.names if name.endswith(".0")]
        self._routed = {name.removesuffix(".0") for name in first}
        self._route: Route | None = None

    @property
    def ways(self) -> list[str]:
        """Name what is drawn: a way down and a way up at each site."""
        return sorted(name for name in self._routed if not name.endswith("_bias"))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._routed:
            return super().__getitem__(name)
        if self._route is not None:
            return super().__getitem__(f"{name}.{self._route[name.removesuffix('_bias')]}")
        every = [super(Experts, self).__getitem__(f"{name}.{n}") for n in range(self.experts)]
        return torch.stack(every).mean(0)

    def __contains__(self, name: str) -> bool:
        return name in self._routed or super().__contains__(name)

    @contextmanager
    def routed(self, route: Route) -> Iterator[None]:
        """Let one way down and one way up act at each site while the block runs."""
        self._route = route
        try:
            yield
        finally:
            self._route = None

    def merged(self) -> Bottleneck:
        """Average the experts into the bottleneck that is stored."""
        plain = {*self._routed, *(name for name in self.names if not _expert(name))}
        found = Bottleneck(
            merged_shape(self.shape), {name: self[name].detach() for name in sorted(plain)}
        )
        found.freeze()
        return found


def new_experts(
    shape: AdaMix,
    *,
    sites: Mapping[Site, nn.LayerNorm],
    size: int,
    generator: torch.Generator,
) -> Experts:
    """Make untrained experts, each drawn on its own."""
    plain = merged_shape(shape)
    made = [
        new_bottleneck(plain, sites=sites, size=size, generator=generator).tensors()
        for _ in range(shape.experts)
    ]
    tensors = {name: one for name, one in made[0].items() if not _ROUTED.fullmatch(name)}
    for number, one in enumerate(made):
        tensors |= {f"{name}.{number}": one[name] for name in one if _ROUTED.fullmatch(name)}
    return Experts(shape, tensors)


def draw_routes(
    ways: Sequence[str], experts: int, *, seed: int, step: int, count: int
) -> list[Route]:
    """Draw routes for one step; the same seed and step give the same ones.

    >>> routes = draw_routes(["0.output.down", "0.output.up"], 4, seed=13, step=0, count=2)
    >>> [sorted(route) for route in routes]
    [['0.output.down', '0.output.up'], ['0.output.down', '0.output.up']]
    """
    rng = np.random.Generator(np.random.PCG64([seed, step]))
    # Only uniform numbers are drawn: their stream is the same in every version of numpy.
    chosen = (rng.random((count, len(ways))) * experts).astype(int)
    return [dict(zip(ways, map(int, row), strict=True)) for row in chosen]


def _expert(name: str) -> bool:
    """Say whether a tensor is one expert's."""
    plain, _, number = name.rpartition(".")
    return number.isdigit() and _ROUTED.fullmatch(plain) is not None
