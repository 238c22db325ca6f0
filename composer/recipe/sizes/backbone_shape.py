"""The numbers of a backbone that a recipe depends on, known from its config alone."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BackboneShape:
    """The numbers of a backbone that a recipe depends on.

    Attributes:
        hidden_size: Units of a hidden state.
        layers: Transformer blocks.
        max_tokens: Longest input, in tokens with the special ones.
        intermediate_size: Width of the feed-forward block; None: not known.
        embedding_rows: Tokens, positions and types that have a vector, all together; None: not
            known.
        architecture: Its `model_type`; None: not known.
    """

    hidden_size: int
    layers: int
    max_tokens: int
    intermediate_size: int | None = None
    embedding_rows: int | None = None
    architecture: str | None = None
