"""Folders in the format of `adapters` 1.3.0, read as parts of composer's and written.

    adapter_config.json   adapter.safetensors      or pytorch_adapter.bin
    head_config.json      model_head.safetensors   or pytorch_model_head.bin

The format binds to a backbone by a name that nobody checks. What is checked here: the kind of
model, the hidden size, and every tensor's name and shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from composer.bundle.files import write_json
from composer.bundle.jsontext import one_line
from composer.bundle.tensors import write_tensors
from composer.errors import AdapterError, Fault, InterchangeError
from composer.model.backbone import Backbone
from composer.model.interchange.configs import (
    plain_config,
    prefix_non_linearity,
    read_shape,
    written_config,
)
from composer.model.interchange.foreign import (
    Tensors,
    compared,
    foreign_config,
    foreign_weights,
    holds,
    misfit,
)
from composer.model.interchange.foreignheads import ForeignHead
from composer.model.interchange.hubheads import head_type, read_head, written_head
from composer.model.interchange.hubnames import (
    in_models,
    joined_prefix,
    names_of,
    prefix_name,
    split_prefix,
    today,
    worked_out_prefix,
)
from composer.model.methods.kinds import check_kind, promised_tensors
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter, Prefix, Prompt
from composer.recipe.grammar.invertible import halves
from composer.recipe.sizes.fit import bottleneck_width
from composer.recipe.sizes.inner import kept_layers

ADAPTER, HEAD = "adapter_config.json", "head_config.json"
ADAPTER_WEIGHTS = ("adapter.safetensors", "pytorch_adapter.bin")
HEAD_WEIGHTS = ("model_head.safetensors", "pytorch_model_head.bin")
VERSION = "adapters.1.3.0"  # whose format is written


@dataclass(frozen=True, kw_only=True)
class ForeignAdapter:
    """An adapter as composer has it, and what its file says of where it is from.

    Attributes:
        name: That it has there.
        shape: Of composer's.
        tensors: By the names of composer's files.
        model: The backbone that it says it is for; None: it does not say.
    """

    name: str
    shape: AdapterShape
    tensors: Tensors
    model: str | None


def read_hub_adapter(folder: Path, backbone: Backbone) -> ForeignAdapter:
    """Read an adapter.

    Args:
        folder: Of its config and its weights.
        backbone: That it is for.

    Raises:
        InterchangeError: Naming all of it that does not fit composer or the backbone.
    """
    place = str(folder / ADAPTER)
    about = _config(folder)
    check_model(about, backbone, place=place)
    name = foreign_name(about, place=place)
    config = plain_config(about, place=place)
    found = today(foreign_weights(folder, ADAPTER_WEIGHTS), backbone)
    if about.get("type") == "text_task" and not any("invertible" in one for one in found):
        config["inv_adapter"] = None  # old files say what their family has, and have it not
    shape = read_shape(config, place=place)
    check_fit(shape, backbone, place=place)
    if isinstance(shape, Prefix):
        tensors = _read_prefix(found, shape, name, config, backbone, place)
    else:
        tensors = _read_others(found, shape, name, config, backbone, place)
    model = about.get("model_name")
    return ForeignAdapter(
        name=name,
        shape=shape,
        tensors=tensors,
        model=one_line(model, 200) if isinstance(model, str) and model else None,
    )


def write_hub_adapter(
    folder: Path,
    name: str,
    shape: AdapterShape,
    tensors: Mapping[str, np.ndarray],
    *,
    backbone: Backbone,
    model: str,
) -> None:
    """Write an adapter as `save_adapter` does, in safetensors.

    Args:
        folder: To write to.
        name: Of the adapter there.
        shape: Of composer's.
        tensors: By the names of composer's files.
        backbone: That it is for.
        model: Its name, for people.

    Raises:
        InterchangeError: Naming all of it that the library does not have.
    """
    layers = backbone.config.num_hidden_layers
    config = written_config(shape, size=backbone.size, layers=layers)
    if isinstance(shape, Prefix):
        theirs = {prefix_name(name): joined_prefix(tensors, shape, backbone)}
    else:
        wanted = promised_tensors(_with_biases(shape), backbone)
        theirs = {
            other: tensors.get(ours, np.zeros(wanted[ours], np.float32))
            for ours, other in names_of(shape, name, backbone).items()
        }
    write_json(folder / ADAPTER, written_about(config, name, backbone, model))
    write_tensors(folder / ADAPTER_WEIGHTS[0], in_models(theirs, backbone))


def has_head(folder: Path) -> bool:
    """Say whether a folder has a head for a task; a masked-LM head is none."""
    if not holds(folder, HEAD):
        return False
    return head_type(foreign_config(folder, HEAD)) not in ("masked_lm", "causal_lm")


def is_language(folder: Path) -> bool:
    """Say whether an adapter is a language's: it says so, or predicts words, or is invertible."""
    about = _config(folder)
    if "type" in about:
        return bool(about["type"] == "text_lang")
    if holds(folder, HEAD):
        return not has_head(folder)
    return bool(plain_config(about, place=str(folder / ADAPTER)).get("inv_adapter"))


