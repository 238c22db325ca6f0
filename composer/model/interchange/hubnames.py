"""Names of tensors in the format of `adapters`, and what composer calls them.

    encoder.layer.3.output.adapters.NAME.adapter_down.0.weight   3.output.down
    invertible_adapters.NAME.F.0.weight                          embeddings.f_down
    encoder.layer.3.attention.self.query.loras.NAME.lora_A       3.query.down
    prefix_tuning.prefix_tunings.NAME.self_prefix.control_trans  3.prefix.keys, 3.prefix.values
    encoder.layer.3.output.adapter_fusion_layer.A,B.query.weight 3.output.0.query

Before them may stand the name that a model with a head gives its encoder ("bert."). Where a site
or a matrix lies is said by the library and by `composer.model.layouts`, so the names fit every
architecture that has them.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from composer.errors import AdapterError
from composer.model.adapters import Site, site_paths
from composer.model.arithmetic import ACTIVATIONS
from composer.model.backbone import Backbone
from composer.model.layouts import LAYOUTS
from composer.model.methods.kinds import check_kind
from composer.recipe.grammar.adapters import (
    AdapterShape,
    BottleneckAdapter,
    Lora,
    NonLinearity,
    Placement,
    Prefix,
    Prompt,
    sub_layers,
)
from composer.recipe.sizes.inner import MATRICES, kept_layers

Tensors = Mapping[str, np.ndarray]

_OLD = {
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters",
}
_BOTTLENECK = {
    "down": "adapter_down.0.weight",
    "down_bias": "adapter_down.0.bias",
    "up": "adapter_up.weight",
    "up_bias": "adapter_up.bias",
}
_COUPLING = {
    f"{half}_{ours}": f"{half.upper()}.{theirs}"
    for half in "fg"
    for ours, theirs in (
        ("down", "0.weight"),
        ("down_bias", "0.bias"),
        ("up", "2.weight"),
        ("up_bias", "2.bias"),
    )
}
_FUSION = {"query": "query.weight", "query_bias": "query.bias", "key": "key.weight",
           "key_bias": "key.bias", "value": "value.weight"}  # fmt: skip


def today(tensors: Tensors, backbone: Backbone) -> dict[str, np.ndarray]:
    """Give tensors the names that today's library gives them in a bare encoder."""
    prefix = f"{backbone.module.base_model_prefix}."
    old = re.compile("|".join(_OLD))
    return {
        old.sub(lambda found: _OLD[found[0]], name).removeprefix(prefix): one
        for name, one in tensors.items()
    }


def in_models(tensors: Tensors, backbone: Backbone) -> dict[str, np.ndarray]:
    """Give tensors the names that they have in a model with a head, as the library saves them."""
    return {f"{backbone.module.base_model_prefix}.{name}": one for name, one in tensors.items()}


def names_of(shape: AdapterShape, name: str, backbone: Backbone) -> dict[str, str]:
    """Map composer's names of an adapter's tensors to the library's.

    Args:
        shape: A bottleneck, LoRA or a prompt; a prefix has no tensors one for one.
        name: Of the adapter there.
        backbone: What it is for.

    Raises:
        AdapterError: The backbone cannot have one of this kind.
    """
    if isinstance(shape, BottleneckAdapter):
        return dict(_bottleneck_names(shape, name, backbone))
    check_kind(shape, backbone)
    if isinstance(shape, Prompt):
        return {"embeddings.prompt": f"prompt_tuning.prompt_tunings.{name}.prompt_embedding.weight"}
    if isinstance(shape, Lora):
        return {
            f"{ours}.{part}": f"{theirs}.loras.{name}.lora_{letter}"
            for ours, theirs in matrix_paths(shape, backbone).items()
            for part, letter in (("down", "A"), ("up", "B"))
        }
    raise AdapterError(f"{shape.kind} has no names in the format of `adapters`")


def matrix_paths(shape: Lora, backbone: Backbone) -> dict[str, str]:
    """Map "3.query" to the module in the encoder, for each matrix that is changed."""
    layout = LAYOUTS[backbone.architecture]
    return {
        f"{layer}.{matrix}": layout[f"{{}}.{matrix}"].format(layer)
        for layer in kept_layers(shape, backbone.config.num_hidden_layers)
        for matrix in MATRICES
        if matrix in shape.targets
    }


def fusion_names(placement: Placement, name: str, backbone: Backbone) -> dict[str, str]:
    """Map composer's names of a fusion at a placement to the library's."""
    return {
        f"{site}.0.{ours}": f"{path}.adapter_fusion_layer.{name}.{theirs}"
        for site, path in site_paths(backbone.module).items()
        if site.where in sub_layers(placement)
        for ours, theirs in _FUSION.items()
    }


def prefix_name(name: str, part: str = "control_trans") -> str:
    """Name a tensor of a prefix: all layers of an encoder share one module."""
    return f"prefix_tuning.prefix_tunings.{name}.self_prefix.{part}"


def split_prefix(flat: np.ndarray, shape: Prefix, backbone: Backbone) -> dict[str, np.ndarray]:
    """Cut (positions x layers x 2 x size) into keys and values, (positions, size) each."""
    layers = kept_layers(shape, backbone.config.num_hidden_layers)
    cut = flat.reshape(shape.length, len(layers), 2, backbone.size)
    return {
        f"{layer}.prefix.{which}": cut[:, place, side]
        for place, layer in enumerate(layers)
        for side, which in enumerate(("keys", "values"))
    }


def joined_prefix(tensors: Tensors, shape: Prefix, backbone: Backbone) -> np.ndarray:
    """Undo `split_prefix`."""
    layers = kept_layers(shape, backbone.config.num_hidden_layers)
    cut = [[tensors[f"{layer}.prefix.{which}"] for which in ("keys", "values")] for layer in layers]
    return np.moveaxis(np.array(cut), 2, 0).reshape(-1)


def worked_out_prefix(tensors: Tensors, non_linearity: NonLinearity) -> np.ndarray:
    """Run the network that a prefix was learnt through: what it makes is the prefix, flat.

    Args:
        tensors: "wte.weight" (positions, size), "control_trans.0.weight" (inner, size) and bias,
            "control_trans.2.weight" (layers x 2 x size, inner) and bias.
        non_linearity: Between the two.

    Source: Li and Liang (2021), section 4.3.
    """
    found = {name: torch.from_numpy(one).double() for name, one in tensors.items()}
    inner = found["wte.weight"] @ found["control_trans.0.weight"].T + found["control_trans.0.bias"]
    inner = ACTIVATIONS[non_linearity](inner)
    made = inner @ found["control_trans.2.weight"].T + found["control_trans.2.bias"]
    return made.float().flatten().numpy()


def _bottleneck_names(
    shape: BottleneckAdapter, name: str, backbone: Backbone
) -> Iterator[tuple[str, str]]:
    paths: Mapping[Site, str] = site_paths(backbone.module)
    for site, path in paths.items():
        if site.where not in sub_layers(shape.placement) or site.layer in shape.leave_out:
            continue
        for ours, theirs in _BOTTLENECK.items():
            yield f"{site}.{ours}", f"{path}.adapters.{name}.{theirs}"
        if shape.scaling == "learned":
            yield f"{site}.scaling", f"{path}.adapters.{name}.scaling"
    if shape.invertible:
        for ours, theirs in _COUPLING.items():
            yield f"embeddings.{ours}", f"invertible_adapters.{name}.{theirs}"
