"""The forward pass of BERT-like encoders, made for learning adapters through frozen weights.

It computes what `transformers` does, with the products of a layer on all tokens of a batch, and
no padding among them:

    joined  = x W_qkv                       one product for query, key and value
    hidden  = attend(joined) W_mixed        then the site of the attention
    hidden  = gelu(x W_wide) W_narrow       then the site of the feed-forward block

Kinds of adapters that act inside a layer hand over layers of their own for one pass (`Changes`);
nothing is ever held on the encoder, which other threads are using.

In bfloat16 only what a product reads and gives is narrow; residuals, norms, softmax and the
biases in front of a site are float32. A frozen weight needs no gradient, so nothing is kept
for the backward pass but what the attention and the non-linearity read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composer.model.adapters import Site, Sites
from composer.model.architectures import EncoderConfig
from composer.model.attention import Packing, attend, attend_with_prefix, drop
from composer.model.embeddings import Embeddings
from composer.model.layouts import LAYOUTS
from composer.model.products import Product, product_of

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One block: attention and its site, feed-forward and its site.

    Attributes:
        joined: Query, key and value.
        mixed: Behind the heads.
        wide: Into the feed-forward block.
        narrow: Out of it.
        sites: Of the attention and of the feed-forward block.
        norms: Behind them.
        norm_deltas: Added to the bias of each norm; None: nothing is.
        prefix: Keys and values before those of every text, both (positions, size).
    """

    joined: Product
    mixed: Product
    wide: Product
    narrow: Product
    sites: tuple[Site, Site]
    norms: tuple[nn.LayerNorm, nn.LayerNorm]
    norm_deltas: tuple[Tensor | None, Tensor | None] = (None, None)
    prefix: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What one pass computes otherwise than the frozen encoder does.

    Attributes:
        layers: In place of the encoder's, as many.
        embeddings: In place of the module's; None: the module's.
        prompt: Vectors before those of every text, (positions, size); None: there are none. The
            layers see them as tokens, and they are left out of what is returned.
    """

    layers: Sequence[Layer]
    embeddings: Embeddings | None = None
    prompt: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """What a site is given by the layers below it.

    Attributes:
        site: Where it arrives.
        hidden: What the sub-layer gives, (all tokens, size), one text behind the other.
        residual: What that is added to, likewise.
    """

    site: Site
    hidden: Tensor
    residual: Tensor

    def only(self, wanted: Tensor) -> "Arrived":
        """Give the wanted tokens alone."""
        hidden, residual = (one.index_select(0, wanted) for one in (self.hidden, self.residual))
        return Arrived(site=self.site, hidden=hidden, residual=residual)


class Encoder:
    """A frozen encoder's layers, as products.

    Args:
        module: Of `transformers`; its query, key and value become views of one matrix.
        kind: Its architecture, one of `LAYOUTS`.
        config: Of it.
        sites: Where adapters act.
        norms: Behind each site.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        kind: str,
        config: EncoderConfig,
        sites: Sites,
        norms: Mapping[Site, nn.LayerNorm],
    ) -> None:
        self.module, self.sites, self.config, self.kind = module, sites, config, kind
        self.activation = _ACTIVATIONS[config.hidden_act]
        self.mixed_dropout = 0.0 if kind == "distilbert" else config.hidden_dropout_prob
        self._layout, self._norms = LAYOUTS[kind], norms
        self.read_weights()

    def read_weights(self) -> None:
        """Take the weights from where the module has them now."""
        self._prepacks = False
        self.layers = [
            _layer(self.module, self._layout, number, self.sites.order, self._norms)
            for number in range(self.config.num_hidden_layers)
        ]

    def prepack(self, *, wanted: bool) -> None:
        """Lay the weights of all layers out beforehand, where that is of use, or give it up.

        What is computed stays the same; see `composer.model.prepacked`.
        """
        if wanted == self._prepacks:
            return
        self._prepacks = wanted
        self.layers = [
            replace(
                layer,
                joined=layer.joined.laid_out(prepack=wanted),
                mixed=layer.mixed.laid_out(prepack=wanted),
                wide=layer.wide.laid_out(prepack=wanted),
                narrow=layer.narrow.laid_out(prepack=wanted),
            )
            for layer in self.layers
        ]

    @property
    def embeddings(self) -> Embeddings:
        """The weights in front of the first layer, as they are now."""
        weights = {
            name: self.module.get_parameter(self._layout[f"embeddings.{name}"])
            for name in ("tokens", "positions", "types")
            if f"embeddings.{name}" in self._layout
        }
        norm = cast(nn.LayerNorm, self.module.get_submodule(self._layout["embeddings.norm"]))
        return Embeddings(
            tokens=weights["tokens"],
            positions=weights["positions"],
            types=weights.get("types"),
            norm_weight=norm.weight,
            norm_bias=norm.bias,
            epsilon=norm.eps,
        )

    def run(
        self,
        batch: Mapping[str, Tensor],
        changes: Changes | None = None,
        *,
        first_only: bool = False,
        arrived: Arrived | None = None,
    ) -> Tensor:
        """Encode token ids of (texts, tokens) to (texts, tokens, size), zeros at padding.

        At the sites a batch is one text of all its tokens, (1, all tokens, size).

        Args:
            batch: `input_ids`, `attention_mask`, `token_type_ids`.
            changes: What this pass computes otherwise.
            first_only: Give each text's first token alone, (texts, 1, size). Behind the last
                attention no token looks at another, so the rest of them stop there.
            arrived: What a site is given, to begin there; nothing is changed below it.
        """
        changes = changes or Changes(layers=self.layers)
        before = 0 if changes.prompt is None else len(changes.prompt)
        mask = F.pad(batch["attention_mask"].bool(), (before, 0), value=True)
        packing, last = Packing.of(mask), changes.layers[-1]
        wanted = packing.numbers(before) if first_only else None
        if arrived is None:
            hidden = self._enter(batch, changes, packing)
        elif wanted is not None and arrived.site in last.sites:
            arrived = arrived.only(wanted)
        for layer, half in _halves(changes.layers, arrived):
            if arrived is not None and layer.sites[half] == arrived.site:
                out, residual = arrived.hidden.unsqueeze(0), arrived.residual.unsqueeze(0)
            else:
                some = wanted if layer is last else None
                out, residual = self._sub_layer(layer, half, hidden, packing, some)
            hidden = self._behind(layer, half, out, residual)
        if first_only:
            return hidden.squeeze(0).unsqueeze(1)
        return packing.spread(hidden.squeeze(0)).view(*mask.shape, -1)[:, before:]

    def arrive(self, batch: Mapping[str, Tensor], site: Site) -> Arrived:
        """Compute what a site is given where nothing acts below it."""
        packing = Packing.of(batch["attention_mask"].bool())
        hidden = self._enter(batch, Changes(layers=self.layers), packing)
        for layer, half in _halves(self.layers):
            out, residual = self._sub_layer(layer, half, hidden, packing, None)
            if layer.sites[half] == site:
                return Arrived(site=site, hidden=out.squeeze(0), residual=residual.squeeze(0))
            hidden = self._behind(layer, half, out, residual)
        raise ValueError(f"this encoder has no site {site}")

    def _enter(self, batch: Mapping[str, Tensor], changes: Changes, packing: Packing) -> Tensor:
        """Give what the first layer reads, (1, all tokens, size)."""
        embedded = self._embed(batch, changes.embeddings)
        if changes.prompt is not None:
            prompt = changes.prompt.expand(len(embedded), -1, -1)
            embedded = torch.cat([prompt, embedded], dim=1)
        return packing.pack(embedded.flatten(0, 1)).unsqueeze(0)

    def _embed(self, batch: Mapping[str, Tensor], changed: Embeddings | None) -> Tensor:
        """Embed token ids; what acts behind the embeddings has acted."""
        if changed is not None:
            dropout = self.config.hidden_dropout_prob if self.module.training else 0.0
            embedded = changed.embed(batch, kind=self.kind, config=self.config, dropout=dropout)
            return self.sites.embedded(embedded)
        ids = {"input_ids": batch["input_ids"]}
        if self.config.type_vocab_size > 1 and "embeddings.types" in self._layout:
            ids["token_type_ids"] = batch["token_type_ids"]
        return self.module.embeddings(**ids)  # type: ignore[operator, no-any-return]

    def _sub_layer(
        self, layer: Layer, half: int, hidden: Tensor, packing: Packing, wanted: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute what a site is given: the sub-layer's output, and what that is added to."""
        if half == 0:
            return self._attention(layer, hidden, packing, wanted)
        wide = self.activation(layer.wide.within(_rows(hidden, layer.wide)))
        out = layer.narrow.to_site(wide).view(hidden.shape)
        return drop(out, self.config.hidden_dropout_prob if self.module.training else 0.0), hidden

    def _attention(
        self, layer: Layer, hidden: Tensor, packing: Packing, wanted: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Let tokens look at each other; go on with the wanted ones, None: with all."""
        seen = self._seen(layer, _rows(hidden, layer.joined), packing, wanted)
        if wanted is not None:
            hidden = hidden.index_select(1, wanted)
        mixed = layer.mixed.to_site(seen).view(hidden.shape)
        return drop(mixed, self.mixed_dropout if self.module.training else 0.0), hidden

    def _seen(self, layer: Layer, rows: Tensor, packing: Packing, wanted: Tensor | None) -> Tensor:
        """Give what the wanted tokens see, None: all."""
        heads, dropout = self.config.num_attention_heads, 0.0
        if self.module.training:
            dropout = self.config.attention_probs_dropout_prob
        if layer.prefix is None and wanted is not None:
            apart = layer.joined.split(rows.shape[1])
            if apart is not None:
                asking = apart[0].within(rows.index_select(0, wanted))
                others = apart[1].within(rows)
                return attend(others, packing=packing, heads=heads, dropout=dropout, asking=asking)
        joined = layer.joined.within(rows)
        if layer.prefix is None:
            seen = attend(joined, packing=packing, heads=heads, dropout=dropout)
        else:
            seen = attend_with_prefix(
                joined, *layer.prefix, packing=packing, heads=heads, dropout=dropout
            )
        return seen if wanted is None else seen.index_select(0, wanted)

    def _behind(self, layer: Layer, half: int, out: Tensor, residual: Tensor) -> Tensor:
        """Compute a site, with what acts there."""
        normed = self.sites.at(layer.sites[half], out, residual, layer.norms[half])
        delta = layer.norm_deltas[half]
        return normed if delta is None else normed + delta


def new_encoder(
    module: nn.Module,
    *,
    kind: str,
    config: EncoderConfig,
    sites: Sites,
    norms: Mapping[Site, nn.LayerNorm],
) -> Encoder | None:
    """Make what computes a backbone's layers; None: `transformers` does."""
    known = kind in LAYOUTS and config.hidden_act in _ACTIVATIONS
    if not known or config.position_embedding_type != "absolute":
        return None
    return Encoder(module, kind=kind, config=config, sites=sites, norms=norms)


def _layer(
    module: nn.Module,
    layout: Mapping[str, str],
    number: int,
    order: tuple[Site, ...],
    norms: Mapping[Site, nn.LayerNorm],
) -> Layer:
    linear = {
        name: module.get_submodule(layout[f"{{}}.{name}"].format(number))
        for name in ("query", "key", "value", "mixed", "wide", "narrow")
    }
    attention, output = (site for site in order if site.layer == number)
    return Layer(
        joined=product_of(*(linear[name] for name in ("query", "key", "value"))),
        mixed=product_of(linear["mixed"]),
        wide=product_of(linear["wide"]),
        narrow=product_of(linear["narrow"]),
        sites=(attention, output),
        norms=(norms[attention], norms[output]),
    )


def _rows(hidden: Tensor, product: Product) -> Tensor:
    return hidden.reshape(-1, hidden.shape[-1]).to(product.weight.dtype)


def _halves(layers: Sequence[Layer], arrived: Arrived | None = None) -> Iterator[tuple[Layer, int]]:
    """Go through the sub-layers: the attention of a layer (0), its feed-forward block (1)."""
    halves = ((layer, half) for layer in layers for half in (0, 1))
    if arrived is None:
        return halves
    return dropwhile(lambda one: one[0].sites[one[1]] != arrived.site, halves)
