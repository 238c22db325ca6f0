"""Configs of `adapters` as shapes of composer's, and back.

    {"mh_adapter": false, "output_adapter": true, "original_ln_before": true,
     "non_linearity": "relu", "reduction_factor": 16, ...}
    bottleneck, placement pfeiffer, non_linearity relu, reduction_factor 16

Old forms are read as the library reads them: names ("pfeiffer", "seq_bn_inv"), keys in capitals
("MH_Adapter", "LN_after"), `invertible_adapter` as a mapping, and in files without a version
"gelu" for what is "gelu_new" today. A key that composer does not know is passed over where its
value is empty or false, and refused where it says anything. How an adapter was initialised, and
what acts in training only, changes no output and is passed over.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.bundle.jsontext import one_line
from composer.errors import Fault, InterchangeError, did_you_mean
from composer.model.interchange.activations import (
    NON_LINEARITIES,
    todays_name,
    unknown_non_linearity,
)
from composer.model.interchange.foreign import misfit
from composer.recipe.grammar.adapters import (
    AdapterShape,
    BottleneckAdapter,
    Form,
    Lora,
    Matrix,
    NonLinearity,
    Placement,
    Prefix,
    Prompt,
)
from composer.recipe.sizes.fit import bottleneck_width

_PFEIFFER = {"mh_adapter": False, "output_adapter": True, "original_ln_before": True}
_HOULSBY = {"mh_adapter": True, "output_adapter": True, "original_ln_before": False}
_PARALLEL = {"mh_adapter": False, "output_adapter": True, "is_parallel": True}
_SEQ_BN = {**_PFEIFFER, "non_linearity": "relu", "reduction_factor": 16}
_DOUBLE = {**_HOULSBY, "non_linearity": "swish", "reduction_factor": 16}
_PAR_BN = {**_PARALLEL, "non_linearity": "relu", "reduction_factor": 2, "scaling": 4.0}
_INVERTIBLE = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
_NAMED: dict[str, Mapping[str, object]] = {
    **dict.fromkeys(("pfeiffer", "seq_bn"), _SEQ_BN),
    **dict.fromkeys(("houlsby", "double_seq_bn"), _DOUBLE),
    **dict.fromkeys(("pfeiffer+inv", "seq_bn_inv"), {**_SEQ_BN, **_INVERTIBLE}),
    **dict.fromkeys(("houlsby+inv", "double_seq_bn_inv"), {**_DOUBLE, **_INVERTIBLE}),
    **dict.fromkeys(("parallel", "par_bn"), _PAR_BN),
    **dict.fromkeys(("scaled_parallel", "scaled_par_bn"), {**_PAR_BN, "scaling": "learned"}),
    "lora": {"architecture": "lora"},
    "prefix_tuning": {"architecture": "prefix_tuning"},
    "prefix_tuning_flat": {"architecture": "prefix_tuning", "flat": True},
    "prompt_tuning": {"architecture": "prompt_tuning"},
}
_PLACEMENTS: dict[tuple[bool, bool], Placement] = {
    (True, True): "houlsby",
    (True, False): "after-attention",
    (False, True): "after-feed-forward",
}
_MATRICES: dict[str, Matrix] = {"q": "query", "k": "key", "v": "value"}
_TRAINING = re.compile(  # what it began as, or does in training alone; or of what is not there
    "init_weights.*|phm_(?!layer).*|.*_phm.*|hypercomplex_nonlinearity|learn_phm|attention_type|"
    "adapter_residual_before_ln|stochastic_depth|cross_.*|encoder_prefix|shared_gating|dtype|"
    "prompt_init.*|random_uniform_scale|architecture"
)


class _Config(BaseModel):
    """What is read of a config; whatever else it says must say nothing."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class _Bottleneck(_Config):
    mh_adapter: bool
    output_adapter: bool
    non_linearity: str
    reduction_factor: float | dict[str, float]
    original_ln_before: bool = False
    original_ln_after: bool = True
    residual_before_ln: bool | Literal["post_add"] = True
    is_parallel: bool = False
    scaling: float | str = 1.0
    dropout: float = 0.0
    leave_out: list[int] | None = None
    inv_adapter: str | None = None
    inv_adapter_reduction_factor: float | None = None


