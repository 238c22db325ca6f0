"""LoRA in PEFT's format.

    adapter_config.json   {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ...}
    adapter_model.safetensors, or adapter_model.bin
        base_model.model.bert.encoder.layer.3.attention.self.query.lora_A.weight   3.query.down
        base_model.model.classifier.weight                                         a head's

Which matrices are changed, and how much, is read off the tensors; `target_modules` and
`rank_pattern` are patterns, and are not run. Composer has one rank and one scale for all of an
adapter: a lower rank is filled up with zeros and another scale goes into B, which changes no
output. So does a matrix that is changed in some layers alone.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.bundle.files import write_json
from composer.bundle.jsontext import one_line
from composer.bundle.tensors import write_tensors
from composer.errors import AdapterError, Fault, InterchangeError
from composer.model.backbone import Backbone
from composer.model.interchange.foreign import (
    WEIGHTS_LIMIT,
    Tensors,
    foreign_config,
    foreign_weights,
    misfit,
    no_more_than,
)
from composer.model.interchange.foreignheads import (
    ONE_LAYER,
    SEQUENCE_HEADS,
    ForeignHead,
    Layers,
    labelled_head,
    tagging_head,
    take_layers,
)
from composer.model.interchange.hub import ForeignAdapter
from composer.model.interchange.hubnames import matrix_paths
from composer.model.methods.kinds import check_kind, promised_tensors
from composer.recipe.grammar.adapters import AdapterShape, Lora
from composer.recipe.sizes.inner import MATRICES

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
RANK_LIMIT = 2**12

_AROUND = "base_model.model."
_LOW_RANK = re.compile(r"(.+)\.lora_([AB])\.weight")
_MODULES = ("classifier", "score", "pre_classifier", "pooler")  # of heads
_HEAD = re.compile(rf"(?:{'|'.join(_MODULES)})\..*")
_TAGS, _SEQUENCES = "TOKEN_CLS", "SEQ_CLS"  # task types
_PLAIN = re.compile(r"[A-Za-z0-9_.]+")
_SOUND_STARTS = (None, True, False, "gaussian", "eva", "orthogonal", "lora_ga")
# What it says of where it is from, what began it, or what the tensors say themselves.
_TOLD_ELSEWHERE = frozenset(
    """auto_mapping base_model_name_or_path revision inference_mode peft_version megatron_core
    layers_pattern layers_to_transform target_modules exclude_modules rank_pattern qalora_group_size
    runtime_config eva_config lora_ga_config fan_in_fan_out loftq_config velora_config""".split()
)


class _Config(BaseModel):
    """What is read of a config; whatever else it says must say nothing."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    peft_type: str
    r: int = Field(default=8, ge=1, le=RANK_LIMIT)
    lora_alpha: float = Field(default=8, gt=0, allow_inf_nan=False)
    alpha_pattern: dict[str, float] = {}
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    bias: str = "none"
    use_rslora: bool = False
    init_lora_weights: bool | str | None = True
    task_type: str | None = None
    modules_to_save: list[str] | None = None
    base_model_name_or_path: str | None = None


def read_peft(folder: Path, backbone: Backbone) -> ForeignAdapter:
    """Read a LoRA; a head among its tensors is passed over.

    Args:
        folder: Of its config and its weights.
        backbone: That it is for.

    Raises:
        InterchangeError: Naming all of it that does not fit composer or the backbone.
    """
    place = str(folder / CONFIG)
    config = _config(folder, place)
    try:
        check_kind(Lora(kind="lora"), backbone)
    except AdapterError as error:
        raise misfit(f"{place}: peft_type", str(error)) from error
    found = _bare(foreign_weights(folder, WEIGHTS), backbone)
    matrices, faults = _matrices(found, backbone, place)
    if not matrices and not faults:
        faults = [Fault(place, "there is no tensor of a LoRA beside it")]
    if faults:
        raise InterchangeError(no_more_than(faults))
    shape, tensors = _alike(matrices, config, backbone, place)
    model = config.base_model_name_or_path
    return ForeignAdapter(
        name=folder.resolve().name,
        shape=shape,
        tensors=tensors,
        model=one_line(model, 200) if model else None,
    )


def read_peft_head(
    folder: Path, backbone: Backbone, *, labels: tuple[str, ...] = ()
) -> ForeignHead | None:
    """Read the head among the tensors of a LoRA; None: there is none.

    Raises:
        InterchangeError: Composer has no such head, or nobody says what its outputs mean.
    """
    place = str(folder / CONFIG)
    config = _config(folder, place)
    found = _bare(foreign_weights(folder, WEIGHTS), backbone)
    head = {name: tensor for name, tensor in found.items() if _HEAD.fullmatch(name)}
    if not head:
        return None
    layers, told = _layers(config.task_type, backbone), f"{place}: task_type"
    if layers is None:
        raise misfit(
            told,
            f"{one_line(str(config.task_type), 40)} with {', '.join(sorted(head))[:200]}; of PEFT "
            f"composer reads the heads of {_TAGS}, and those of {_SEQUENCES} of "
            f"{', '.join(SEQUENCE_HEADS)}: take the adapter alone, --without-head",
        )
    weight = np.atleast_1d(head.get(f"{layers.out}.weight", np.zeros(1)))
    classes = max(1, len(weight))
    taken = take_layers(head, layers, classes=classes, size=backbone.size, place=place)
    if config.task_type == _TAGS:
        missing = f"{_TAGS}, and the format does not say what its outputs mean"
        return tagging_head(taken, labels, place=told, missing=missing)
    return labelled_head(taken, "text-classification", labels, place=told)


