"""Trained parts as files: safetensors for the weights, JSON for what they are.

    adapter.safetensors      adapter.json       shape, size, the backbone's body
    composition.safetensors  composition.json   mixers, train_norm, placement, size, body
    head.safetensors         head.json          task type, labels, pooling, size

An adapter binds to the *body* of the backbone it was trained on. Reading holds every tensor to
what the JSON promises; nothing is filled in, and nothing that is left over is ignored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.bundle.files import read_json, write_json
from composer.bundle.jsontext import canonical_json
from composer.bundle.tensors import read_tensors, write_tensors
from composer.errors import AdapterError
from composer.model.backbone import Backbone
from composer.model.parts import (
    Adapter,
    Head,
    Owned,
    Part,
    new_adapter,
    new_head,
    new_owned,
)
from composer.recipe.meaning import class_count
from composer.recipe.schema import BottleneckAdapter, MAdapter, Placement, TaskType

FORMAT = 1

_About = TypeVar("_About", bound="_File")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    size: int = Field(ge=1)


class AdapterFile(_File):
    """What `adapter.json` says.

    Attributes:
        format: Of the pair of files.
        size: Hidden size of the backbone.
        body: Fingerprint of the backbone's body.
        shape: As in the recipe.
    """

    body: str
    shape: BottleneckAdapter | MAdapter = Field(discriminator="kind")


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
    mixers: tuple[tuple[str, int], ...]
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
    """

    type: TaskType
    labels: tuple[str, ...]
    pooling: str

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
    _write(folder, "adapter", adapter, about)


def read_adapter(folder: Path, backbone: Backbone) -> Adapter:
    """Read an adapter for a backbone.

    Raises:
        AdapterError: It was trained on another backbone, or its files disagree.
    """
    about = _read_about(folder / "adapter.json", AdapterFile)
    _check_body(folder / "adapter.json", about.body, backbone)
    adapter = new_adapter(
        about.shape, sites=backbone.norms, size=backbone.size, generator=torch.Generator()
    )
    _load(folder / "adapter.safetensors", adapter)
    adapter.freeze()
    return adapter


def write_owned(folder: Path, owned: Owned, about: CompositionFile) -> None:
    """Write the two files of what a composition owns."""
    _write(folder, "composition", owned, about)


def read_owned(folder: Path, backbone: Backbone) -> Owned | None:
    """Read what a composition owns; None if it owns nothing but its head."""
    if not (folder / "composition.json").exists():
        return None
    about = _read_about(folder / "composition.json", CompositionFile)
    _check_body(folder / "composition.json", about.body, backbone)
    owned = new_owned(
        mixers=about.mixers,
        train_norm=about.train_norm,
        sites=backbone.norms,
        placement=about.placement,
        size=backbone.size,
        generator=torch.Generator(),
    )
    _load(folder / "composition.safetensors", owned)
    owned.freeze()
    return owned


def write_head(folder: Path, head: Head, about: HeadFile) -> None:
    """Write a head's two files."""
    _write(folder, "head", head, about)


def read_head(folder: Path) -> StoredHead:
    """Read a head.

    Raises:
        AdapterError: Its files disagree.
    """
    about = _read_about(folder / "head.json", HeadFile)
    head = new_head(classes=about.classes, size=about.size, generator=torch.Generator())
    _load(folder / "head.safetensors", head)
    head.freeze()
    return StoredHead(head=head, about=about)


def _write(folder: Path, name: str, part: Part, about: BaseModel) -> None:
    arrays = {key: tensor.cpu().numpy() for key, tensor in part.tensors().items()}
    write_tensors(folder / f"{name}.safetensors", arrays)
    write_json(folder / f"{name}.json", about.model_dump(mode="json"))


def _read_about(file: Path, kind: type[_About]) -> _About:
    values = read_json(file, error=AdapterError)
    if values.get("format") != FORMAT:
        raise AdapterError(f"{file}: format {values.get('format')!r}, this composer reads {FORMAT}")
    try:
        return kind.model_validate_json(canonical_json(values))  # strict, but JSON has no tuples
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AdapterError(f"{file}: {where}: {first['msg']}") from error


def _load(file: Path, part: Part) -> None:
    arrays = read_tensors(file, expected={name: tuple(part[name].shape) for name in part.names})
    part.load({name: torch.from_numpy(array) for name, array in arrays.items()}, what=str(file))


def _check_body(file: Path, body: str, backbone: Backbone) -> None:
    if body != backbone.fingerprints.body:
        raise AdapterError(
            f"{file}: trained on a backbone whose body is {body[:12]}, this one is "
            f"{backbone.fingerprints.body[:12]}; an adapter fits one backbone only"
        )
