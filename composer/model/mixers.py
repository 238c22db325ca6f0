"""What gives a composition's fusions and gates their weights while it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from composer.model.adapters import Site
from composer.model.arithmetic import Members, Mixing, fold_fusion, fold_gate
from composer.model.parts import Adapter, Owned
from composer.recipe.grammar.composition import Fuse, Gate

Made = TypeVar("Made")
_State = tuple[Tensor, int, int]  # a weight, how often it was changed, and where it lies


class Mixers(Protocol):
    """The weights of fusions and gates: trained, or folded."""

    def mixing(
        self,
        site: Site,
        number: int,
        composed: Fuse | Gate,
        members: Members,
        *,
        products: torch.dtype | None = None,
    ) -> Mixing:
        """Give the mixing of mixer `number` at a site, over these members.

        Args:
            site: Where.
            number: Of the mixer, in the order of the composition.
            composed: The mixer.
            members: What it mixes.
            products: What products are taken in, of weights and of tokens; None: in the precision
                of the weights. Shares, and what gradients are added to, keep that precision.
        """

    def norm(self, site: Site) -> tuple[Tensor, Tensor] | None:
        """Give the composition's own copy of the norm at a site, if it has one."""


class TrainedMixers:
    """Mixers whose query, key and value are weights, folded anew at each use.

    Args:
        owned: The weights.
    """

    def __init__(self, owned: Owned) -> None:
        self.owned = owned

    def mixing(
        self,
        site: Site,
        number: int,
        composed: Fuse | Gate,
        members: Members,
        *,
        products: torch.dtype | None = None,
    ) -> Mixing:
        """Fold the weights into the members' up-projections."""

        def weight(name: str) -> Tensor:
            return _narrow(self.owned[f"{site}.{number}.{name}"], products)

        members = replace(members, up=_narrow(members.up, products))
        if isinstance(composed, Gate):
            return fold_gate(members, gate=weight("gate"), gate_bias=weight("gate_bias"))
        return fold_fusion(
            members,
            query=weight("query"),
            query_bias=weight("query_bias"),
            key=weight("key"),
            value=weight("value"),
        )

    def norm(self, site: Site) -> tuple[Tensor, Tensor] | None:
        """Give the trained copy of the norm."""
        return norm_of(self.owned, site)


class Kept:
    """What is made of weights alone, kept until one of them changes.

    A fusion's members are frozen while it is trained, and everything is while it predicts; what
    they have in common at a site need not be put together for each batch. Nothing is kept while
    a gradient is wanted.
    """

    def __init__(self) -> None:
        self._made: dict[object, tuple[list[_State], object]] = {}

    def of(self, name: object, weights: Sequence[Tensor], make: Callable[[], Made]) -> Made:
        """Give what was made of these weights, or make it.

        Args:
            name: Of what is made.
            weights: All that it is made of.
            make: Makes it.
        """
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            return make()
        state = [(weight, weight._version, weight.data_ptr()) for weight in weights]
        known = self._made.get(name)
        if known is None or not _same(known[0], state):
            # a tensor made in inference mode could not be used in training afterwards
            with torch.inference_mode(mode=False), torch.no_grad():
                known = self._made[name] = (state, make())
        return known[1]  # type: ignore[return-value]


def norm_of(part: Adapter | Owned, site: Site) -> tuple[Tensor, Tensor] | None:
    """Give a part's own copy of the norm at a site; None: it has none."""
    if f"{site}.norm_weight" not in part:
        return None
    return part[f"{site}.norm_weight"], part[f"{site}.norm_bias"]


def _narrow(weight: Tensor, products: torch.dtype | None) -> Tensor:
    return weight if products is None else weight.to(products)


def _same(one: list[_State], other: list[_State]) -> bool:
    return len(one) == len(other) and all(
        before[0] is now[0] and before[1:] == now[1:]
        for before, now in zip(one, other, strict=True)
    )
