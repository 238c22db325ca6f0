"""Prompt tuning: learnt vectors before those of the text, which every layer sees as tokens.

They stand where the first layer reads, behind the norm of the embeddings and whatever an
invertible adapter does there, and have no position of their own, as in `adapters` 1.3.0. Neither
pooling nor a head sees them. Prompts of a stack lie one behind the other, the lowest first.

Source: Lester et al. (2021), section 2; they start as tokens drawn from the vocabulary, as the
frozen embeddings give them at the first place (section 3.2 finds that better than noise).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from composer.model.backbone import Backbone
from composer.model.methods.inner import with_norms
from composer.model.parts import Adapter
from composer.recipe.grammar.adapters import Prompt

_DRAWN_FROM = 5000  # rows of the vocabulary: the most frequent ones, as in the paper


def new_prompt(shape: Prompt, *, backbone: Backbone, generator: torch.Generator) -> Adapter:
    """Make an untrained prompt."""
    if backbone.encoder is None:  # `kinds` refuses it first
        raise TypeError("composer does not compute this backbone's layers")
    rows = min(_DRAWN_FROM, backbone.config.vocab_size)
    drawn = torch.randint(rows, (shape.length, 1), generator=generator)
    ids = drawn.to(backbone.word_embeddings.weight.device)
    with torch.no_grad():
        vectors = backbone.encoder.embeddings.embed(
            {"input_ids": ids, "token_type_ids": torch.zeros_like(ids)},
            kind=backbone.architecture,
            config=backbone.config,
            dropout=0.0,
        )
    return with_norms(shape, {"embeddings.prompt": vectors.squeeze(1).float()}, backbone)


def prompt_of(adapters: Sequence[Adapter]) -> Tensor:
    """Give the vectors of all prompts, (positions, size)."""
    return torch.cat([one["embeddings.prompt"] for one in adapters])
