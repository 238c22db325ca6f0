"""What an encoder's embeddings compute, from weights that are not the backbone's own.

    norm(tokens[ids] + types[types of tokens] + positions[places]), then dropout

The same sums in the same order as `transformers` has them, so that equal weights give equal bits.
RoBERTa counts positions from behind the padding id, and padding is at none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from composer.model.architectures import EncoderConfig
from composer.model.attention import drop


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """The weights in front of the first layer.

    Attributes:
        tokens: (vocabulary, size).
        positions: (positions, size).
        types: (types, size); None: tokens have none.
        norm_weight: (size,).
        norm_bias: (size,).
        epsilon: Of the norm.
    """

    tokens: Tensor
    positions: Tensor
    types: Tensor | None
    norm_weight: Tensor
    norm_bias: Tensor
    epsilon: float

    def embed(
        self, batch: Mapping[str, Tensor], *, kind: str, config: EncoderConfig, dropout: float
    ) -> Tensor:
        """Embed token ids of (texts, tokens) to (texts, tokens, size)."""
        ids = batch["input_ids"]
        vectors = F.embedding(ids, self.tokens)
        if self.types is not None:
            several = config.type_vocab_size > 1
            types = batch["token_type_ids"] if several else torch.zeros_like(ids)
            vectors = vectors + F.embedding(types, self.types)
        vectors = vectors + F.embedding(_places(ids, kind, config), self.positions)
        size = (vectors.shape[-1],)
        normed = F.layer_norm(vectors, size, self.norm_weight, self.norm_bias, self.epsilon)
        return drop(normed, dropout)


def _places(ids: Tensor, kind: str, config: EncoderConfig) -> Tensor:
    """Give each token's row of the position embeddings, (texts or 1, tokens)."""
    if "roberta" not in kind:
        return torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
    kept = ids.ne(config.pad_token_id).int()
    return (kept.cumsum(1) * kept).long() + config.pad_token_id
