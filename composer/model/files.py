"""Trained parts as files: safetensors for the weights, JSON for what they are.

    adapter.safetensors      adapter.json       shape, size, the backbone's body
    composition.safetensors  composition.json   mixers, train_norm, placement, size, body
    head.safetensors         head.json          task type, labels, pooling, size; of two layers
                                                the non-linearity between them

An adapter binds to the *body* of the backbone it was trained on. Reading holds every tensor to
what the JSON promises; nothing is filled in, and nothing that is left over is ignored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from composer.bundle.files import read_json, write_json
from composer.bundle.jsontext import canonical_json, one_line
from composer.bundle.shapes import Shape, adapter_faults, adapter_tensors, head_tensors
from composer.bundle.sparse import MASK, packed, unpacked
from composer.bundle.tensors import FAULTS_SHOWN, read_tensors, tensor_types, write_tensors
from composer.errors import AdapterError
from composer.model.backbone import Backbone
from composer.model.methods.kinds import promised_tensors, stored_adapter
from composer.model.parts import Adapter, Bottleneck, Head, Owned, Part
from composer.recipe.grammar.adapters import AdapterShape, Full, NonLinearity, Placement, sub_layers
from composer.recipe.grammar.meaning import class_count
from composer.recipe.grammar.tasks import TaskType
from composer.recipe.sizes.sparsity import sparsity_of

FORMAT = 1

MIXERS_LIMIT = 1000  # as many as the longest expression might hold

_About = TypeVar("_About", bound="_File")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    format: int = FORMAT
    size: int = Field(ge=1)


class AdapterFile(_File):
    """What `adapter.json` says.

    Attributes:
        format: Of the pair of files.
        size: Hidden size of the backbone.
        body: Fingerprint of the backbone's body.
        shape: As in the recipe.
        vocabulary: Fingerprint of the backbone's, of full fine-tuning, which has token
            embeddings of its own; not there for other kinds.
    """

    body: str
    shape: AdapterShape
    vocabulary: str | None = None


_Mixer = tuple[Annotated[str, Field(pattern="^(fuse|gate)$")], Annotated[int, Field(ge=2)]]


class CompositionFile(_File):
    """What `composition.json` says.

    Attributes:
        format: Of the pair of files.
        size: Hidden size of the backbone.
        body: Fingerprint of the backbone's body.
        mixers: ("fuse" | "gate", members) in reading order.
        train_norm: Whether norms are among the weights.
        placement: The members'.
    """

    body: str
    mixers: Annotated[tuple[_Mixer, ...], Field(max_length=MIXERS_LIMIT)]
    train_norm: bool
    placement: Placement


class HeadFile(_File):
    """What `head.json` says.

    Attributes:
        format: Of the pair of files.
        size: Hidden size of the backbone.
        type: What is predicted.
        labels: The label set in order; empty for a regression.
        pooling: "mean", "first", or "none" for one output a token.
        non_linearity: Between its two layers; None, and not in the file: it has one layer.
    """

    type: TaskType
    labels: tuple[str, ...]
    pooling: Annotated[str, Field(pattern="^(mean|first|none)$")]
    non_linearity: Annotated[NonLinearity | None, Field(exclude_if=lambda one: one is None)] = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.type == "regression") != (not self.labels):
            raise ValueError(f"{len(self.labels)} labels for a {self.type}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label is there twice")
        if (self.type == "token-classification") != (self.pooling == "none"):
            raise ValueError(f"pooling {self.pooling!r} for a {self.type}")
        return self

    @property
    def classes(self) -> int:
        """Outputs of the head: one a label, one for a regression, 2n + 1 BIO tags for spans."""
        return class_count(self.type, self.labels)


@dataclass(frozen=True, kw_only=True)
class StoredHead:
    """A head and what its outputs mean."""

    head: Head
    about: HeadFile


def write_adapter(folder: Path, adapter: Adapter, backbone: Backbone) -> None:
    """Write an adapter's two files."""
    about = AdapterFile(size=backbone.size, body=backbone.fingerprints.body, shape=adapter.shape)
    if isinstance(adapter.shape, Full):
        about = about.model_copy(update={"vocabulary": backbone.fingerprints.vocabulary})
    _write(folder, "adapter", adapter, about)


def read_adapter(folder: Path, backbone: Backbone) -> Adapter:
    """Read an adapter for a backbone.

    Raises:
        AdapterError: It was trained on another backbone, or its files disagree.
    """
    file = folder / "adapter.json"
    about = _read_about(file, AdapterFile)
    _check_backbone(file, about, backbone)
    wanted = backbone.fingerprints.vocabulary if isinstance(about.shape, Full) else None
    if about.vocabulary != wanted:
        raise AdapterError(
            f"{file}: vocabulary: {str(about.vocabulary)[:12]!r}, expected {str(wanted)[:12]!r}; "
            "full fine-tuning belongs to one backbone with one tokenizer"
        )
    shape, weights = about.shape, folder / "adapter.safetensors"
    if isinstance(shape, Shape) and sparsity_of(shape) is not None:
        layers = 1 + max(site.layer for site in backbone.norms)
        return _read_sparse(weights, shape, backbone, layers)
    return stored_adapter(shape, _read(weights, promised_tensors(shape, backbone)), backbone)