def read_hub_head(folder: Path, backbone: Backbone, *, labels: tuple[str, ...] = ()) -> ForeignHead:
    """Read a prediction head.

    Args:
        folder: Of its config and its weights.
        backbone: That it is for.
        labels: The label set, where the file's is not to be used.

    Raises:
        InterchangeError: Naming all of it that composer's heads do not have.
    """
    place = str(folder / HEAD)
    about = foreign_config(folder, HEAD)
    check_model(about, backbone, place=place)
    tensors = foreign_weights(folder, HEAD_WEIGHTS)
    return read_head(
        about,
        tensors,
        architecture=backbone.architecture,
        size=backbone.size,
        labels=labels,
        place=place,
    )


def write_hub_head(
    folder: Path, name: str, head: ForeignHead, *, backbone: Backbone, model: str
) -> None:
    """Write a head as `save_head` does, in safetensors.

    Raises:
        InterchangeError: The library has no such head.
    """
    config, tensors = written_head(head, name)
    write_json(folder / HEAD, written_about(config, name, backbone, model))
    write_tensors(folder / HEAD_WEIGHTS[0], tensors)


def written_about(config: object, name: str, backbone: Backbone, model: str) -> dict[str, object]:
    """Give what the library says around every config."""
    kind = type(backbone.module).__name__.removesuffix("Model")
    return {
        "config": config,
        "hidden_size": backbone.size,
        "model_class": f"{kind}AdapterModel",
        "model_name": model,
        "model_type": backbone.architecture,
        "name": name,
        "version": VERSION,
    }


def check_model(about: Mapping[str, Any], backbone: Backbone, *, place: str) -> None:
    """Hold what a config says of its backbone to the one that is given.

    Raises:
        InterchangeError: It is of another kind, or of another size.
    """
    own = {"model_type": backbone.architecture, "hidden_size": backbone.size}
    faults = [
        Fault(
            f"{place}: {name}",
            f"{one_line(str(about[name]), 80)}, and the backbone's is {value}; give the backbone "
            f"that it was trained on: {one_line(str(about.get('model_name')), 80)}",
        )
        for name, value in own.items()
        if about.get(name) not in (None, value)
    ]
    if faults:
        raise InterchangeError(faults)


def check_fit(shape: AdapterShape, backbone: Backbone, *, place: str) -> None:
    """Hold a shape to the backbone, before its tensors are.

    Raises:
        InterchangeError: Naming all of it that the backbone has no room for.
    """
    layers, size, faults = backbone.config.num_hidden_layers, backbone.size, []
    beyond = [one for one in getattr(shape, "leave_out", ()) if one >= layers]
    if beyond:
        told = f"{beyond[0]}; the backbone has the layers 0 to {layers - 1}"
        faults.append(Fault(f"{place}: leave_out", told))
    if isinstance(shape, BottleneckAdapter):
        widths = {bottleneck_width(shape, size, layer=layer) for layer in range(layers)}
        if not widths <= set(range(1, size + 1)):
            told = f"{shape.reduction_factor}; of the hidden size {size} it leaves no unit"
            faults.append(Fault(f"{place}: reduction_factor", told))
        if shape.invertible and not halves(size):
            faults.append(Fault(f"{place}: inv_adapter", f"the hidden size {size} has no halves"))
    elif not isinstance(shape, Prompt) and not kept_layers(shape, layers):  # type: ignore[arg-type]
        faults.append(Fault(f"{place}: leave_out", "it leaves out every layer"))
    if faults:
        raise InterchangeError(faults)


