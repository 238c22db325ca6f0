"""Fusions and gates folded for use: query, key and value gone into d x r matrices.

What a bundle holds of a composition, for mixer 0 at site 3.output over N members with R units:

    3.output.0.f_down        (R, size)   scores of units; absent in the gate form
    3.output.0.f_down_bias   (R,)
    3.output.0.f_up_score    (N, size)   scores of members
    3.output.0.f_score       (N,)
    3.output.0.up            (size, R)   all members' up-projections, V included
    3.output.0.up_bias       (N, size)
    3.output.norm_weight     (size,)     if the composition trained norms
    3.output.norm_bias       (size,)

Folded in float64 and rounded once. Which units belong to which member follows from the members.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from composer.model.adapters import Site
from composer.model.arithmetic import Members, Mixing, Units, average, joined, side_by_side
from composer.model.composed import ComposedModel
from composer.model.mixers import TrainedMixers
from composer.model.parts import Bottleneck
from composer.recipe.grammar.composition import (
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    Stack,
    mixers_of,
)


class FoldedMixers:
    """Mixers out of a bundle: nothing left to fold."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._read(tensors)

    def _read(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._joined = {
            name.removesuffix(".up"): _joined(tensors, name.removesuffix(".up"))
            for name in tensors
            if name.endswith(".up")
        }

    def change(self, how: Callable[[Tensor], Tensor]) -> None:
        """Put what a function makes of each tensor in its place: move it to a device."""
        self._read({name: how(tensor) for name, tensor in self._tensors.items()})

    def mixing(
        self,
        site: Site,
        number: int,
        composed: Fuse | Gate,
        members: Members,
        *,
        products: torch.dtype | None = None,
    ) -> Mixing:
        """Give the stored mixing; the members say only how many units each has."""
        score, score_bias, up = self._joined[f"{site}.{number}"]
        return Mixing(score=score, score_bias=score_bias, up=up, segments=members.segments)

    def norm(self, site: Site) -> tuple[Tensor, Tensor] | None:
        """Give the composition's own copy of the norm at a site, if it has one."""
        weight = self._tensors.get(f"{site}.norm_weight")
        return None if weight is None else (weight, self._tensors[f"{site}.norm_bias"])


def fold(model: ComposedModel) -> dict[str, Tensor]:
    """Fold all that a trained composition owns, by the names above; empty if it owns nothing."""
    if not isinstance(model.mixers, TrainedMixers):
        return {}
    owned = model.mixers.owned
    exact = TrainedMixers(owned.doubled())
    folded: dict[str, Tensor] = {}
    for site in model.backbone.sites.order:
        for number, part in enumerate(mixers_of(model.composition)):
            if owned.has_mixer(site, number):
                members = [_projection(member, model, site) for member in part.parts]
                mixing = exact.mixing(site, number, part, side_by_side(members))
                folded |= _named(f"{site}.{number}", part, mixing)
        norm = exact.norm(site)
        if norm is not None:
            folded |= {f"{site}.norm_weight": norm[0], f"{site}.norm_bias": norm[1]}
    return {name: tensor.detach().float() for name, tensor in folded.items()}


def _joined(tensors: Mapping[str, Tensor], prefix: str) -> tuple[Tensor, Tensor, Tensor]:
    """Put units and the constant ones, which stand for biases, side by side as `Mixing` does."""
    of_units = f"{prefix}.f_down" in tensors
    weights = ["f_down", "f_up_score"] if of_units else ["f_up_score"]
    biases = ["f_down_bias", "f_score"] if of_units else ["f_score"]
    return (
        torch.cat([tensors[f"{prefix}.{name}"] for name in weights]),
        torch.cat([tensors[f"{prefix}.{name}"] for name in biases]),
        torch.cat((tensors[f"{prefix}.up"], tensors[f"{prefix}.up_bias"].T), dim=1),
    )


def _named(prefix: str, part: Fuse | Gate, mixing: Mixing) -> dict[str, Tensor]:
    """Undo `_joined`."""
    members = mixing.segments.shape[1]
    units = len(mixing.segments) - members
    scoring = len(mixing.score) - members  # a gate's units do not score
    found = {
        "f_up_score": mixing.score[scoring:],
        "f_score": mixing.score_bias[scoring:],
        "up": mixing.up[:, :units],
        "up_bias": mixing.up[:, units:].T,
    }
    if isinstance(part, Fuse):
        found |= {"f_down": mixing.score[:scoring], "f_down_bias": mixing.score_bias[:scoring]}
    return {f"{prefix}.{name}": tensor.contiguous() for name, tensor in found.items()}


def _projection(part: Composition, model: ComposedModel, site: Site) -> Units:
    """Give a member's up-projection in float64, without units."""
    match part:
        case Stack(parts=parts):
            return joined([_projection(member, model, site) for member in parts])
        case Average(parts=parts, weights=weights):
            return average([_projection(member, model, site) for member in parts], weights)
        case str() if part != NONE:
            adapter = model.adapter(part)
            if isinstance(adapter, Bottleneck) and adapter.acts_at(site):
                return _bottleneck(adapter, site)
    size = model.backbone.size
    return Units(
        values=torch.empty(0), up=torch.zeros(size, 0).double(), bias=torch.zeros(size).double()
    )


def _bottleneck(adapter: Bottleneck, site: Site) -> Units:
    up = adapter[f"{site}.up"].detach().double()
    bias = adapter.bias(f"{site}.up_bias", up.shape[0]).detach().double()
    scaling = torch.as_tensor(adapter.scaling(site)).detach().double()
    return Units(values=torch.empty(0), up=scaling * up, bias=scaling * bias)
