"""The trained masked-LM head in a backbone's files: found by its tensors' names, without torch.

    bert, deberta-v2      cls.predictions.transform.dense.weight   ...   cls.predictions.bias
    roberta, xlm-roberta  lm_head.dense.weight                     ...   lm_head.bias
    distilbert            vocab_transform.weight                   ...   vocab_projector.bias
    electra               generator_predictions.dense.weight       ...   generator_lm_head.bias

All have one form: a dense layer, a non-linearity, a norm, the token embeddings (or a matrix of its
own) and a bias for each piece. A fingerprint leaves heads out, so a key names them by this digest.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.fingerprint import (
    StoredTensor,
    is_token_embedding,
    named_tensors,
    stored_tensors,
)
from composer.errors import BackboneError
from composer.model.architectures import EncoderConfig, parse_config
from composer.model.screening import CONFIG, read_config

_BERT = {
    "dense": ("cls.predictions.transform.dense.weight",),
    "dense_bias": ("cls.predictions.transform.dense.bias",),
    "norm_weight": (
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.gamma",  # as early BERTs are stored
    ),
    "norm_bias": (
        "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.transform.LayerNorm.beta",
    ),
    "token_bias": ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    "output": ("cls.predictions.decoder.weight",),
}
_ROBERTA = {
    "dense": ("lm_head.dense.weight",),
    "dense_bias": ("lm_head.dense.bias",),
    "norm_weight": ("lm_head.layer_norm.weight",),
    "norm_bias": ("lm_head.layer_norm.bias",),
    "token_bias": ("lm_head.bias", "lm_head.decoder.bias"),
    "output": ("lm_head.decoder.weight",),
}
# Our name -> names in the files of an architecture, the first that is there; then how it computes:
# the non-linearity and the norm's epsilon, None where the config says them.
_HEADS: Mapping[str, tuple[Mapping[str, tuple[str, ...]], str | None, float | None]] = {
    "bert": (_BERT, None, None),
    "deberta-v2": (_BERT, None, None),
    "roberta": (_ROBERTA, "gelu", None),
    "xlm-roberta": (_ROBERTA, "gelu", None),
    "distilbert": (
        {
            "dense": ("vocab_transform.weight",),
            "dense_bias": ("vocab_transform.bias",),
            "norm_weight": ("vocab_layer_norm.weight",),
            "norm_bias": ("vocab_layer_norm.bias",),
            "token_bias": ("vocab_projector.bias",),
            "output": ("vocab_projector.weight",),
        },
        None,
        1e-12,
    ),
    "electra": (
        {
            "dense": ("generator_predictions.dense.weight",),
            "dense_bias": ("generator_predictions.dense.bias",),
            "norm_weight": ("generator_predictions.LayerNorm.weight",),
            "norm_bias": ("generator_predictions.LayerNorm.bias",),
            "token_bias": ("generator_lm_head.bias",),
            "output": ("generator_lm_head.weight",),
        },
        "gelu",
        None,
    ),
}
_TYPES = ("F32", "F16", "BF16", "F64")


@dataclass(frozen=True, kw_only=True)
class PretrainedHead:
    """A masked-LM head where it lies.

    Attributes:
        tensors: By our name; "output" only where it is not the token embeddings.
        activation: The non-linearity, in the words of `transformers`.
        eps: Of the norm.
        digest: Of all this; 64 hex digits.
    """

    tensors: Mapping[str, StoredTensor]
    activation: str
    eps: float
    digest: str


def pretrained_head_digest(folder: Path) -> str | None:
    """Digest the trained masked-LM head of a backbone folder; None: it holds none.

    Raises:
        BackboneError: It holds a part of one, or one of another shape.
    """
    found = find_pretrained_head(folder)
    return found.digest if found else None


def find_pretrained_head(folder: Path) -> PretrainedHead | None:
    """Find the trained masked-LM head of a backbone folder; None: it holds none.

    Raises:
        BackboneError: It holds a part of one, or one of another shape.
    """
    config = read_config(folder)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in _HEADS:
        return None
    names, activation, eps = _HEADS[kind]
    stored = dict(named_tensors(folder))
    found = {
        ours: stored[name]
        for ours, possible in names.items()
        for name in possible[::-1]
        if name in stored
    }
    if not found.keys() & {"dense", "norm_weight", "token_bias"}:
        return None
    _, parsed = parse_config(config, place=str(folder / CONFIG))
    embeddings = _embeddings(folder)
    _raise(folder, names, [*_faults(found, parsed, embeddings)])
    if "output" in found and _same(found["output"], embeddings):
        del found["output"]
    activation, eps = activation or parsed.hidden_act, eps or parsed.layer_norm_eps
    return PretrainedHead(
        tensors=found, activation=activation, eps=eps, digest=_digest(found, activation, eps)
    )


def _embeddings(folder: Path) -> StoredTensor:
    return next(one for name, one in stored_tensors(folder).items() if is_token_embedding(name))


def _faults(
    found: Mapping[str, StoredTensor], config: EncoderConfig, embeddings: StoredTensor
) -> Iterator[tuple[str, str]]:
    """Find what is missing, or of another shape than the encoder and its embeddings ask for."""
    rows, inner = embeddings.type.shape
    shapes = {
        "dense": (inner, config.hidden_size),
        "dense_bias": (inner,),
        "norm_weight": (inner,),
        "norm_bias": (inner,),
        "token_bias": (rows,),
        "output": (rows, inner),
    }
    for name, shape in shapes.items():
        if name not in found:
            if name != "output":
                yield name, f"{list(shape)} is missing"
        elif found[name].type.shape != shape or found[name].type.dtype not in _TYPES:
            yield name, f"is {found[name].type}, and must be {list(shape)}"


def _raise(
    folder: Path, names: Mapping[str, tuple[str, ...]], faults: list[tuple[str, str]]
) -> None:
    if faults:
        remedy = (
            "save the model again with its masked-LM head, or let each language adapter learn an "
            "output layer: languages: {head: own}"
        )
        lines = [f"{folder}: masked-LM head: {names[name][0]} {said}" for name, said in faults]
        raise BackboneError("\n".join([*lines, remedy]))


def _same(one: StoredTensor, other: StoredTensor) -> bool:
    return one.type == other.type and _bytes_digest(one) == _bytes_digest(other)


def _digest(found: Mapping[str, StoredTensor], activation: str, eps: float) -> str:
    lines = [f"{name} {found[name].type} {_bytes_digest(found[name])}" for name in sorted(found)]
    return hashlib.sha256("\n".join([activation, repr(eps), *lines]).encode()).hexdigest()


def _bytes_digest(stored: StoredTensor) -> str:
    hashed = hashlib.sha256()
    for chunk in stored.chunks():
        hashed.update(chunk)
    return hashed.hexdigest()