def foreign_name(about: Mapping[str, Any], *, place: str) -> str:
    """Give the name that all tensors of a file have in theirs.

    Raises:
        InterchangeError: It has none that a tensor could have.
    """
    name = about.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 100 or "." in name:
        raise misfit(f"{place}: name", f"{one_line(str(name), 80)}; it is 1 to 100 characters")
    return name


def _config(folder: Path) -> dict[str, Any]:
    about = foreign_config(folder, ADAPTER)
    if "peft_type" in about:
        place = f"{folder / ADAPTER}: peft_type"
        raise misfit(place, f"{one_line(str(about['peft_type']), 40)}; composer import peft")
    return about


def _read_others(
    found: Tensors,
    shape: AdapterShape,
    name: str,
    config: Mapping[str, Any],
    backbone: Backbone,
    place: str,
) -> Tensors:
    """Take the tensors of anything but a prefix."""
    try:
        names = names_of(shape, name, backbone)
    except AdapterError as error:
        raise misfit(f"{place}: architecture", str(error)) from error
    wanted = dict(promised_tensors(shape, backbone))
    narrow = _narrow_coupling(config, wanted, backbone)
    wanted |= narrow
    faults = compared(found, {theirs: wanted[ours] for ours, theirs in names.items()}, place=place)
    if faults:
        raise InterchangeError(faults)
    read = {ours: found[theirs] for ours, theirs in names.items()}
    full = promised_tensors(shape, backbone)
    return {ours: _padded(one, full[ours]) if ours in narrow else one for ours, one in read.items()}


def _narrow_coupling(
    config: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], backbone: Backbone
) -> dict[str, tuple[int, ...]]:
    """Give the shapes of a coupling that is narrower than composer's."""
    factor = config.get("inv_adapter_reduction_factor") or 2
    if factor == 2 or not config.get("inv_adapter"):
        return {}
    quarter, inner = backbone.size // 4, int(backbone.size // 2 // factor)
    return {
        name: tuple(inner if one == quarter else one for one in lengths)
        for name, lengths in wanted.items()
        if name.startswith("embeddings.")
    }


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Put units beside those of a coupling that are zero, and add nothing."""
    whole = np.zeros(shape, np.float32)
    whole[tuple(slice(length) for length in array.shape)] = array
    return whole


def _read_prefix(
    found: Tensors,
    shape: Prefix,
    name: str,
    config: Mapping[str, Any],
    backbone: Backbone,
    place: str,
) -> Tensors:
    """Take a prefix; one that was learnt through a network is worked out."""
    try:
        check_kind(shape, backbone)
    except AdapterError as error:
        raise misfit(f"{place}: architecture", str(error)) from error
    layers, size = len(kept_layers(shape, backbone.config.num_hidden_layers)), backbone.size
    numbers = 2 * layers * size
    pool = _one_pool(found, place)
    if config.get("flat"):
        wanted: dict[str, tuple[int, ...]] = {"control_trans": (shape.length * numbers,)}
    else:
        inner = config.get("bottleneck_size", 512)
        wanted = {
            "wte.weight": (shape.length, size),
            "control_trans.0.weight": (inner, size),
            "control_trans.0.bias": (inner,),
            "control_trans.2.weight": (numbers, inner),
            "control_trans.2.bias": (numbers,),
        }
    names = {prefix_name(name, part): lengths for part, lengths in wanted.items()}
    faults = compared(pool, names, place=place)
    if faults:
        raise InterchangeError(faults)
    read = {part: pool[prefix_name(name, part)] for part in wanted}
    if config.get("flat"):
        return split_prefix(read["control_trans"], shape, backbone)
    return split_prefix(worked_out_prefix(read, prefix_non_linearity(config)), shape, backbone)


def _one_pool(found: Tensors, place: str) -> Tensors:
    """Take the copies away that the library saves of a prefix, one a layer."""
    pool: Tensors = {}
    for name, tensor in found.items():
        _, copied, rest = name.partition(".prefix_tuning.pool.")
        own = f"prefix_tuning.{rest}" if copied else name
        if not np.array_equal(pool.setdefault(own, tensor), tensor):
            raise misfit(place, f"tensor {name!r} is not what its copies in other layers are")
    return pool


def _with_biases(shape: AdapterShape) -> AdapterShape:
    """Give the shape with biases: the library's bottlenecks have them, if only of zero."""
    return (
        shape.model_copy(update={"bias": True, "sparsity": None})
        if isinstance(shape, BottleneckAdapter)
        else shape
    )
