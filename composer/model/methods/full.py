"""Full fine-tuning: an own copy of every weight of the bare encoder, trained in its place.

It is held as one more part, so that training, checkpoints and files treat it as any adapter:

    in memory    3.joined.weight (3 * size, size)     query, key and value as one product
                 3.mixed.weight, 3.attention.norm_weight, embeddings.tokens and so on
    in files     the backbone's own names: encoder.layer.3.attention.self.query.weight ...

In bfloat16 these are float32 all the same; only what a product reads is narrow, as elsewhere. So
they are read from the backbone's files, not from the frozen module, which has rounded its own.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from composer.model.backbone import Backbone
from composer.model.embeddings import Embeddings
from composer.model.encoder import Changes, Encoder
from composer.model.layouts import LAYOUTS
from composer.model.mixers import Kept
from composer.model.parts import Adapter
from composer.model.products import Product
from composer.model.weights import read_weights
from composer.recipe.grammar.adapters import Full

_JOINED = ("query", "key", "value")
Table = dict[str, tuple[str, ...]]  # name in memory -> names in files, one below the other


class FullCopy(Adapter):
    """All weights of a bare encoder.

    Args:
        shape: From the recipe.
        tensors: By the names of files.
        backbone: Whose weights these replace.
    """

    def __init__(self, shape: Full, tensors: Mapping[str, Tensor], backbone: Backbone) -> None:
        table = _table(backbone)
        super().__init__(
            shape,
            {ours: torch.cat([tensors[one] for one in names]) for ours, names in table.items()},
        )
        self.table = table

    def tensors(self) -> dict[str, Tensor]:
        """Give every tensor by the name that files use: views."""
        return {
            name: piece
            for ours, names in self.table.items()
            for name, piece in zip(names, self[ours].detach().chunk(len(names)), strict=True)
        }

    def changes(self, encoder: Encoder, kept: Kept) -> Changes:
        """Put this copy in the place of what an encoder computes with; norms act at the sites."""
        frozen = encoder.embeddings
        embeddings = Embeddings(
            tokens=self["embeddings.tokens"],
            positions=self["embeddings.positions"],
            types=None if frozen.types is None else self["embeddings.types"],
            norm_weight=self["embeddings.norm_weight"],
            norm_bias=self["embeddings.norm_bias"],
            epsilon=frozen.epsilon,
        )
        layers = [
            replace(
                layer,
                joined=self._product(f"{number}.joined", layer.joined, kept),
                mixed=self._product(f"{number}.mixed", layer.mixed, kept),
                wide=self._product(f"{number}.wide", layer.wide, kept),
                narrow=self._product(f"{number}.narrow", layer.narrow, kept),
            )
            for number, layer in enumerate(encoder.layers)
        ]
        return Changes(layers=layers, embeddings=embeddings)

    def _product(self, name: str, frozen: Product, kept: Kept) -> Product:
        weight, bias = self[f"{name}.weight"], self[f"{name}.bias"]

        def cast() -> Product:
            precision = frozen.weight.dtype
            return Product(weight=weight.to(precision), bias=bias, narrow_bias=bias.to(precision))

        return kept.of(("full", name), [weight, bias], cast)


def new_full(shape: Full, *, backbone: Backbone, generator: torch.Generator) -> FullCopy:
    """Copy a backbone, in float32; nothing is drawn.

    Raises:
        BackboneError: Its files are not what they were when it was opened.
    """
    tensors = read_weights(backbone.folder, full_tensors(backbone))
    return FullCopy(shape, tensors, backbone)


def full_tensors(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """List what a copy of a backbone holds, by the names of files: their shapes."""
    held = backbone.module.state_dict()
    names = [name for below in _table(backbone).values() for name in below]
    return {name: tuple(held[name].shape) for name in names}


def _table(backbone: Backbone) -> Table:
    table: Table = {}
    layout = LAYOUTS[backbone.architecture]
    for number in range(backbone.config.num_hidden_layers):
        joined = [layout[f"{{}}.{one}"].format(number) for one in _JOINED]
        for what in ("weight", "bias"):
            table[f"{number}.joined.{what}"] = tuple(f"{one}.{what}" for one in joined)
    for ours, theirs in layout.items():
        for number in range(backbone.config.num_hidden_layers if "{}" in ours else 1):
            table |= _entries(ours.format(number), theirs.format(number))
    return table


def _entries(ours: str, theirs: str) -> Table:
    if ours.endswith(_JOINED):
        return {}
    if ours.endswith("norm"):
        return {f"{ours}_{what}": (f"{theirs}.{what}",) for what in ("weight", "bias")}
    if ours.startswith("embeddings."):
        return {ours: (theirs,)}
    return {f"{ours}.{what}": (f"{theirs}.{what}",) for what in ("weight", "bias")}
