"""Adapters in other libraries' formats as what trainings of composer leave behind.

    task          adapter, and its head where it brings one that fits
    language      adapter
    composition   what a fusion learnt, and its head

and `training.json`, which says that composer trained nothing. What a result is used for later
(fused, scored, bundled) needs to know of it no more than of one that was trained here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import torch

from composer.errors import Fault, FaultsError, InterchangeError
from composer.model.backbone import Backbone
from composer.model.files import (
    CompositionFile,
    HeadFile,
    write_adapter,
    write_head,
    write_owned,
)
from composer.model.interchange.foreign import Tensors
from composer.model.interchange.foreignheads import ForeignHead
from composer.model.interchange.hub import (
    ForeignAdapter,
    has_head,
    read_hub_adapter,
    read_hub_head,
)
from composer.model.interchange.hubfusions import read_hub_fusion
from composer.model.interchange.peft import read_peft, read_peft_head
from composer.model.methods.kinds import stored_adapter
from composer.model.parts import Head, Owned, Part
from composer.recipe.grammar.adapters import AdapterShape, BottleneckShape, joint_placement
from composer.train.results import TrainingFile

Format = Literal["adapterhub", "peft"]

_One = TypeVar("_One")
_Other = TypeVar("_Other")


@dataclass(frozen=True, kw_only=True)
class HeadWishes:
    """What is said of a head beside its files.

    Attributes:
        folder: Where it lies, if not beside the adapter.
        labels: The label set, where the file's is not to be used.
        taken: False: it is left where it is.
    """

    folder: Path | None = None
    labels: tuple[str, ...] = ()
    taken: bool = True


@dataclass(frozen=True, kw_only=True)
class ImportedPart:
    """What was read, ready to be written.

    Attributes:
        adapter: None: it is a fusion.
        owned: Of a fusion.
        head: None: it brings none.
        shapes: Of a fusion's members.
    """

    adapter: ForeignAdapter | None = None
    owned: Tensors = field(default_factory=dict)
    head: ForeignHead | None = None
    shapes: tuple[AdapterShape, ...] = ()

    def write(self, out: Path, backbone: Backbone) -> None:
        """Write the files of a stage's result."""
        parts: list[Part] = []
        if self.adapter is not None:
            made = stored_adapter(self.adapter.shape, _torched(self.adapter.tensors), backbone)
            write_adapter(out, made, backbone)
            parts.append(made)
        else:
            owned = Owned(_torched(self.owned))
            write_owned(out, owned, self._about(backbone))
            parts.append(owned)
        if self.head is not None:
            head = Head(_torched(self.head.tensors), self.head.non_linearity)
            about = HeadFile(
                size=backbone.size,
                type=self.head.type,
                labels=self.head.labels,
                pooling=self.head.pooling,
                non_linearity=self.head.non_linearity,
            )
            write_head(out, head, about)
            parts.append(head)
        _untrained(sum(part.count() for part in parts)).write(out / "training.json")

    def _about(self, backbone: Backbone) -> CompositionFile:
        return CompositionFile(
            size=backbone.size,
            body=backbone.fingerprints.body,
            mixers=(("fuse", len(self.shapes)),),
            train_norm=False,
            placement=joint_placement(
                {one.placement for one in self.shapes if isinstance(one, BottleneckShape)}
            ),
        )


def read_adapter_part(
    format: Format, folder: Path, backbone: Backbone, *, head: HeadWishes
) -> ImportedPart:
    """Read an adapter and its head.

    Args:
        format: Of the folder.
        folder: Of its files.
        backbone: That it is for.
        head: What is said of its head.

    Raises:
        InterchangeError: Naming all of both that does not fit.
    """
    if format == "peft":
        adapter, found = _both(
            lambda: read_peft(folder, backbone),
            lambda: read_peft_head(folder, backbone, labels=head.labels) if head.taken else None,
        )
        return ImportedPart(adapter=adapter, head=found)
    place = head.folder or folder
    adapter, found = _both(
        lambda: read_hub_adapter(folder, backbone),
        lambda: (
            read_hub_head(place, backbone, labels=head.labels)
            if head.taken and (head.folder is not None or has_head(place))
            else None
        ),
    )
    return ImportedPart(adapter=adapter, head=found)


def read_fusion_part(
    folder: Path, shapes: Sequence[AdapterShape], backbone: Backbone, *, head: HeadWishes
) -> ImportedPart:
    """Read a fusion and its head, which it cannot do without.

    Args:
        folder: Of its files.
        shapes: Of its members, in order.
        backbone: That it is for.
        head: What is said of its head.

    Raises:
        InterchangeError: Naming all of both that does not fit.
    """
    place = head.folder or folder

    def its_head() -> ForeignHead:
        if not has_head(place):
            message = "a fusion has a head of its own, and there is none: give it, --head FOLDER"
            raise InterchangeError([Fault(str(place), message)])
        return read_hub_head(place, backbone, labels=head.labels)

    owned, found = _both(lambda: read_hub_fusion(folder, shapes, backbone), its_head)
    return ImportedPart(owned=owned, head=found, shapes=tuple(shapes))


def _both(one: Callable[[], _One], other: Callable[[], _Other]) -> tuple[_One, _Other]:
    """Read two things; what does not fit is told of both at once."""
    try:
        first = one()
    except FaultsError as error:
        faults = list(error.faults)
        try:
            other()
        except FaultsError as further:
            faults += further.faults
        raise InterchangeError(dict.fromkeys(faults)) from error
    return first, other()


def _torched(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(one) for name, one in tensors.items()}


def _untrained(count: int) -> TrainingFile:
    """Say that composer trained nothing, and how many weights it took over."""
    return TrainingFile(
        steps=0,
        epochs=0,
        best_epoch=0,
        best_score=None,
        history=(),
        trainable_parameters=count,
        seed=0,
        training_examples=0,
        validation_examples=0,
    )
