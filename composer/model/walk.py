"""One forward pass of a bound composition, from site to site.

At each site what the composition adds goes to the hidden states before the residual and the
norm behind the site:

    a                hidden += a(u)                      u = hidden
    a > b            the same with a, then with b        u = norm(hidden + residual) (pfeiffer)
    average(a, b)    hidden += w_a a(u) + w_b b(u)       u = residual (parallel)
    fuse(a, b)       hidden += V sum_i p_i u_i           p from u and the members' units

then `norm(hidden + residual)`, where `norm` is the top adapter's own copy if it trained one; a
fusion, gate or average has a copy of its own, so that the order of members does not matter.
What an adapter reads at Pfeiffer sites always goes through the backbone's norm.

Before the first site, the first adapter of the stack moves the embeddings if it is invertible.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composer.model.adapters import EmbeddingFunction, Site
from composer.model.arithmetic import (
    ACTIVATIONS,
    Members,
    Units,
    average,
    couple,
    joined,
    middle_layers,
    mix,
    mixing_weights,
    product,
    side_by_side,
    with_constants,
)
from composer.model.mixers import Kept, Mixers, norm_of
from composer.model.parts import Adapter, Bottleneck
from composer.recipe.grammar.adapters import BottleneckShape, sub_layers
from composer.recipe.grammar.composition import (
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    Stack,
    adapter_names,
    mixers_of,
    stacked_parts,
)
from composer.recipe.grammar.invertible import first_adapter

Watch = Callable[[Site, int, Tensor], None]
"""Called with (site, number of the mixer, shares of (real tokens, members))."""


class Walk:
    """One forward pass of one bound composition over the embeddings and all sites.

    Args:
        composition: No "$language" in it.
        adapter: Gives an adapter by its name in the composition.
        mixers: Weights of fusions, gates and norms; None if there are none.
        kept: What earlier passes made of weights alone.
        products: What adapters' own products are taken in; None: in the precision of weights.
        watch: Told the shares of members.
        mask: (batch, tokens), False at padding, for `watch`; None: nothing is padding.
    """

    def __init__(
        self,
        composition: Composition,
        *,
        adapter: Callable[[str], Adapter],
        mixers: Mixers | None,
        kept: Kept,
        products: torch.dtype | None = None,
        watch: Watch | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self.adapter, self.mixers, self.kept, self.products = adapter, mixers, kept, products
        self.watch, self.mask = watch, mask
        self.composition = composition
        self.parts = stacked_parts(composition)
        self.numbers = {id(part): number for number, part in enumerate(mixers_of(composition))}

    @property
    def embed(self) -> EmbeddingFunction | None:
        """What the first adapter does to the embeddings; None: it leaves them as they are."""
        first = first_adapter(self.composition)
        coupling = self.adapter(first).coupling() if first is not None else None
        return None if coupling is None else lambda vectors: couple(vectors, coupling)

    def act(self, site: Site, hidden: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Tensor:
        """Compute a site; all (batch, tokens, size)."""
        reader = _Reader(site, residual, norm, self.products)
        *below, top = self.parts
        for part in below:
            added = self._added(part, reader, hidden)
            hidden = hidden if added is None else hidden + added
        added = self._added(top, reader, hidden)
        total = reader.total(hidden)
        total = total if added is None else total + added
        own = self._own_norm(top, site)
        if own is None:
            return norm(total)  # type: ignore[no-any-return]
        return F.layer_norm(total, norm.normalized_shape, *own, norm.eps)

    def _added(self, part: Composition, reader: "_Reader", hidden: Tensor) -> Tensor | None:
        """Give what a part of the stack adds to the hidden states; None: nothing."""
        if part == NONE:
            return None
        if isinstance(part, Fuse | Gate):
            return self._mixed(part, reader, hidden)
        units = self._units(part, reader, hidden)
        return None if units is None else units.added(self.products)

    def _mixed(self, part: Fuse | Gate, reader: "_Reader", hidden: Tensor) -> Tensor | None:
        if self.mixers is None:
            raise ValueError(f"{part} has no trained weights here")
        shape = self._shape(part)
        if reader.site.where not in sub_layers(shape.placement):
            return None
        members = self._members(part, reader, hidden)
        number = self.numbers[id(part)]
        common = self._in_common(part, reader.site, members)
        mixing = self.mixers.mixing(reader.site, number, part, common, products=self.products)
        values = with_constants(members)
        weights = mixing_weights(reader.read(hidden, shape), values, mixing)
        if self.watch is not None:
            real = weights.flatten(0, 1) if self.mask is None else weights[self.mask]
            self.watch(reader.site, number, real)
        return mix(values, weights, mixing)

    def _members(self, part: Fuse | Gate, reader: "_Reader", hidden: Tensor) -> list[Units]:
        """Give the units of every member; plain ones share one down-projection."""
        plain = [
            adapter
            for member in part.parts
            if isinstance(member, str) and (adapter := self._acting(member, reader.site))
        ]
        if len(plain) > 1:
            reader.project_together(plain, hidden, self.kept)
        found = [self._units(member, reader, hidden) for member in part.parts]
        return [_null(hidden) if units is None else units for units in found]

    def _in_common(self, part: Fuse | Gate, site: Site, members: list[Units]) -> Members:
        """Put what members add side by side; of plain members, once for all batches."""
        weights = [tensor for member in members for tensor in (member.up, member.bias)]
        if not all(isinstance(tensor, nn.Parameter) for tensor in weights):
            return side_by_side(members)  # made for this batch: of stacks, scaled, or none's
        name = ("members", site, self.numbers[id(part)])
        return self.kept.of(name, weights, lambda: side_by_side(members))

    def _units(self, part: Composition, reader: "_Reader", hidden: Tensor) -> Units | None:
        """Give what a member adds, or None where it does not act."""
        match part:
            case Stack(parts=parts):
                return self._stacked(parts, reader, hidden)
            case Average(parts=parts, weights=weights):
                found = [self._units(member, reader, hidden) for member in parts]
                return average([_null(hidden) if u is None else u for u in found], weights)
            case str():
                adapter = self._acting(part, reader.site)
                return reader.units(adapter, hidden) if adapter else None
        raise ValueError(f"{part} cannot be a member of another composition")

    def _stacked(
        self, parts: tuple[Composition, ...], reader: "_Reader", hidden: Tensor
    ) -> Units | None:
        found: list[Units] = []
        for part in parts:
            units = self._units(part, reader, hidden)
            if units is not None:
                found.append(units)
                hidden = hidden + units.added(self.products)
        return joined(found) if found else None

    def _acting(self, name: str, site: Site) -> Bottleneck | None:
        """Give a member that adds to the hidden states at a site; None: it does not."""
        adapter = self.adapter(name) if name != NONE else None
        acts = isinstance(adapter, Bottleneck) and adapter.acts_at(site)
        return adapter if acts else None  # type: ignore[return-value]

    def _shape(self, part: Composition) -> BottleneckShape:
        """Give the shape of a member; all of a mixture read alike."""
        names = [name for name in adapter_names(part) if name != NONE]
        return self.adapter(names[0]).shape  # type: ignore[return-value]

    def _own_norm(self, top: Composition, site: Site) -> tuple[Tensor, Tensor] | None:
        if isinstance(top, str) and top != NONE:
            return norm_of(self.adapter(top), site)
        return self.mixers.norm(site) if self.mixers is not None else None


class _Reader:
    """What adapters read at one site, computed once for all that read the same."""

    def __init__(
        self, site: Site, residual: Tensor, norm: nn.LayerNorm, products: torch.dtype | None
    ) -> None:
        self.site, self.products = site, products
        self.residual = residual
        self.norm = norm
        self._total: tuple[Tensor, Tensor] | None = None  # hidden, and what it adds up to
        self._read: tuple[Tensor, Tensor] | None = None  # hidden, and its norm
        self._first: dict[int, tuple[Tensor, Tensor]] = {}  # adapter -> hidden, units

    def total(self, hidden: Tensor) -> Tensor:
        """Add the residual to hidden states, (batch, tokens, size)."""
        if self._total is None or self._total[0] is not hidden:
            self._total = (hidden, hidden + self.residual)
        return self._total[1]

    def read(self, hidden: Tensor, shape: BottleneckShape) -> Tensor:
        """Give an adapter's input, (batch, tokens, size)."""
        if shape.form == "parallel":
            return self.residual
        if shape.placement != "pfeiffer":
            return hidden
        if self._read is None or self._read[0] is not hidden:
            self._read = (hidden, self.norm(self.total(hidden)))
        return self._read[1]

    def project_together(self, adapters: list[Bottleneck], hidden: Tensor, kept: Kept) -> None:
        """Compute the first units of several adapters as one product."""
        inputs = self.read(hidden, adapters[0].shape)
        downs = [adapter[f"{self.site}.down"] for adapter in adapters]
        biases = [
            adapter.bias(f"{self.site}.down_bias", len(down))
            for adapter, down in zip(adapters, downs, strict=True)
        ]
        of = self.products or inputs.dtype
        name = ("downs", self.site, of, *map(id, adapters))
        weight, bias = kept.of(
            name, [*downs, *biases], lambda: (torch.cat(downs).to(of), torch.cat(biases).to(of))
        )
        together = F.linear(inputs.to(of), weight, bias).to(inputs.dtype)
        kinds = [adapter.shape.non_linearity for adapter in adapters]
        alike = len(set(kinds)) == 1
        if alike:
            together = ACTIVATIONS[kinds[0]](together)
        pieces = torch.split(together, [len(down) for down in downs], dim=-1)
        for adapter, kind, piece in zip(adapters, kinds, pieces, strict=True):
            self._first[id(adapter)] = (hidden, piece if alike else ACTIVATIONS[kind](piece))

    def units(self, adapter: Bottleneck, hidden: Tensor) -> Units:
        """Compute an adapter's units; (batch, tokens, width)."""
        shape, site = adapter.shape, self.site
        values = self._first_units(adapter, hidden)
        values = middle_layers(values, adapter.middle(site), shape.non_linearity)
        values = F.dropout(values, shape.dropout, training=adapter.training)
        up = adapter[f"{site}.up"]
        bias = adapter.bias(f"{site}.up_bias", up.shape[0])
        scaling = adapter.scaling(site)
        if shape.scaling != 1.0:
            up, bias = scaling * up, scaling * bias
        return Units(values=values, up=up, bias=bias)

    def _first_units(self, adapter: Bottleneck, hidden: Tensor) -> Tensor:
        known = self._first.get(id(adapter))
        if known is not None and known[0] is hidden:
            return known[1]
        down = adapter[f"{self.site}.down"]
        bias = adapter.bias(f"{self.site}.down_bias", len(down))
        projected = product(self.read(hidden, adapter.shape), down, bias, self.products)
        return ACTIVATIONS[adapter.shape.non_linearity](projected)


def _null(hidden: Tensor) -> Units:
    """The member that adds nothing: no units, no bias."""
    size = hidden.shape[-1]
    return Units(
        values=hidden.new_zeros((*hidden.shape[:-1], 0)),
        up=hidden.new_zeros((size, 0)),
        bias=hidden.new_zeros(size),
    )
