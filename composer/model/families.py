"""Which encoders become device graphs, and what their weights are called.

Those of `composer.model.layouts`. In RoBERTa and XLM-R positions count from behind the padding id.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from composer.errors import BackboneError
from composer.model.backbone import Backbone
from composer.model.layouts import LAYOUTS

_ACTIVATIONS = {
    "gelu": "Gelu",
    "gelu_new": "Gelu(tanh)",
    "gelu_pytorch_tanh": "Gelu(tanh)",
    "relu": "Relu",
}


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A frozen encoder as plain numbers, whatever family it is of.

    Attributes:
        weights: "0.query.weight" (in, out), "0.query.bias", "0.output.norm_weight" and so on.
        layers: Transformer blocks.
        heads: Of the attention.
        size: Hidden size.
        activation: ONNX's name of the feed-forward block's.
        epsilon: Of the norms.
        first_position: The first token's row of the position embeddings.
        counted_pad: The id that counts as no position; None: a token's position is its place.
    """

    weights: Mapping[str, np.ndarray]
    layers: int
    heads: int
    size: int
    activation: str
    epsilon: float
    first_position: int
    counted_pad: int | None

    @property
    def types(self) -> bool:
        """Say whether tokens have types."""
        return "embeddings.types" in self.weights


def read_encoder(backbone: Backbone) -> Encoder:
    """Take a backbone's weights out of torch, under composer's names.

    Raises:
        BackboneError: Its architecture has no device graph.
    """
    family, config = backbone.architecture, backbone.config
    table = LAYOUTS.get(family)
    if table is None:
        raise BackboneError(
            f"architecture {family!r} has no device graph; there is one for {', '.join(LAYOUTS)}"
        )
    if config.hidden_act not in _ACTIVATIONS:
        raise BackboneError(
            f"the feed-forward activation {config.hidden_act!r} has no device graph; there is one "
            f"for {', '.join(_ACTIVATIONS)}"
        )
    if config.position_embedding_type != "absolute":
        raise BackboneError(
            f"position embeddings {config.position_embedding_type!r} have no device graph; "
            "there is one for 'absolute'"
        )
    roberta = "roberta" in family
    weights = _weights(backbone, table, config.num_hidden_layers)
    if len(weights.get("embeddings.types", ())) == 1:
        weights = _without_types(weights)
    return Encoder(
        weights=weights,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        size=config.hidden_size,
        activation=_ACTIVATIONS[config.hidden_act],
        epsilon=config.layer_norm_eps,
        first_position=config.pad_token_id + 1 if roberta else 0,
        counted_pad=config.pad_token_id if roberta else None,
    )


def _weights(backbone: Backbone, table: Mapping[str, str], layers: int) -> dict[str, np.ndarray]:
    state = {name: tensor.float().numpy() for name, tensor in backbone.module.state_dict().items()}
    found: dict[str, np.ndarray] = {}
    for ours, theirs in table.items():
        for layer in range(layers) if "{}" in ours else (0,):
            found |= _layer(ours.format(layer), theirs.format(layer), state)
    return found


def _layer(ours: str, theirs: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give a table's weight, a norm's two, or a linear layer's two, the matrix as (in, out)."""
    if theirs in state:
        return {ours: state[theirs]}
    weight, bias = state[f"{theirs}.weight"], state[f"{theirs}.bias"]
    if ours.endswith("norm"):
        return {f"{ours}_weight": weight, f"{ours}_bias": bias}
    return {f"{ours}.weight": np.ascontiguousarray(weight.T), f"{ours}.bias": bias}


def _without_types(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add the one token type there is to every position: what it adds never changes."""
    found = dict(weights)
    types = found.pop("embeddings.types")
    found["embeddings.positions"] = found["embeddings.positions"] + types[0]
    return found
