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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composer.model.adapters import Site, Sites
from composer.model.architectures import EncoderConfig
from composer.model.attention import Packing, attend, attend_with_prefix, drop
from composer.model.embeddings import Embeddings
from composer.model.layouts import LAYOUTS
from composer.model.mapped import side_by_side

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


@dataclass(frozen=True, kw_only=True)
class Product:
    """A frozen linear layer.

    Attributes:
        weight: (out, in), in the precision of products.
        bias: (out,), in the precision of sites.
        narrow_bias: (out,), in the precision of products.
    """

    weight: Tensor
    bias: Tensor
    narrow_bias: Tensor

    def within(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out), for another product to read."""
        if self.weight.dtype == self.bias.dtype:
            return F.linear(rows, self.weight, self.bias)
        # A narrow product that is given its bias takes longer than the two one after the other.
        return F.linear(rows, self.weight).add_(self.narrow_bias)

    def to_site(self, rows: Tensor) -> Tensor:
        """Multiply (rows, in) to (rows, out), for a site."""
        if self.weight.dtype == self.bias.dtype:
            return F.linear(rows, self.weight, self.bias)
        return F.linear(rows, self.weight).to(self.bias.dtype).add_(self.bias)


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
        self.layers = [
            _layer(self.module, self._layout, number, self.sites.order, self._norms)
            for number in range(self.config.num_hidden_layers)
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
    ) -> Tensor:
        """Encode token ids of (texts, tokens) to (texts, tokens, size), zeros at padding.

        At the sites a batch is one text of all its tokens, (1, all tokens, size).

        Args:
            batch: `input_ids`, `attention_mask`, `token_type_ids`.
            changes: What this pass computes otherwise.
            first_only: Give each text's first token alone, (texts, 1, size). Behind the last
                attention no token looks at another, so the rest of them stop there.
        """
        changes = changes or Changes(layers=self.layers)
        embedded, mask = self._embed(batch, changes.embeddings), batch["attention_mask"].bool()
        before = 0 if changes.prompt is None else len(changes.prompt)
        if changes.prompt is not None:
            prompt = changes.prompt.expand(len(embedded), -1, -1)
            embedded = torch.cat([prompt, embedded], dim=1)
            mask = F.pad(mask, (before, 0), value=True)
        packing = Packing.of(mask)
        hidden = packing.pack(embedded.flatten(0, 1)).unsqueeze(0)
        for layer in changes.layers:
            last = layer is changes.layers[-1]
            wanted = packing.numbers(before) if first_only and last else None
            hidden = self._attention(layer, hidden, packing, wanted)
            hidden = self._feed_forward(layer, hidden)
        if first_only:
            return hidden.squeeze(0).unsqueeze(1)
        return packing.spread(hidden.squeeze(0)).view(embedded.shape)[:, before:]

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

    def _attention(
        self, layer: Layer, hidden: Tensor, packing: Packing, wanted: Tensor | None
    ) -> Tensor:
        """Let tokens look at each other; go on with the wanted ones, None: with all."""
        active = self.module.training
        joined = layer.joined.within(_rows(hidden, layer.joined))
        heads = self.config.num_attention_heads
        dropout = self.config.attention_probs_dropout_prob if active else 0.0
        if layer.prefix is None:
            seen = attend(joined, packing=packing, heads=heads, dropout=dropout)
        else:
            seen = attend_with_prefix(
                joined, *layer.prefix, packing=packing, heads=heads, dropout=dropout
            )
        if wanted is not None:
            seen, hidden = seen.index_select(0, wanted), hidden.index_select(1, wanted)
        mixed = layer.mixed.to_site(seen).view(hidden.shape)
        mixed = drop(mixed, self.mixed_dropout if active else 0.0)
        normed = self.sites.at(layer.sites[0], mixed, hidden, layer.norms[0])
        return _moved(normed, layer.norm_deltas[0])

    def _feed_forward(self, layer: Layer, hidden: Tensor) -> Tensor:
        wide = self.activation(layer.wide.within(_rows(hidden, layer.wide)))
        out = layer.narrow.to_site(wide).view(hidden.shape)
        out = drop(out, self.config.hidden_dropout_prob if self.module.training else 0.0)
        normed = self.sites.at(layer.sites[1], out, hidden, layer.norms[1])
        return _moved(normed, layer.norm_deltas[1])


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
        joined=_product(*(linear[name] for name in ("query", "key", "value"))),
        mixed=_product(linear["mixed"]),
        wide=_product(linear["wide"]),
        narrow=_product(linear["narrow"]),
        sites=(attention, output),
        norms=(norms[attention], norms[output]),
    )


def _product(*linear: nn.Module) -> Product:
    """Take linear layers side by side; they go on as views, so that no weight is held twice."""
    weight = side_by_side([cast(Tensor, one.weight).detach() for one in linear])
    bias = torch.cat([cast(Tensor, one.bias).detach() for one in linear])
    for one, part in zip(linear, weight.chunk(len(linear)), strict=True):
        cast(Tensor, one.weight).data = part
    return Product(weight=weight, bias=bias, narrow_bias=bias.to(weight.dtype))


def _rows(hidden: Tensor, product: Product) -> Tensor:
    return hidden.reshape(-1, hidden.shape[-1]).to(product.weight.dtype)


def _moved(values: Tensor, delta: Tensor | None) -> Tensor:
    return values if delta is None else values + delta
