"""A model: a frozen backbone, a composition of adapters acting on it, and a head.

At each site the composition is walked once. What it adds goes to the hidden states before the
residual and the norm behind the site:

    a                hidden += a(u)                      u = hidden (houlsby)
    a > b            the same with a, then with b        u = norm(hidden + residual) (pfeiffer)
    average(a, b)    hidden += w_a a(u) + w_b b(u)
    fuse(a, b)       hidden += V sum_i p_i u_i           p from u and the members' units

then `norm(hidden + residual)`, where `norm` is the top adapter's own copy if it trained one; a
fusion, gate or average has a copy of its own, so that the order of members does not matter.
What an adapter reads at Pfeiffer sites always goes through the backbone's norm.

Before the first site, the first adapter of the stack moves the embeddings if it is invertible.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composer.errors import AdapterError
from composer.model.adapters import EmbeddingFunction, Site, SiteFunction
from composer.model.arithmetic import (
    ACTIVATIONS,
    Mixing,
    Units,
    average,
    couple,
    fold_fusion,
    fold_gate,
    joined,
    middle_layers,
    mix,
    mixing_weights,
)
from composer.model.backbone import Backbone
from composer.model.parts import Adapter, Head, Owned
from composer.recipe.composition import (
    LANGUAGE,
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    Stack,
    adapter_names,
    bind,
    mixers_of,
    stacked_parts,
)
from composer.recipe.invertible import first_adapter, misplaced
from composer.recipe.schema import Placement

Watch = Callable[[Site, int, Tensor], None]
"""Called with (site, number of the mixer, shares of (real tokens, members))."""


class Mixers(Protocol):
    """What gives a composition's fusions and gates their weights: trained, or folded."""

    def mixing(
        self, site: Site, number: int, composed: Fuse | Gate, members: list[Units]
    ) -> Mixing:
        """Give the mixing of mixer `number` at a site, over these members."""

    def norm(self, site: Site) -> tuple[Tensor, Tensor] | None:
        """Give the composition's own copy of the norm at a site, if it has one."""


class TrainedMixers:
    """Mixers whose query, key and value are weights, folded anew at each use."""

    def __init__(self, owned: Owned) -> None:
        self.owned = owned

    def mixing(
        self, site: Site, number: int, composed: Fuse | Gate, members: list[Units]
    ) -> Mixing:
        """Fold the weights into the members' up-projections."""
        prefix = f"{site}.{number}"
        if isinstance(composed, Gate):
            return fold_gate(
                members,
                gate=self.owned[f"{prefix}.gate"],
                gate_bias=self.owned[f"{prefix}.gate_bias"],
            )
        return fold_fusion(
            members,
            query=self.owned[f"{prefix}.query"],
            query_bias=self.owned[f"{prefix}.query_bias"],
            key=self.owned[f"{prefix}.key"],
            value=self.owned[f"{prefix}.value"],
        )

    def norm(self, site: Site) -> tuple[Tensor, Tensor] | None:
        """Give the trained copy of the norm."""
        return _norm_of(self.owned, site)


class ComposedModel(nn.Module):
    """Backbone, composition and head, put together and ready to run.

    The backbone is not a submodule: it is shared, frozen, and in no state of this model.

    Args:
        backbone: Shared by all models.
        composition: May hold "$language", which each call binds.
        adapters: Name in the composition -> adapter.
        mixers: Weights of fusions, gates and norms; None if the composition has none.
        head: Left out for masked language modelling.
        pooling: "mean", "first", or "none" for one output a token.

    Raises:
        AdapterError: An adapter is invertible and not the first of the stack.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        composition: Composition,
        adapters: Mapping[str, Adapter],
        mixers: Mixers | None = None,
        head: Head | None = None,
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        _refuse_misplaced(composition, adapters)
        self._backbone = (backbone,)  # a tuple hides it from `nn.Module`
        self.composition = composition
        self.members = nn.ModuleDict({_key(name): adapters[name] for name in sorted(adapters)})
        self.mixers = mixers
        self.owned = mixers.owned if isinstance(mixers, TrainedMixers) else None
        self.head = head
        self.pooling = pooling
        self.watch: Watch | None = None

    @property
    def backbone(self) -> Backbone:
        """The frozen backbone."""
        return self._backbone[0]

    def adapter(self, name: str) -> Adapter:
        """Give a member by its name in the composition."""
        return self.members[_key(name)]  # type: ignore[return-value]

    def site_function(
        self, language: str | None = None, *, mask: Tensor | None = None
    ) -> SiteFunction:
        """Give what this model does at a site, with `$language` bound.

        Args:
            language: Left out where the composition is bound already.
            mask: (batch, tokens), False at padding; only `watch` needs it.
        """
        return self._walk(language, mask).act

    def _walk(self, language: str | None, mask: Tensor | None) -> "_Walk":
        composition = bind(self.composition, language) if language else self.composition
        return _Walk(self, composition, mask)

    def hidden(self, batch: Mapping[str, Tensor], *, language: str | None = None) -> Tensor:
        """Run backbone and composition: the last hidden states, (batch, tokens, size)."""
        walk = self._walk(language, batch["attention_mask"].bool())
        with self.backbone.sites.acting(walk.act, walk.embed):
            return self.backbone.encode(batch)

    def forward(self, batch: Mapping[str, Tensor], *, language: str | None = None) -> Tensor:
        """Give logits: (batch, classes), or (batch, tokens, classes) where nothing is pooled."""
        hidden = self.hidden(batch, language=language)
        if self.head is None:
            raise ValueError("this model has no head")
        pooled = pool(hidden, batch["attention_mask"], self.pooling)
        return F.linear(pooled, self.head["weight"], self.head["bias"])


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Make one vector of a sentence: the mean of its tokens, or the first; "none": keep all."""
    if pooling == "none":
        return hidden
    if pooling == "first":
        return hidden[:, 0]
    weights = mask.to(hidden.dtype).unsqueeze(-1)  # (batch, tokens, 1)
    return (hidden * weights).sum(1) / weights.sum(1)


