"""Stored results written in other libraries' formats.

adapterhub   an adapter and its head in one folder, as `save_adapter` makes it; of a
             composition every adapter, the fusion and the head in folders of their own, as
             `save_adapter_setup` makes it
peft         a LoRA and its head
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from composer.errors import Fault, InterchangeError
from composer.model.backbone import Backbone
from composer.model.files import read_adapter, read_head, read_owned
from composer.model.interchange.foreignheads import ForeignHead
from composer.model.interchange.hub import write_hub_adapter, write_hub_head
from composer.model.interchange.hubfusions import ForeignSetup, write_hub_fusion, write_setup
from composer.model.interchange.peft import write_peft
from composer.model.parts import Adapter, Part
from composer.recipe.grammar.composition import Composition, Fuse, Stack, print_composition
from composer.train.importing import Format


def write_part(
    format: Format,
    out: Path,
    name: str,
    stored: Path,
    *,
    backbone: Backbone,
    model: str,
    with_head: bool,
) -> None:
    """Write an adapter, and its head if it has one.

    Args:
        format: To write.
        out: Folder to write to.
        name: Of the adapter there.
        stored: Folder of the result of a task or a language.
        backbone: That it was trained on.
        model: Its name, for people.
        with_head: Whether its head is written too.

    Raises:
        InterchangeError: Naming all of it that the format does not have.
    """
    adapter = read_adapter(stored, backbone)
    head = _head(stored, backbone) if with_head and (stored / "head.json").exists() else None
    tensors = _arrays(adapter)
    if format == "peft":
        write_peft(out, adapter.shape, tensors, head, backbone=backbone, model=model)
        return
    faults: list[Fault] = []
    try:
        write_hub_adapter(out, name, adapter.shape, tensors, backbone=backbone, model=model)
    except InterchangeError as error:
        faults += error.faults
    try:
        if head is not None:
            write_hub_head(out, name, head, backbone=backbone, model=model)
    except InterchangeError as error:
        faults += error.faults
    if faults:
        raise InterchangeError(faults)


def write_composition(
    out: Path,
    name: str,
    composition: Composition,
    stored: Path,
    parts: Mapping[str, Path],
    *,
    backbone: Backbone,
    model: str,
) -> None:
    """Write a trained composition in the format of `adapters`.

    Args:
        out: Folder to write to.
        name: Of the head there.
        composition: Bound.
        stored: Folder of its result.
        parts: Name in the composition -> folder of the adapter's result.
        backbone: That it was trained on.
        model: Its name, for people.

    Raises:
        InterchangeError: Naming all of it that the format does not have.
    """
    setup, owned = _setup(composition, name), read_owned(stored, backbone)
    adapters = {one: read_adapter(folder, backbone) for one, folder in parts.items()}
    faults: list[Fault] = []
    if owned is not None and any(".norm_" in one for one in owned.names):
        told = "true; `adapters` saves no norms of a composition: train without it"
        faults.append(Fault("composition: train_norm", told))
    for one, adapter in adapters.items():
        faults += _written(out, one, adapter, backbone, model)
    try:
        folder = _made(out / name)
        write_hub_head(folder, name, _head(stored, backbone), backbone=backbone, model=model)
        if setup.fused and owned is not None:
            shapes = [adapters[one].shape for one in setup.fused]
            folder = _made(out / ",".join(setup.fused))
            tensors = _arrays(owned)
            write_hub_fusion(folder, setup.fused, shapes, tensors, backbone=backbone, model=model)
    except InterchangeError as error:
        faults += error.faults
    if faults:
        raise InterchangeError(dict.fromkeys(faults))
    write_setup(out, setup)


def _written(
    out: Path, name: str, adapter: Adapter, backbone: Backbone, model: str
) -> tuple[Fault, ...]:
    folder = _made(out / name)
    try:
        write_hub_adapter(
            folder, name, adapter.shape, _arrays(adapter), backbone=backbone, model=model
        )
    except InterchangeError as error:
        return tuple(Fault(f"{name}: {one.place}", one.message) for one in error.faults)
    return ()


def _setup(composition: Composition, name: str) -> ForeignSetup:
    """Say a composition as the library does.

    Raises:
        InterchangeError: It computes another one otherwise, or has none such.
    """
    parts = composition.parts if isinstance(composition, Stack) else (composition,)
    last = parts[-1]
    fused = last.parts if isinstance(last, Fuse) else ()
    stacked = parts[:-1] if fused else parts
    names = [one for one in (*stacked, *fused) if isinstance(one, str) and one[0] != "$"]
    if len(names) != len(stacked) + len(fused) or "none" in names:
        raise InterchangeError(
            [
                Fault(
                    "composition: expression",
                    f"{print_composition(composition)}; written are a fusion of adapters, alone "
                    "or on adapters that are named, and a stack of adapters",
                )
            ]
        )
    return ForeignSetup(stacked=tuple(map(str, stacked)), fused=tuple(map(str, fused)), head=name)


def _head(stored: Path, backbone: Backbone) -> ForeignHead:
    found = read_head(stored, backbone)
    return ForeignHead(
        type=found.about.type,
        labels=found.about.labels,
        pooling=found.about.pooling,
        non_linearity=found.about.non_linearity,
        **_arrays(found.head),
    )


def _arrays(part: Part) -> dict[str, np.ndarray]:
    return {name: tensor.cpu().float().numpy() for name, tensor in part.tensors().items()}


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