def write_owned(folder: Path, owned: Owned, about: CompositionFile) -> None:
    """Write the two files of what a composition owns."""
    _write(folder, "composition", owned, about)


def read_owned(folder: Path, backbone: Backbone) -> Owned | None:
    """Read what a composition owns; None if it owns nothing but its head."""
    file, weights = folder / "composition.json", folder / "composition.safetensors"
    if not file.exists() and not weights.exists():
        return None
    about = _read_about(file, CompositionFile)
    _check_backbone(file, about, backbone)
    owned = Owned(_read(weights, dict(_owned_tensors(about, backbone))))
    owned.freeze()
    return owned


def write_head(folder: Path, head: Head, about: HeadFile) -> None:
    """Write a head's two files."""
    _write(folder, "head", head, about)


def read_head(folder: Path, backbone: Backbone | None = None) -> StoredHead:
    """Read a head.

    Args:
        folder: Of its two files.
        backbone: Whose hidden size it must have; left out, any.

    Raises:
        AdapterError: Its files disagree.
    """
    file = folder / "head.json"
    about = _read_about(file, HeadFile)
    _check_size(file, about, backbone.size if backbone else about.size)
    dense = about.non_linearity is not None
    shapes = dict(head_tensors(size=about.size, classes=about.classes, dense=dense))
    head = Head(_read(folder / "head.safetensors", shapes), about.non_linearity)
    head.freeze()
    return StoredHead(head=head, about=about)


def stored_arrays(part: Part) -> dict[str, np.ndarray]:
    """Give a part's tensors as files and bundles hold them: a sparse adapter's packed."""
    arrays = {key: tensor.cpu().float().numpy() for key, tensor in part.tensors().items()}
    if not isinstance(part, Bottleneck):
        return arrays
    return packed(arrays, {key: kept.cpu().numpy() for key, kept in part.masks.items()})


def _write(folder: Path, name: str, part: Part, about: BaseModel) -> None:
    write_tensors(folder / f"{name}.safetensors", stored_arrays(part))
    values = about.model_dump(mode="json")
    if values.get("vocabulary", "") is None:
        del values["vocabulary"]
    write_json(folder / f"{name}.json", values)


def _read_about(file: Path, kind: type[_About]) -> _About:
    values = read_json(file, error=AdapterError)
    found = values.get("format")
    if type(found) is not int or found != FORMAT:
        raise AdapterError(f"{file}: format {found!r:.80}, this composer reads {FORMAT}")
    try:
        return kind.model_validate_json(canonical_json(values))  # strict, but JSON has no tuples
    except ValidationError as error:
        first = error.errors()[0]
        wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise AdapterError(f"{file}: {one_line(wrong)}") from error


def _owned_tensors(
    about: CompositionFile, backbone: Backbone
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """List the tensors of what a composition owns, by the names of `composer.model.parts`."""
    size = backbone.size
    for site in backbone.norms:
        if site.where not in sub_layers(about.placement):
            continue
        for number, (form, members) in enumerate(about.mixers):
            if form == "gate":
                yield f"{site}.{number}.gate", (members, size)
                yield f"{site}.{number}.gate_bias", (members,)
                continue
            yield f"{site}.{number}.query_bias", (size,)
            for name in ("query", "key", "value"):
                yield f"{site}.{number}.{name}", (size, size)
        if about.train_norm:
            yield f"{site}.norm_weight", (size,)
            yield f"{site}.norm_bias", (size,)


def _read(file: Path, expected: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Read weights: memory is taken for what the file holds, not for what is claimed."""
    arrays = read_tensors(file, expected=expected)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _read_sparse(file: Path, shape: Shape, backbone: Backbone, layers: int) -> Adapter:
    """Read a sparse adapter: what its masks keep, and zeros elsewhere."""
    stored = read_tensors(file)
    types = tensor_types(stored)
    faults = [
        f"tensor {name!r} is {type_}, not {wanted}"
        for name, type_ in types.items()
        if type_.dtype != (wanted := "U8" if name.endswith(MASK) else "F32")
    ]
    faults += adapter_faults(shape, types, size=backbone.size, layers=layers)
    if faults:
        raise AdapterError("\n".join(f"{file}: {fault}" for fault in faults[:FAULTS_SHOWN]))
    lengths = dict(adapter_tensors(shape, size=backbone.size, layers=layers))
    found = unpacked(stored, lengths, place=str(file), error=AdapterError)
    return stored_adapter(
        shape,
        {name: torch.from_numpy(array) for name, array in found.tensors.items()},
        backbone,
        masks={name: torch.from_numpy(kept) for name, kept in found.masks.items()},
    )


def _check_backbone(file: Path, about: AdapterFile | CompositionFile, backbone: Backbone) -> None:
    if about.body != backbone.fingerprints.body:
        raise AdapterError(
            f"{file}: trained on a backbone whose body is {about.body[:12]!r}, this one is "
            f"{backbone.fingerprints.body[:12]!r}; an adapter fits one backbone only"
        )
    _check_size(file, about, backbone.size)


def _check_size(file: Path, about: _File, size: int) -> None:
    if about.size != size:
        raise AdapterError(f"{file}: size: {about.size}, and the backbone's is {size}")