class _Lora(_Config):
    r: int = 8
    alpha: float = 8
    dropout: float = 0.0
    selfattn_lora: bool = True
    intermediate_lora: bool = False
    output_lora: bool = False
    attn_matrices: list[Literal["q", "k", "v"]] = Field(default=["q", "v"])
    leave_out: list[int] | None = None
    composition_mode: str = "add"


class _Prefix(_Config):
    prefix_length: int = 30
    flat: bool = False
    bottleneck_size: int = 512
    non_linearity: str = "tanh"
    dropout: float = 0.0
    leave_out: list[int] | None = None


class _Prompt(_Config):
    prompt_length: int = 10
    combine: str = "prefix"


_KINDS: dict[str | None, type[_Config]] = {
    None: _Bottleneck,
    "lora": _Lora,
    "prefix_tuning": _Prefix,
    "prompt_tuning": _Prompt,
}


def plain_config(about: Mapping[str, Any], *, place: str) -> dict[str, Any]:
    """Give the config in `adapter_config.json` in today's words.

    Raises:
        InterchangeError: It is a name that composer does not know, or no mapping.
    """
    config = about.get("config")
    if isinstance(config, str):
        if config not in _NAMED:
            known = did_you_mean(config, _NAMED)
            raise misfit(f"{place}: config", f"{config[:80]!r} is no config that is read; {known}")
        return dict(_NAMED[config])
    if not isinstance(config, dict):
        found = one_line(str(config), 80)
        raise misfit(f"{place}: config", f"{found}; it is a mapping, or a name as 'pfeiffer'")
    config = {name.lower(): value for name, value in config.items()}
    nested = config.pop("invertible_adapter", None)
    if isinstance(nested, dict):
        config.setdefault("inv_adapter", nested.get("block_type"))
        config.setdefault("inv_adapter_reduction_factor", nested.get("reduction_factor"))
    if isinstance(config.get("non_linearity"), str):
        config["non_linearity"] = todays_name(config["non_linearity"], about)
    return _with_old_scaling(config, about.get("version"))


def read_shape(config: Mapping[str, Any], *, place: str) -> AdapterShape:
    """Read a config, in today's words, as a shape.

    Raises:
        InterchangeError: Naming all that composer does not compute.
    """
    kind, read = config.get("architecture"), None
    if not isinstance(kind, str | None) or kind not in _KINDS:
        raise misfit(
            f"{place}: architecture",
            f"{one_line(str(kind), 80)!r}; composer reads bottlenecks, which say none, lora, "
            "prefix_tuning and prompt_tuning",
        )
    try:
        read = _KINDS[kind].model_validate(dict(config))
    except ValidationError as error:
        faults = [
            Fault(f"{place}: {'.'.join(map(str, one['loc']))}", one_line(one["msg"]))
            for one in error.errors()
        ]
        raise InterchangeError(faults) from error
    faults = [Fault(f"{place}: {name}", told) for name, told in _faults(read)]
    if faults:
        raise InterchangeError(faults)
    try:
        return _shape(read)
    except ValidationError as error:
        found = [
            Fault(f"{place}: {'.'.join(map(str, one['loc']))}", one_line(one["msg"]))
            for one in error.errors()
        ]
        raise InterchangeError(found) from error


