"""AdapterFusion in the format of `adapters`, and folders of whole compositions.

    adapter_fusion_config.json   model_adapter_fusion.safetensors, or .._pytorch_..fusion.bin
    adapter_setup.json           {"adapter_setup": {"type": "Fuse", "children": [...]}, ...}

The library adds a fusion's result to the residual of its last member, and so does composer; what
a switch leaves out (query, key or value) is the identity, and what cancels in the softmax (the
key's bias) is left out. At parallel members it adds the residual stream twice, so fusions over
them are refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from composer.bundle.files import write_json
from composer.bundle.jsontext import one_line
from composer.bundle.tensors import write_tensors
from composer.errors import Fault, InterchangeError
from composer.model.backbone import Backbone
from composer.model.interchange.foreign import (
    Tensors,
    compared,
    foreign_config,
    foreign_weights,
    misfit,
)
from composer.model.interchange.hub import VERSION, check_model, foreign_name, written_about
from composer.model.interchange.hubnames import fusion_names, in_models, today
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter, MAdapter

FUSION, SETUP = "adapter_fusion_config.json", "adapter_setup.json"
FUSION_WEIGHTS = ("model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin")
MEMBERS_LIMIT = 100

_NAMED = {"dynamic": {}, "static": {"value": False}}
_TRAINING = frozenset({"regularization", "value_initialized", "dropout_prob"})
_SWITCHES = {"query": True, "key": True, "value": True, "value_before_softmax": True}
_OFF = {
    "residual_before": "composer's residual is added to what is mixed",
    "temperature": "its temperature falls from call to call, so that it gives no one answer",
}


@dataclass(frozen=True, kw_only=True)
class ForeignSetup:
    """What `adapter_setup.json` says, as far as composer has it.

    Attributes:
        stacked: Adapters below the fusion, the first nearest the backbone.
        fused: The fusion's members; empty: there is none.
        head: Name of the head; None: there is none.
    """

    stacked: tuple[str, ...]
    fused: tuple[str, ...]
    head: str | None


def read_members(folder: Path) -> tuple[str, ...]:
    """Name the adapters that a fusion was learnt over, in order, as they are called there.

    Raises:
        InterchangeError: It does not say.
    """
    place, about = str(folder / FUSION), foreign_config(folder, FUSION)
    names = about.get("adapter_names", about.get("name"))
    names = names.split(",") if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise misfit(f"{place}: adapter_names", "a list of the names of adapters")
    if not 2 <= len(names) <= MEMBERS_LIMIT or len(set(names)) < len(names):
        told = f"{len(names)} names; composer fuses 2 to {MEMBERS_LIMIT} different adapters"
        raise misfit(f"{place}: adapter_names", told)
    return tuple(names)


def read_hub_fusion(folder: Path, shapes: Sequence[AdapterShape], backbone: Backbone) -> Tensors:
    """Read what a fusion learnt, by the names of composer's files.

    Args:
        folder: Of its config and its weights.
        shapes: Of its members, in order.
        backbone: That it is for.

    Raises:
        InterchangeError: Naming all of it that does not fit.
    """
    place, about = str(folder / FUSION), foreign_config(folder, FUSION)
    check_model(about, backbone, place=place)
    config = about.get("config")
    config = _NAMED.get(config) if isinstance(config, str) else config
    if not isinstance(config, dict):
        raise misfit(f"{place}: config", "it is a mapping, 'dynamic' or 'static'")
    faults = [*_config_faults(config, shapes, place), *member_faults(shapes, place)]
    first = shapes[0]
    if faults or not isinstance(first, BottleneckAdapter | MAdapter):
        raise InterchangeError(faults)
    names = fusion_names(first.placement, foreign_name(about, place=place), backbone)
    used = {**_SWITCHES, **config}
    wanted = {
        theirs: (backbone.size,) if ours.endswith("bias") else (backbone.size, backbone.size)
        for ours, theirs in names.items()
        if used[ours.split(".")[3].removesuffix("_bias")]
    }
    found = today(foreign_weights(folder, FUSION_WEIGHTS), backbone)
    # with neither of the three, the library saves a layer that it does not use
    found = {name: one for name, one in found.items() if ".dense." not in name}
    faults = compared(found, wanted, place=place)
    if faults:
        raise InterchangeError(faults)
    return {
        ours: found.get(theirs, _left_out(ours, backbone.size))
        for ours, theirs in names.items()
        if not ours.endswith("key_bias")
    }


def write_hub_fusion(
    folder: Path,
    members: Sequence[str],
    shapes: Sequence[AdapterShape],
    tensors: Mapping[str, np.ndarray],
    *,
    backbone: Backbone,
    model: str,
) -> None:
    """Write what a fusion learnt as `save_adapter_fusion` does, in safetensors.

    Raises:
        InterchangeError: The library computes something else over such members.
    """
    faults = [*member_faults(shapes, "fusion")]
    first = shapes[0]
    if faults or not isinstance(first, BottleneckAdapter):
        raise InterchangeError(faults)
    name = ",".join(members)
    config: dict[str, object] = {**_SWITCHES, **dict.fromkeys(_OFF, False)}
    config["query_before_ln"] = False
    config |= {"regularization": True, "value_initialized": True, "dropout_prob": None}
    theirs = {
        other: tensors.get(ours, np.zeros(backbone.size, np.float32))
        for ours, other in fusion_names(first.placement, name, backbone).items()
    }
    about = {**written_about(config, name, backbone, model), "adapter_names": list(members)}
    write_json(folder / FUSION, about)
    write_tensors(folder / FUSION_WEIGHTS[0], in_models(theirs, backbone))


def read_setup(folder: Path) -> ForeignSetup:
    """Read what composition a folder holds.

    Raises:
        InterchangeError: It is not adapters on each other with a fusion on top.
    """
    place, about = str(folder / SETUP), foreign_config(folder, SETUP)
    block = about.get("adapter_setup")
    parts = _children(block, "Stack") or [block]
    if not 0 < len(parts) <= MEMBERS_LIMIT:
        raise _no_setup(place, block)
    fused: tuple[str, ...] = ()
    if children := _children(parts[-1], "Fuse"):
        parts = parts[:-1]
        fused = tuple(_single(one, place) for one in children[: MEMBERS_LIMIT + 1])
    head = about.get("head_setup")
    return ForeignSetup(
        stacked=tuple(_single(one, place) for one in parts),
        fused=fused,
        head=_folder_name(head, place) if head is not None else None,
    )


def write_setup(folder: Path, setup: ForeignSetup) -> None:
    """Write what composition a folder holds, so that `load_adapter_setup` loads it."""
    fused = {"type": "Fuse", "children": [_written(name) for name in setup.fused]}
    parts = [*map(_written, setup.stacked), *([fused] if setup.fused else [])]
    block = parts[0] if len(parts) == 1 else {"type": "Stack", "children": parts}
    about = {"adapter_setup": block, "head_setup": setup.head, "version": VERSION}
    write_json(folder / SETUP, about)


def member_faults(shapes: Sequence[AdapterShape], place: str) -> Iterator[Fault]:
    """Say which members make a fusion that the two libraries compute otherwise."""
    for shape in shapes:
        if not isinstance(shape, BottleneckAdapter | MAdapter):
            yield Fault(place, f"a member is of the kind {shape.kind}; bottlenecks are fused")
        elif shape.form == "parallel":
            yield Fault(
                place,
                "a member is of the form parallel; `adapters` adds the residual stream twice "
                "there: fuse sequential ones",
            )
        elif shape.placement != shapes[0].placement:  # type: ignore[union-attr]
            yield Fault(place, "its members sit at different sub-layers; composer fuses alike ones")


def _config_faults(
    config: Mapping[str, Any], shapes: Sequence[AdapterShape], place: str
) -> Iterator[Fault]:
    for name, value in config.items():
        told = one_line(str(value), 80)
        if name in _SWITCHES and type(value) is not bool:
            yield Fault(f"{place}: config.{name}", f"{told}; it is true or false")
        elif name in _OFF and value:
            yield Fault(f"{place}: config.{name}", f"{told}; {_OFF[name]}: false")
        elif name == "query_before_ln" and value:
            if any(getattr(one, "placement", "") == "pfeiffer" for one in shapes):
                message = f"{told}; composer's query is what the adapters read: false"
                yield Fault(f"{place}: config.{name}", message)
        elif value and name not in {*_SWITCHES, *_TRAINING, *_OFF}:
            yield Fault(f"{place}: config.{name}", f"{told}; composer has nothing of that kind")


def _left_out(name: str, size: int) -> np.ndarray:
    """Give what stands for a matrix, or a bias, that a switch leaves out."""
    return np.zeros(size, np.float32) if name.endswith("bias") else np.eye(size, dtype=np.float32)


def _children(block: object, kind: str) -> list[object]:
    """Give what a block of a kind is made of; empty: it is none of that kind."""
    if not isinstance(block, dict) or block.get("type") != kind:
        return []
    children = block.get("children")
    return children if isinstance(children, list) else []


def _single(block: object, place: str) -> str:
    """Name an adapter; its folder has that name."""
    inside = _children(block, "single") or [block]
    if len(inside) != 1 or not isinstance(inside[0], str):
        raise _no_setup(place, block)
    return _folder_name(inside[0], place)


def _folder_name(name: object, place: str) -> str:
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= 100
        or name in (".", "..")
        or any(sign in name for sign in "/\\:\0")
    ):
        raise misfit(place, f"{one_line(str(name), 80)!r} is no name of a folder in this one")
    return name


def _written(name: str) -> dict[str, object]:
    return {"type": "single", "children": [name]}


def _no_setup(place: str, block: object) -> InterchangeError:
    told = one_line(str(block), 120)
    return misfit(
        f"{place}: adapter_setup",
        f"{told}; composer reads a Fuse of adapters, or a Stack of adapters with one on top",
    )