def write_peft(
    folder: Path,
    shape: AdapterShape,
    tensors: Mapping[str, np.ndarray],
    head: ForeignHead | None,
    *,
    backbone: Backbone,
    model: str,
) -> None:
    """Write a LoRA as `save_pretrained` does.

    Args:
        folder: To write to.
        shape: Of composer's.
        tensors: By the names of composer's files.
        head: Written with it; None: for the bare encoder.
        backbone: That it is for.
        model: Its name, for people.

    Raises:
        InterchangeError: Naming all of it that PEFT does not have.
    """
    faults = [Fault(f"adapter: {name}", told) for name, told in _unwritable(shape, head, backbone)]
    if faults or not isinstance(shape, Lora):
        raise InterchangeError(faults)
    paths = matrix_paths(shape, backbone)
    task = None if head is None else _task_type(head)
    layers = _layers(task, backbone)
    write_json(folder / CONFIG, _written_config(shape, paths, task, layers, model))
    around = _AROUND + (f"{backbone.module.base_model_prefix}." if head else "")
    theirs = {
        f"{around}{path}.lora_{letter}.weight": tensors[f"{ours}.{part}"]
        for ours, path in paths.items()
        for part, letter in (("down", "A"), ("up", "B"))
    }
    if head and layers:
        theirs |= {f"{_AROUND}{name}": one for name, one in layers.named(head).items()}
    write_tensors(folder / WEIGHTS[0], theirs)


def _task_type(head: ForeignHead) -> str:
    return _TAGS if head.type == "token-classification" else _SEQUENCES


def _layers(task: str | None, backbone: Backbone) -> Layers | None:
    """Say what the layers of a task's head are called; None: composer reads and writes none."""
    if task == _SEQUENCES:
        return SEQUENCE_HEADS.get(backbone.architecture)
    return ONE_LAYER if task == _TAGS else None


def _written_config(
    shape: Lora, paths: Mapping[str, str], task: str | None, layers: Layers | None, model: str
) -> dict[str, object]:
    named = (layers.out, layers.dense or layers.out) if layers else ()
    return {
        "peft_type": "LORA",
        "task_type": task,
        "base_model_name_or_path": model,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": shape.dropout,
        "target_modules": sorted(paths.values()),
        "modules_to_save": sorted({name.partition(".")[0] for name in named}) or None,
        "bias": "none",
        "inference_mode": True,
    }


def _config(folder: Path, place: str) -> _Config:
    about = foreign_config(folder, CONFIG)
    if "peft_type" not in about and "config" in about:
        raise misfit(place, "it is of `adapters`, not of PEFT: composer import adapterhub")
    try:
        config = _Config.model_validate(about)
    except ValidationError as error:
        raise InterchangeError(
            Fault(f"{place}: {'.'.join(map(str, one['loc']))}", one_line(one["msg"]))
            for one in error.errors()
        ) from error
    faults = [Fault(f"{place}: {name}", told) for name, told in _faults(config)]
    if faults:
        raise InterchangeError(faults)
    return config


def _faults(config: _Config) -> Iterator[tuple[str, str]]:
    if config.peft_type != "LORA":
        yield "peft_type", f"{config.peft_type[:40]!r}; of PEFT composer reads 'LORA'"
    if config.bias != "none":
        yield "bias", f"{config.bias[:40]!r}; composer's LoRA leaves biases as they are: 'none'"
    if config.init_lora_weights not in _SOUND_STARTS:
        yield (
            "init_lora_weights",
            f"{str(config.init_lora_weights)[:40]!r}; it moves the backbone's own weights: convert "
            "it first, save_pretrained(path_initial_model_for_weight_conversion=...)",
        )
    for name in config.alpha_pattern:
        if not _PLAIN.fullmatch(name):
            told = f"{one_line(name, 80)!r}; the end of a module's name is read, no pattern"
            yield "alpha_pattern", told
    for name in config.modules_to_save or ():
        if name not in _MODULES:
            told = f"{one_line(name, 80)!r}; composer reads a head beside LoRA, and nothing else"
            yield "modules_to_save", told
    for name, value in (config.model_extra or {}).items():
        if value and name not in _TOLD_ELSEWHERE:
            told = f"{one_line(str(value), 80)}; composer has nothing of that kind"
            yield name, f"{told}: it is read where it is false"