def _refuse_misplaced(composition: Composition, adapters: Mapping[str, Adapter]) -> None:
    named = set(adapter_names(composition))
    invertible = {name for name, adapter in adapters.items() if adapter.shape.invertible}
    if invertible - named:
        invertible.add(LANGUAGE)  # what the composition does not name, it will be bound to
    message = misplaced(composition, invertible)
    if message is not None:
        raise AdapterError(message)


class _Walk:
    """One forward pass of one bound composition over the embeddings and all sites."""

    def __init__(
        self, model: ComposedModel, composition: Composition, mask: Tensor | None = None
    ) -> None:
        self.model = model
        self.mask = mask  # (batch, tokens), False at padding; for `watch` only
        self.composition = composition
        self.parts = stacked_parts(composition)
        self.numbers = {id(part): number for number, part in enumerate(mixers_of(composition))}

    @property
    def embed(self) -> EmbeddingFunction | None:
        """What the first adapter does to the embeddings; None: it leaves them as they are."""
        first = first_adapter(self.composition)
        coupling = self.model.adapter(first).coupling() if first is not None else None
        return None if coupling is None else lambda vectors: couple(vectors, coupling)

    def act(self, site: Site, hidden: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Tensor:
        reader = _Reader(site, residual, norm)
        for part in self.parts:
            hidden = self._apply(part, reader, hidden)
        own = self._own_norm(self.parts[-1], site)
        if own is None:
            return norm(hidden + residual)  # type: ignore[no-any-return]
        return F.layer_norm(hidden + residual, norm.normalized_shape, *own, norm.eps)

    def _apply(self, part: Composition, reader: "_Reader", hidden: Tensor) -> Tensor:
        if part == NONE:
            return hidden
        if isinstance(part, Fuse | Gate):
            return self._mix(part, reader, hidden)
        units = self._units(part, reader, hidden)
        return hidden if units is None else hidden + units.added()

    def _mix(self, part: Fuse | Gate, reader: "_Reader", hidden: Tensor) -> Tensor:
        if self.model.mixers is None:
            raise ValueError(f"{part} has no trained weights here")
        placement = self._placement(part)
        if placement == "pfeiffer" and reader.site.where != "output":
            return hidden
        members = self._members(part, reader, hidden)
        number = self.numbers[id(part)]
        mixing = self.model.mixers.mixing(reader.site, number, part, members)
        values = torch.cat([member.values for member in members], dim=-1)
        weights = mixing_weights(reader.read(hidden, placement), values, mixing)
        if self.model.watch is not None and self.mask is not None:
            self.model.watch(reader.site, number, weights[self.mask])
        return hidden + mix(values, weights, mixing)

    def _members(self, part: Fuse | Gate, reader: "_Reader", hidden: Tensor) -> list[Units]:
        """Give the units of every member; plain ones share one down-projection."""
        plain = [
            self.model.adapter(member)
            for member in part.parts
            if isinstance(member, str) and member != NONE
        ]
        plain = [adapter for adapter in plain if adapter.acts_at(reader.site)]
        if len(plain) > 1:
            reader.project_together(plain, hidden)
        found = [self._units(member, reader, hidden) for member in part.parts]
        return [_null(hidden) if units is None else units for units in found]

    def _units(self, part: Composition, reader: "_Reader", hidden: Tensor) -> Units | None:
        """Give what a member adds, or None where it does not act."""
        match part:
            case Stack(parts=parts):
                return self._stacked(parts, reader, hidden)
            case Average(parts=parts, weights=weights):
                found = [self._units(member, reader, hidden) for member in parts]
                return average([_null(hidden) if u is None else u for u in found], weights)
            case str() if part != NONE and self.model.adapter(part).acts_at(reader.site):
                return reader.units(self.model.adapter(part), hidden)
            case str():
                return None
        raise ValueError(f"{part} cannot be a member of another composition")

    def _stacked(
        self, parts: tuple[Composition, ...], reader: "_Reader", hidden: Tensor
    ) -> Units | None:
        found: list[Units] = []
        for part in parts:
            units = self._units(part, reader, hidden)
            if units is not None:
                found.append(units)
                hidden = hidden + units.added()
        return joined(found) if found else None

    def _placement(self, part: Composition) -> Placement:
        names = [name for name in adapter_names(part) if name != NONE]
        return self.model.adapter(names[0]).shape.placement

    def _own_norm(self, top: Composition, site: Site) -> tuple[Tensor, Tensor] | None:
        if isinstance(top, str) and top != NONE:
            return _norm_of(self.model.adapter(top), site)
        return self.model.mixers.norm(site) if self.model.mixers is not None else None


class _Reader:
    """What adapters read at one site, computed once for all that read the same."""

    def __init__(self, site: Site, residual: Tensor, norm: nn.LayerNorm) -> None:
        self.site = site
        self.residual = residual
        self.norm = norm
        self._read: tuple[Tensor, Tensor] | None = None  # hidden, and its norm
        self._projected: dict[int, tuple[Tensor, Tensor]] = {}  # adapter -> hidden, projection

    def read(self, hidden: Tensor, placement: Placement) -> Tensor:
        """Give an adapter's input, (batch, tokens, size)."""
        if placement == "houlsby":
            return hidden
        if self._read is None or self._read[0] is not hidden:
            self._read = (hidden, self.norm(hidden + self.residual))
        return self._read[1]

    def project_together(self, adapters: list[Adapter], hidden: Tensor) -> None:
        """Compute the down-projections of several adapters as one product."""
        inputs = self.read(hidden, adapters[0].shape.placement)
        downs = [adapter[f"{self.site}.down"] for adapter in adapters]
        biases = [
            adapter.bias(f"{self.site}.down_bias", len(down))
            for adapter, down in zip(adapters, downs, strict=True)
        ]
        together = F.linear(inputs, torch.cat(downs), torch.cat(biases))
        pieces = torch.split(together, [len(down) for down in downs], dim=-1)
        for adapter, piece in zip(adapters, pieces, strict=True):
            self._projected[id(adapter)] = (hidden, piece)

    def units(self, adapter: Adapter, hidden: Tensor) -> Units:
        """Compute an adapter's units; (batch, tokens, width)."""
        shape, site = adapter.shape, self.site
        values = self._down(adapter, hidden)
        values = ACTIVATIONS[shape.non_linearity](values)
        values = middle_layers(values, adapter.middle(site), shape.non_linearity)
        values = F.dropout(values, shape.dropout, training=adapter.training)
        up = adapter[f"{site}.up"]
        bias = adapter.bias(f"{site}.up_bias", up.shape[0])
        scaling = float(shape.scaling)
        if scaling != 1.0:
            up, bias = scaling * up, scaling * bias
        return Units(values=values, up=up, bias=bias)

    def _down(self, adapter: Adapter, hidden: Tensor) -> Tensor:
        known = self._projected.get(id(adapter))
        if known is not None and known[0] is hidden:
            return known[1]
        down = adapter[f"{self.site}.down"]
        bias = adapter.bias(f"{self.site}.down_bias", len(down))
        return F.linear(self.read(hidden, adapter.shape.placement), down, bias)


def _norm_of(part: Adapter | Owned, site: Site) -> tuple[Tensor, Tensor] | None:
    if f"{site}.norm_weight" not in part:
        return None
    return part[f"{site}.norm_weight"], part[f"{site}.norm_bias"]


def _null(hidden: Tensor) -> Units:
    """The member that adds nothing: no units, no bias."""
    size = hidden.shape[-1]
    return Units(
        values=hidden.new_zeros((*hidden.shape[:-1], 0)),
        up=hidden.new_zeros((size, 0)),
        bias=hidden.new_zeros(size),
    )


def _key(name: str) -> str:
    return f"member {name}"
