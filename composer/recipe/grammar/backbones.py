"""What a recipe may say of the backbone: from where, how precise, how long its inputs."""

from typing import Annotated, Literal

from pydantic import Field

from composer.recipe.grammar.block import Block, Count, MaxTokens, Width

Precision = Literal["float32", "bfloat16", "auto"]


class SampleBackbone(Block):
    """A backbone out of an installed package.

    Attributes:
        source: Always "sample".
        name: "multilingual-e5-small" or "all-MiniLM-L6-v2".
        precision: Of the operands of frozen matrix products, and of those of an adapter, fusion or
            gate while it learns. "auto" is bfloat16 where the processor multiplies it natively,
            else float32; the choice is written to the lock.
        max_tokens: Longest input, in tokens with the special ones. Left out: what it takes.
    """

    source: Literal["sample"]
    name: str
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None


class FolderBackbone(Block):
    """A backbone in a folder: `config.json`, `tokenizer.json`, safetensors weights.

    Attributes:
        source: Always "folder".
        path: Relative to the recipe.
        precision: See the sample backbone.
        max_tokens: See the sample backbone.
    """

    source: Literal["folder"]
    path: str
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None


class HubShape(Block):
    """The numbers of a backbone that is not fetched yet, to check and count by until it is.

    Attributes:
        hidden_size: Units of a hidden state.
        layers: Transformer blocks.
        max_tokens: Longest input, in tokens with the special ones.
        intermediate_size: Width of the feed-forward block; left out: what needs it is unknown.
        embedding_rows: Tokens, positions and types that have a vector, all together; left out:
            what needs them is unknown.
        architecture: Its `model_type`, as "bert"; left out: what needs it is unknown.
        parameters: Of the backbone in all; left out: totals and shares of it are unknown.
    """

    hidden_size: Width
    layers: Count
    max_tokens: MaxTokens
    intermediate_size: Width | None = None
    embedding_rows: Count | None = None
    architecture: str | None = None
    parameters: Annotated[int, Field(ge=1, le=10**13)] | None = None


class HubBackbone(Block):
    """A backbone on the Hugging Face Hub.

    Attributes:
        source: Always "hub".
        name: "owner/name".
        revision: A full commit (40 hex digits); a branch may move, so it is refused.
        precision: See the sample backbone.
        max_tokens: See the sample backbone.
        shape: Its numbers, so that a recipe is checked and its parameters are counted where no
            hub is reached; once it is fetched they are held to what its config says.
    """

    source: Literal["hub"]
    name: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    precision: Precision = "auto"
    max_tokens: MaxTokens | None = None
    shape: HubShape | None = None


Backbone = Annotated[SampleBackbone | FolderBackbone | HubBackbone, Field(discriminator="source")]
