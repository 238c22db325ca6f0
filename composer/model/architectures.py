"""The architectures that composer runs, and what of their configs reaches a library.

    {"model_type": "bert", "hidden_size": 384, ..., "torch_dtype": "float16", "id2label": {...}}
                           passed on                unknown here: no code reads it, no effect

A config may come from anybody, so what is passed on is a list of known numbers and words, each
within bounds. All are encoders with the norm behind each sub-layer.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.errors import BackboneError, did_you_mean

LAYERS_LIMIT, SIZE_LIMIT, MANY_LIMIT = 512, 2**16, 2**22

_Activation = Literal[
    "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "quick_gelu",
    "relu", "relu2", "silu", "swish", "mish", "tanh",
]  # fmt: skip
_Size = Annotated[int, Field(ge=1, le=SIZE_LIMIT)]
_Many = Annotated[int, Field(ge=1, le=MANY_LIMIT)]
_Layers = Annotated[int, Field(ge=1, le=LAYERS_LIMIT)]
_Share = Annotated[float, Field(ge=0, le=1)]
_False = Literal[False] | None


class EncoderConfig(BaseModel):
    """What is read of a config, by the words of most architectures.

    A name that is left out of a config keeps the architecture's own default.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    words: ClassVar[Mapping[str, str]] = {}  # ours -> the architecture's

    vocab_size: _Many
    hidden_size: _Size
    num_hidden_layers: _Layers
    num_attention_heads: _Size
    intermediate_size: _Many
    max_position_embeddings: _Many
    type_vocab_size: Annotated[int, Field(ge=0, le=1024)] = 2
    pad_token_id: Annotated[int, Field(ge=0)] = 0
    hidden_act: _Activation = "gelu"
    hidden_dropout_prob: _Share = 0.1
    attention_probs_dropout_prob: _Share = 0.1
    layer_norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-12
    position_embedding_type: Literal["absolute", "relative_key", "relative_key_query"] = "absolute"
    # What would make another model of it than an encoder:
    is_decoder: _False = False
    is_encoder_decoder: _False = False
    add_cross_attention: _False = False
    pruned_heads: Annotated[dict[str, object], Field(max_length=0)] | None = None

    def passed_on(self) -> dict[str, object]:
        """Give what the library's config is made of, by its own words."""
        values = self.model_dump(exclude_unset=True, exclude=set(_ENCODER_ONLY))
        return {self.words.get(name, name): value for name, value in values.items()}


_ENCODER_ONLY = ("is_decoder", "is_encoder_decoder", "add_cross_attention", "pruned_heads")


class _Roberta(EncoderConfig):
    pad_token_id: Annotated[int, Field(ge=0)] = 1


class _Electra(EncoderConfig):
    embedding_size: _Size = 128


class _DebertaV2(EncoderConfig):
    embedding_size: _Size | None = None
    relative_attention: bool = False
    max_relative_positions: Annotated[int, Field(ge=-1, le=65_536)] = -1
    position_buckets: Annotated[int, Field(ge=-1, le=65_536)] = -1
    position_biased_input: bool = True
    share_att_key: bool = False
    norm_rel_ebd: Literal["none", "layer_norm"] = "none"
    pos_att_type: list[Literal["c2p", "p2c"]] | Literal["", "c2p", "p2c", "c2p|p2c", "p2c|c2p"] = ""
    conv_kernel_size: Annotated[int, Field(ge=0, le=63)] = 0
    conv_act: _Activation = "tanh"


_DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}


class _DistilBert(EncoderConfig):
    model_config = ConfigDict(alias_generator=lambda name: _DISTILBERT.get(name, name))
    words: ClassVar[Mapping[str, str]] = _DISTILBERT


ARCHITECTURES: Mapping[str, type[EncoderConfig]] = {
    "bert": EncoderConfig,
    "deberta-v2": _DebertaV2,
    "distilbert": _DistilBert,
    "electra": _Electra,
    "roberta": _Roberta,
    "xlm-roberta": _Roberta,
}
"""The `model_type`s that composer runs: encoders with the norm behind each sub-layer."""


def parse_config(config: Mapping[str, object], *, place: str) -> tuple[str, EncoderConfig]:
    """Take from a config what composer knows, and hold it to bounds.

    Raises:
        BackboneError: For an unknown architecture, or every value that is out of bounds.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        hint = did_you_mean(kind, ARCHITECTURES) if isinstance(kind, str) else ""
        hint = hint if hint.startswith("did") else f"composer runs {known}"
        raise BackboneError(f"{place}: model_type: architecture {str(kind)[:80]!r}: {hint}")
    try:
        # "pad_token_id": null stands for the architecture's own, as does a name left out
        parsed = ARCHITECTURES[kind].model_validate(
            {name: value for name, value in config.items() if value is not None}
        )
    except ValidationError as error:
        faults = [
            f"{place}: {'.'.join(map(str, one['loc']))}: {one['msg']}, "
            f"not {str(one['input'])[:80] if one['type'] != 'missing' else 'left out'}"
            for one in error.errors()
        ]
        raise BackboneError("\n".join(faults)) from error
    faults = [f"{place}: {fault}" for fault in _disagreements(parsed)]
    if faults:
        raise BackboneError("\n".join(faults))
    return kind, parsed


def _disagreements(config: EncoderConfig) -> Iterator[str]:
    word = {name: config.words.get(name, name) for name in type(config).model_fields}
    if config.hidden_size % config.num_attention_heads:
        yield (
            f"{word['num_attention_heads']}: {config.num_attention_heads} does not divide "
            f"{word['hidden_size']} {config.hidden_size}"
        )
    if config.pad_token_id >= config.vocab_size:
        yield (
            f"pad_token_id: {config.pad_token_id} is beyond vocab_size {config.vocab_size}; "
            f"allowed is 0 to {config.vocab_size - 1}"
        )
    positions = config.max_position_embeddings
    if positions < 8 + config.pad_token_id * isinstance(config, _Roberta):
        yield f"max_position_embeddings: {positions} leaves no room for a text"
