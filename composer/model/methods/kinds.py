"""Adapters of every kind: made untrained, and put together from what was stored.

bottleneck, madapter, adamix   composer.model.parts    behind sub-layers, at sites
lora, bitfit, prefix           composer.model.*        in the products of a layer
prompt                         composer.model.methods.prompt   before the first layer
full                           composer.model.methods.full     an own copy of the backbone
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from composer.bundle.shapes import adapter_tensors
from composer.errors import AdapterError
from composer.model.backbone import Backbone
from composer.model.layouts import LAYOUTS
from composer.model.methods.adamix import new_experts
from composer.model.methods.bitfit import new_bitfit
from composer.model.methods.full import FullCopy, full_tensors, new_full
from composer.model.methods.inner import promised
from composer.model.methods.lora import new_lora
from composer.model.methods.prefix import new_prefix
from composer.model.methods.prompt import new_prompt
from composer.model.parts import Adapter, Bottleneck, new_bottleneck
from composer.recipe.grammar.adapters import AdaMix, AdapterShape, BottleneckShape, Full

_NEW: Mapping[str, Callable[..., Adapter]] = {
    "lora": new_lora,
    "bitfit": new_bitfit,
    "prefix": new_prefix,
    "prompt": new_prompt,
    "full": new_full,
}


def new_adapter(shape: AdapterShape, *, backbone: Backbone, generator: torch.Generator) -> Adapter:
    """Make an untrained adapter.

    Args:
        shape: From the recipe.
        backbone: What it is for.
        generator: Source of the weights.

    Raises:
        AdapterError: The backbone cannot have one of this kind.
    """
    if isinstance(shape, AdaMix):
        return new_experts(shape, sites=backbone.norms, size=backbone.size, generator=generator)
    if isinstance(shape, BottleneckShape):
        return new_bottleneck(shape, sites=backbone.norms, size=backbone.size, generator=generator)
    check_kind(shape, backbone)
    return _NEW[shape.kind](shape, backbone=backbone, generator=generator)


def stored_adapter(
    shape: AdapterShape,
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    *,
    masks: Mapping[str, Tensor] | None = None,
) -> Adapter:
    """Put an adapter together from its tensors, frozen.

    Args:
        shape: Of the adapter.
        tensors: By the names of files, dense.
        backbone: What it is for.
        masks: Of a sparse one: name of a tensor -> True where a weight is kept.

    Raises:
        AdapterError: The backbone cannot have one of this kind.
    """
    made: Adapter
    if isinstance(shape, BottleneckShape):
        made = Bottleneck(shape, tensors, masks)
    else:
        check_kind(shape, backbone)
        made = (
            FullCopy(shape, tensors, backbone)
            if isinstance(shape, Full)
            else Adapter(shape, tensors)
        )
    made.freeze()
    return made


def promised_tensors(shape: AdapterShape, backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """List the tensors of an adapter on a backbone, by the names of files: their shapes.

    Raises:
        AdapterError: The backbone cannot have one of this kind.
    """
    if isinstance(shape, AdaMix):
        raise AdapterError("adamix is averaged into one bottleneck before it is stored")
    if isinstance(shape, BottleneckShape):
        layers = backbone.config.num_hidden_layers
        return dict(adapter_tensors(shape, size=backbone.size, layers=layers))
    check_kind(shape, backbone)
    return full_tensors(backbone) if isinstance(shape, Full) else promised(shape, backbone)


def check_kind(shape: AdapterShape, backbone: Backbone) -> None:
    """Refuse what changes an encoder's products where composer does not compute them.

    Raises:
        AdapterError: With the reason.
    """
    if backbone.encoder is None:
        raise AdapterError(
            f"{shape.kind} changes the products inside a layer, and the layers of "
            f"{backbone.architecture!r} are computed by transformers; composer computes those of "
            f"{', '.join(LAYOUTS)}. Use a bottleneck, which acts behind sub-layers"
        )