def _bare(tensors: Tensors, backbone: Backbone) -> Tensors:
    """Give tensors the names that their modules have in a bare encoder."""
    prefix = f"{backbone.module.base_model_prefix}."
    return {name.removeprefix(_AROUND).removeprefix(prefix): one for name, one in tensors.items()}


def _matrices(
    found: Tensors, backbone: Backbone, place: str
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[Fault]]:
    """Pair A and B of each matrix, "3.query" -> (rank, in), (out, rank); say what is left."""
    whole = Lora(kind="lora", rank=1, targets=MATRICES)
    ours = {path: name for name, path in matrix_paths(whole, backbone).items()}
    lengths = promised_tensors(whole, backbone)
    pairs: dict[str, dict[str, np.ndarray]] = {}
    faults = []
    for name, tensor in found.items():
        match = _LOW_RANK.fullmatch(name)
        if match and match[1] in ours:
            pairs.setdefault(ours[match[1]], {})[match[2]] = tensor
        elif not _HEAD.fullmatch(name):
            message = f"tensor {name[:200]!r} changes nothing that composer's LoRA changes"
            faults.append(Fault(place, f"{message}: {', '.join(MATRICES)} of each layer"))
    matrices = {}
    for name, pair in pairs.items():
        down, up = pair.get("A"), pair.get("B")
        inside, out = lengths[f"{name}.down"][1], lengths[f"{name}.up"][0]
        if down is None or up is None:
            faults.append(Fault(place, f"{name}: lora_{'B' if up is None else 'A'} is missing"))
        elif down.shape != (len(down), inside) or up.shape != (out, len(down)):
            found_ = f"lora_A {list(down.shape)} and lora_B {list(up.shape)}"
            message = f"{found_}; on this backbone [rank, {inside}] and [{out}, rank]"
            faults.append(Fault(place, f"{name}: {message}"))
        elif not 0 < len(down) <= RANK_LIMIT:
            faults.append(Fault(place, f"{name}: rank {len(down)}; 1 to {RANK_LIMIT}"))
        else:
            matrices[name] = (down, up)
    return matrices, faults


def _alike(
    matrices: Mapping[str, tuple[np.ndarray, np.ndarray]],
    config: _Config,
    backbone: Backbone,
    place: str,
) -> tuple[Lora, Tensors]:
    """Give all matrices one rank and one scale."""
    rank = max(len(down) for down, _ in matrices.values())
    paths = matrix_paths(Lora(kind="lora", rank=1, targets=MATRICES), backbone)
    scales = {
        name: _alpha(config, paths[name]) / (math.sqrt(r) if config.use_rslora else r)
        for name, (down, _) in matrices.items()
        for r in [len(down)]
    }
    scale = next(iter(scales.values()))
    layers = {int(name.partition(".")[0]) for name in matrices}
    plain = rank == config.r and not config.use_rslora and scale == config.lora_alpha / rank
    try:
        shape = Lora(
            kind="lora",
            rank=rank,
            alpha=config.lora_alpha if plain else scale * rank,
            targets=tuple(
                one for one in MATRICES if any(name.endswith(f".{one}") for name in matrices)
            ),
            dropout=config.lora_dropout,
            leave_out=tuple(sorted(set(range(backbone.config.num_hidden_layers)) - layers)),
        )
    except ValidationError as error:
        raise misfit(place, one_line(error.errors()[0]["msg"])) from error
    lengths = promised_tensors(shape, backbone)
    if 4 * sum(map(math.prod, lengths.values())) > WEIGHTS_LIMIT:
        message = f"one of its ranks is {rank}, and all matrices filled up to it are too large"
        raise misfit(f"{place}: r", message)
    tensors = {name: np.zeros(one, np.float32) for name, one in lengths.items()}
    for name, (down, up) in matrices.items():
        tensors[f"{name}.down"][: len(down)] = down
        same = scales[name] == scale
        tensors[f"{name}.up"][:, : len(down)] = up if same else up * (scales[name] / scale)
    return shape, tensors


def _alpha(config: _Config, path: str) -> float:
    """Give a module's alpha: of the first name in the pattern that it ends in, or of all."""
    for name, alpha in config.alpha_pattern.items():
        if path == name or f".{path}".endswith(f".{name}"):
            return alpha
    return config.lora_alpha


def _unwritable(
    shape: AdapterShape, head: ForeignHead | None, backbone: Backbone
) -> Iterator[tuple[str, str]]:
    if not isinstance(shape, Lora):
        yield "kind", f"{shape.kind}; to PEFT composer writes lora: --format adapterhub has more"
    elif shape.train_norm:
        yield "train_norm", "true; LoRA of PEFT has no norms: train without it"
    if head is None:
        return
    layers = _layers(_task_type(head), backbone)
    if layers is None or layers.between != head.non_linearity or head.pooling == "mean":
        has = (
            f"with {head.non_linearity} between two layers" if head.dense is not None else "linear"
        )
        yield (
            "head",
            f"of a {head.type}, {has}, pooling {head.pooling}; models of transformers have other "
            "heads for it (a pooler, or two layers): write the adapter alone, --without-head",
        )