def written_config(shape: AdapterShape, *, size: int, layers: int) -> dict[str, object]:
    """Give the config that `adapters` computes the same with.

    Args:
        shape: Of an adapter.
        size: Hidden size of the backbone.
        layers: How many it has.

    Raises:
        InterchangeError: Naming all that the library does not have.
    """
    faults = [Fault(f"adapter: {name}", told) for name, told in _unwritable(shape)]
    if faults:
        raise InterchangeError(faults)
    match shape:
        case Lora():
            return _written_lora(shape)
        case Prefix():
            return {
                "architecture": "prefix_tuning",
                "flat": True,
                "prefix_length": shape.length,
                "leave_out": list(shape.leave_out),
            }
        case Prompt():
            return {"architecture": "prompt_tuning", "prompt_length": shape.length}
        case BottleneckAdapter():
            factors = [
                factor_of(bottleneck_width(shape, size, layer=n), size) for n in range(layers)
            ]
            by_layer = {str(layer): factor for layer, factor in enumerate(factors)}
            alike = len(set(factors)) == 1
            factor = factors[0] if alike else by_layer
            return {**_written_bottleneck(shape), "reduction_factor": factor}
    raise TypeError(f"{shape.kind} was not refused")


def prefix_non_linearity(config: Mapping[str, Any]) -> NonLinearity:
    """Give the non-linearity of the network that a prefix was learnt through."""
    return NON_LINEARITIES[str(config.get("non_linearity", "tanh")).lower()]


def factor_of(width: int, size: int) -> float:
    """Give a reduction factor that makes a width, which is `int(size // factor)`.

    >>> factor_of(24, 384), factor_of(7, 32)
    (16.0, 4.266666666666667)
    >>> int(32 // factor_of(7, 32))
    7
    """
    return size / width if size % width == 0 else size / (width + 0.5)


def _faults(config: _Config) -> Iterator[tuple[str, str]]:
    match config:
        case _Bottleneck():
            yield from _bottleneck_faults(config)
        case _Lora(composition_mode=mode) if mode != "add":
            yield "composition_mode", f"{mode[:40]!r}; composer adds, 'scale' is (IA)^3"
        case _Prefix(flat=False) if config.non_linearity.lower() not in NON_LINEARITIES:
            yield "non_linearity", unknown_non_linearity(config.non_linearity)
        case _Prompt(combine=way) if way != "prefix":
            yield "combine", f"{way[:40]!r}; composer's prompt stands before all tokens: 'prefix'"
    for name, value in (config.model_extra or {}).items():
        if value and not _TRAINING.fullmatch(name):
            told = one_line(str(value), 80)
            yield name, f"{told}; composer has nothing of that kind: it is read where it is false"


def _bottleneck_faults(config: _Bottleneck) -> Iterator[tuple[str, str]]:
    both = (config.mh_adapter, config.output_adapter)
    if both not in _PLACEMENTS:
        yield "output_adapter", "neither it nor mh_adapter is true: there is no adapter"
    if config.original_ln_before and not config.is_parallel:
        if both != (False, True):
            yield (
                "original_ln_before",
                "true beside mh_adapter; composer's adapters read a norm's output (placement "
                "pfeiffer) after feed-forward alone",
            )
        if config.residual_before_ln is not True:
            yield (
                "residual_before_ln",
                f"{str(config.residual_before_ln).lower()}; composer's residual is taken before "
                "the norm: true",
            )
    if not config.original_ln_after:
        yield "original_ln_after", "false; in composer the backbone's norm follows: true"
    if config.non_linearity.lower() not in NON_LINEARITIES:
        yield "non_linearity", unknown_non_linearity(config.non_linearity)
    if isinstance(config.scaling, str) and config.scaling != "learned":
        yield "scaling", f"{config.scaling[:40]!r}; composer has a number or 'learned'"
    if config.inv_adapter not in (None, "nice"):
        found = config.inv_adapter[:40]
        yield "inv_adapter", f"{found!r}; composer has NICE couplings alone: 'nice'"
    elif config.inv_adapter and not (config.inv_adapter_reduction_factor or 2) >= 2:
        yield (
            "inv_adapter_reduction_factor",
            f"{config.inv_adapter_reduction_factor}; composer's couplings have a quarter of the "
            "hidden size, so 2 or more",
        )


