"""What adapters that act inside an encoder share: their tensors, and how they are put together."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from composer.bundle.inner import inner_tensors
from composer.model.adapters import Site
from composer.model.backbone import Backbone
from composer.model.parts import Adapter
from composer.recipe.sizes.inner import Inner

Shares = Sequence[tuple[Adapter, float]]
"""Adapters, and the weights that the averages around them give them."""


def promised(shape: Inner, backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """List the tensors of an adapter on a backbone: name -> lengths."""
    config = backbone.config
    return dict(
        inner_tensors(
            shape,
            size=backbone.size,
            wide=config.intermediate_size,
            layers=config.num_hidden_layers,
        )
    )


def with_norms(shape: Inner, tensors: Mapping[str, Tensor], backbone: Backbone) -> Adapter:
    """Make an adapter; the norms that it trains start as copies of the backbone's."""
    norms: dict[str, Tensor] = {}
    for name in promised(shape, backbone):
        site, _, which = name.rpartition(".norm_")
        if which in ("weight", "bias"):
            layer, _, where = site.partition(".")
            norm = backbone.norms[Site(int(layer), "output" if where == "output" else "attention")]
            norms[name] = getattr(norm, which).detach().float()
    return Adapter(shape, {**tensors, **norms})
