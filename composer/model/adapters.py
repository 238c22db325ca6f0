"""The one door to the `adapters` library: where adapters sit in an architecture.

`adapters` knows, for twenty-odd architectures, after which sub-layers an adapter belongs and
which layer norm follows. Composer takes that placement and puts its own arithmetic there: what
1.3.0 computes itself halves averages, drops trained norms and lets the last adapter's settings
decide for all (design, section 3). Its own adapters are never added to the backbone.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import adapters
from adapters.methods.bottleneck import BottleneckLayer
from torch import Tensor, nn

from composer.errors import BackboneError

Where = Literal["attention", "output"]

_WHERE: dict[str, Where] = {"mh_adapter": "attention", "output_adapter": "output"}


@dataclass(frozen=True, order=True)
class Site:
    """A sub-layer where adapters act.

    Attributes:
        layer: Counted from 0, from the embeddings up.
        where: "attention", or "output" for the feed-forward block.
    """

    layer: int
    where: Where

    def __str__(self) -> str:
        return f"{self.layer}.{self.where}"


SiteFunction = Callable[[Site, Tensor, Tensor, nn.LayerNorm], Tensor]
"""(site, hidden, residual, norm) -> the sub-layer's output; all (batch, tokens, size)."""

EmbeddingFunction = Callable[[Tensor], Tensor]
"""What the embeddings give -> what the first layer reads; both (batch, tokens, size)."""


class Sites:
    """All sites of a backbone and its embeddings, and the functions that act at them.

    Between uses nothing acts: the backbone computes what it was loaded with. What acts, acts in
    its own thread, so that several threads run several compositions on one backbone. The
    backward pass calls no site, on whatever thread torch runs it; activation checkpointing,
    which would, is not used.

    Args:
        layers: The sites' modules.
        embeddings: The module whose output the first layer reads; None: there is none such.
    """

    def __init__(self, layers: dict[Site, Any], embeddings: nn.Module | None = None) -> None:
        self.order = tuple(sorted(layers))
        self._acting = threading.local()
        self._has_embeddings = embeddings is not None
        if embeddings is not None:
            embeddings.register_forward_hook(self._embed)
        for site, layer in layers.items():
            layer.bottleneck_layer_forward = partial(self.at, site)

    @contextmanager
    def acting(
        self, function: SiteFunction, embed: EmbeddingFunction | None = None
    ) -> Iterator[None]:
        """Let `function` act at every site while the block runs, in this thread.

        Args:
            function: Acts at the sites.
            embed: Acts behind the embeddings; None: nothing does.

        Raises:
            BackboneError: The embeddings are of another size than what the first layer reads.
        """
        if embed is not None and not self._has_embeddings:
            raise BackboneError(
                "the backbone's embeddings have another size than its hidden states: it takes "
                "no invertible adapters"
            )
        before = getattr(self._acting, "functions", (None, None))
        self._acting.functions = (function, embed)
        try:
            yield
        finally:
            self._acting.functions = before

    def _embed(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return self.embedded(output)

    def embedded(self, vectors: Tensor) -> Tensor:
        """Give what the first layer reads, (batch, tokens, size), with what acts in this thread."""
        embed: EmbeddingFunction | None = getattr(self._acting, "functions", (None, None))[1]
        return vectors if embed is None else embed(vectors)

    def at(self, site: Site, hidden: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Tensor:
        """Compute a site, all (batch, tokens, size), with what acts in this thread."""
        act: SiteFunction | None = getattr(self._acting, "functions", (None, None))[0]
        if act is None:
            return norm(hidden + residual)  # type: ignore[no-any-return]
        return act(site, hidden, residual, norm)


def open_sites(backbone: Any) -> Sites:
    """Prepare a bare encoder for adapters and list its sites.

    Raises:
        BackboneError: The architecture has no placement that composer can use exactly.
    """
    kind = backbone.config.model_type
    try:
        adapters.init(backbone)
    except (ValueError, AttributeError) as error:
        raise BackboneError(f"architecture {kind!r}: `adapters` has no placement for it") from error
    found = dict(_site_modules(backbone))
    for module in found.values():
        _refuse_hooked(module, kind)
    if len(found) != 2 * backbone.config.num_hidden_layers:
        raise BackboneError(
            f"architecture {kind!r}: {len(found)} sites found, expected two in each of "
            f"{backbone.config.num_hidden_layers} layers"
        )
    # Where a projection follows (small ELECTRA), `adapters` would couple what lies before it.
    projected = hasattr(backbone, "embeddings_project")
    return Sites(found, None if projected else backbone.embeddings)


def site_paths(backbone: Any) -> dict[Site, str]:
    """Name the module of each site as the library's files do: "encoder.layer.3.output"."""
    names = {id(module): name for name, module in backbone.named_modules()}
    return {site: names[id(module)] for site, module in _site_modules(backbone)}


def _site_modules(backbone: Any) -> Iterator[tuple[Site, BottleneckLayer]]:
    for number, layer in backbone.iter_layers():
        for module in layer.modules():
            if isinstance(module, BottleneckLayer) and module.location_key in _WHERE:
                yield Site(number, _WHERE[module.location_key]), module


def _refuse_hooked(layer: BottleneckLayer, kind: str) -> None:
    # A plug-in interface hands every layer the last layer's norm (adapters 1.3.0).
    if layer.is_layer_hooked:
        raise BackboneError(
            f"architecture {kind!r} is supported by `adapters` through its plug-in interface "
            "only, which gives every layer the norm of the last; composer refuses it"
        )