def _shape(config: _Config) -> AdapterShape:
    match config:
        case _Bottleneck():
            return _bottleneck(config)
        case _Lora():
            named = (_MATRICES[name] for name in config.attn_matrices)
            wide = ("wide",) if config.intermediate_lora else ()
            narrow = ("narrow",) if config.output_lora else ()
            return Lora(
                kind="lora",
                rank=config.r,
                alpha=config.alpha,
                targets=(*(named if config.selfattn_lora else ()), *wide, *narrow),
                dropout=config.dropout,
                leave_out=tuple(config.leave_out or ()),
            )
        case _Prefix():
            return Prefix(
                kind="prefix",
                length=config.prefix_length,
                leave_out=tuple(config.leave_out or ()),
            )
        case _Prompt():
            return Prompt(kind="prompt", length=config.prompt_length)
    raise TypeError(type(config).__name__)


def _bottleneck(config: _Bottleneck) -> BottleneckAdapter:
    form: Form = "parallel" if config.is_parallel else "sequential"
    placement = _PLACEMENTS[config.mh_adapter, config.output_adapter]
    if config.original_ln_before and not config.is_parallel:
        placement = "pfeiffer"
    return BottleneckAdapter(
        kind="bottleneck",
        placement=placement,
        form=form,
        reduction_factor=config.reduction_factor,
        non_linearity=NON_LINEARITIES[config.non_linearity.lower()],
        dropout=config.dropout,
        scaling=config.scaling,  # type: ignore[arg-type]
        leave_out=tuple(config.leave_out or ()),
        invertible=config.inv_adapter is not None,
    )


def _with_old_scaling(config: dict[str, Any], version: object) -> dict[str, Any]:
    """Let LoRA of `adapters` before 1.1.0 act as it was trained: its alpha was not looked at."""
    found = re.match(r"adapters\.(\d+)\.(\d+)", version) if isinstance(version, str) else None
    old = found is not None and (int(found[1]), int(found[2])) < (1, 1)
    if old and config.get("architecture") == "lora" and "r" in config:
        return {**config, "alpha": config["r"]}
    return config


def _unwritable(shape: AdapterShape) -> Iterator[tuple[str, str]]:
    if not isinstance(shape, BottleneckAdapter | Lora | Prefix | Prompt):
        yield "kind", f"{shape.kind}; `adapters` has bottleneck, lora, prefix and prompt of these"
        return
    if shape.train_norm:
        yield "train_norm", "true; `adapters` saves no norms of an adapter: train without it"
    if isinstance(shape, Lora) and "mixed" in shape.targets:
        message = "mixed; LoRA of `adapters` has no such target, and PEFT has: --format peft"
        yield "targets", message


def _written_lora(shape: Lora) -> dict[str, object]:
    attention = [short for short, name in _MATRICES.items() if name in shape.targets]
    return {
        "architecture": "lora",
        "r": shape.rank,
        "alpha": shape.alpha,
        "dropout": shape.dropout,
        "selfattn_lora": bool(attention),
        "attn_matrices": attention,
        "intermediate_lora": "wide" in shape.targets,
        "output_lora": "narrow" in shape.targets,
        "leave_out": list(shape.leave_out),
        "composition_mode": "add",
    }


def _written_bottleneck(shape: BottleneckAdapter) -> dict[str, object]:
    pfeiffer = shape.placement == "pfeiffer"
    sides = {placement: both for both, placement in _PLACEMENTS.items()}
    attention, output = sides["after-feed-forward" if pfeiffer else shape.placement]
    return {
        "mh_adapter": attention,
        "output_adapter": output,
        "original_ln_before": pfeiffer,
        "original_ln_after": True,
        "residual_before_ln": True,
        "is_parallel": shape.form == "parallel",
        "non_linearity": shape.non_linearity,
        "scaling": shape.scaling,
        "dropout": shape.dropout,
        "leave_out": list(shape.leave_out),
        "inv_adapter": "nice" if shape.invertible else None,
        "inv_adapter_reduction_factor": 2.0 if shape.invertible else None,
    }
