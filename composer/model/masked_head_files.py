"""A shared masked-LM head as files.

    language-head.safetensors   dense, dense_bias, norm_weight, norm_bias, token_bias, tokens
    language-head.json          whether it is the backbone's own, non-linearity, sizes, fingerprints

It binds to the backbone's body, whose hidden states it reads, and to its vocabulary, whose rows it
scores. `tokens` are the ids of the pieces, ascending.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.bundle.files import read_json, write_json
from composer.bundle.jsontext import canonical_json, one_line
from composer.bundle.tensors import read_tensors, write_tensors
from composer.errors import AdapterError
from composer.model.backbone import Backbone
from composer.model.masked_lm import MaskedHead
from composer.model.pretrained_head import find_pretrained_head
from composer.model.weights import read_pieces

_NAME = "language-head"


class MaskedHeadFile(BaseModel):
    """What `language-head.json` says.

    Attributes:
        format: Of the pair of files.
        body: Fingerprint of the backbone's body.
        vocabulary: Fingerprint of the backbone's vocabulary.
        size: Hidden size of the backbone.
        inner: Size of its token embeddings.
        pieces: That are scored.
        activation: The non-linearity.
        eps: Of the norm.
        origin: "trained" on text, or the "backbone"'s own.
        output: Whether it has a matrix of its own in the place of the embeddings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = 1
    body: str
    vocabulary: str
    size: int = Field(ge=1)
    inner: int = Field(ge=1)
    pieces: int = Field(ge=1)
    activation: str
    eps: float = Field(gt=0, le=1)
    origin: Literal["trained", "backbone"]
    output: bool


def write_masked_head(
    folder: Path, head: MaskedHead, backbone: Backbone, *, origin: Literal["trained", "backbone"]
) -> None:
    """Write a head's two files."""
    tensors = {name: tensor.cpu().numpy() for name, tensor in head.part.tensors().items()}
    about = MaskedHeadFile(
        body=backbone.fingerprints.body,
        vocabulary=backbone.fingerprints.vocabulary,
        size=backbone.size,
        inner=len(tensors["dense"]),
        pieces=len(tensors["token_bias"]),
        activation=head.activation,
        eps=head.eps,
        origin=origin,
        output="output" in tensors,
    )
    tensors["tokens"] = head.scored.tokens.cpu().numpy()
    write_tensors(folder / f"{_NAME}.safetensors", tensors)
    write_json(folder / f"{_NAME}.json", about.model_dump(mode="json"))


def read_masked_head(folder: Path, backbone: Backbone) -> MaskedHead:
    """Read a head for a backbone, frozen.

    Raises:
        AdapterError: It is another backbone's, or its files disagree.
    """
    about = _read_about(folder / f"{_NAME}.json", backbone)
    shapes: dict[str, tuple[int, ...]] = {
        "dense": (about.inner, about.size),
        **dict.fromkeys(("dense_bias", "norm_weight", "norm_bias"), (about.inner,)),
        **dict.fromkeys(("token_bias", "tokens"), (about.pieces,)),
        **({"output": (about.pieces, about.inner)} if about.output else {}),
    }
    file = folder / f"{_NAME}.safetensors"
    arrays = read_tensors(file, expected=shapes, dtypes={"tokens": "I64"})
    tokens = arrays.pop("tokens")
    rows = len(backbone.word_embeddings.weight)
    if not 0 <= tokens[0] <= tokens[-1] < rows or (np.diff(tokens) <= 0).any():
        raise AdapterError(f"{file}: tokens are no ascending ids of the backbone's {rows:,} pieces")
    head = MaskedHead(
        {name: torch.from_numpy(array) for name, array in arrays.items()},
        tokens=tokens,
        activation=about.activation,
        eps=about.eps,
        backbone=backbone,
    )
    head.part.freeze()
    return head


def own_masked_head(folder: Path, backbone: Backbone, *, digest: str) -> MaskedHead:
    """Read the trained head that a backbone folder holds.

    Args:
        folder: The backbone's.
        backbone: Opened from it.
        digest: What the head must have.

    Raises:
        BackboneError: It holds a part of one, or one of another shape.
        AdapterError: It holds none, or another than was planned for.
    """
    found = find_pretrained_head(folder)
    if found is None or found.digest != digest:
        raise AdapterError(
            f"{folder}: its masked-LM head is not the one that was planned for; the files changed "
            "since the plan was made"
        )
    tensors = {
        name: torch.cat([*read_pieces(name, stored, folder)]).reshape(stored.type.shape)
        for name, stored in found.tensors.items()
    }
    head = MaskedHead(
        tensors,
        tokens=np.arange(len(tensors["token_bias"])),
        activation=found.activation,
        eps=found.eps,
        backbone=backbone,
    )
    head.part.freeze()
    return head


def _read_about(file: Path, backbone: Backbone) -> MaskedHeadFile:
    values = read_json(file, error=AdapterError)
    try:
        about = MaskedHeadFile.model_validate_json(canonical_json(values))
    except ValidationError as error:
        first = error.errors()[0]
        wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise AdapterError(f"{file}: {one_line(wrong)}") from error
    for name in ("body", "vocabulary"):
        found, wanted = getattr(about, name), getattr(backbone.fingerprints, name)
        if found != wanted:
            raise AdapterError(
                f"{file}: trained on a backbone whose {name} is {found[:12]!r}, this one's is "
                f"{wanted[:12]!r}; a masked-LM head fits one backbone only"
            )
    return about
