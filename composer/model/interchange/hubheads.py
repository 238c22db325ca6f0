"""Prediction heads in the format of `adapters`.

    head_config.json     {"config": {"head_type": "classification", "layers": 1, ...}, ...}
    heads.NAME.1.weight  (classes, size)       a linear layer on the first token's vector

    classification              text-classification; with one label, a regression
    multilabel_classification   multi-label-classification
    tagging                     token-classification, where the labels are BIO tags

Composer's heads are one linear layer. A head with a second one, which the library makes for
classification if it is not told otherwise, is refused, and so is what reads a pooler's output.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.bundle.jsontext import one_line
from composer.data.bio import tag_names
from composer.errors import Fault, InterchangeError
from composer.model.interchange.foreign import compared, misfit
from composer.recipe.schema import TaskType

LABELS_LIMIT = 100_000
_TYPES: dict[str, TaskType] = {
    "classification": "text-classification",
    "multilabel_classification": "multi-label-classification",
    "tagging": "token-classification",
}
_STATIC = {"TokenClassification": "tagging"}  # of a model class with one head, by its ending


class _Head(BaseModel):
    """What is read of a head's config."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    head_type: str
    num_labels: int = Field(default=2, ge=1, le=LABELS_LIMIT)
    layers: int = 1
    activation_function: str | None = None
    use_pooler: bool = False
    label2id: dict[str, int] | None = None
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class ForeignHead:
    """A head as composer has it.

    Attributes:
        type: What is predicted.
        labels: In order; empty for a regression.
        pooling: "first", or "none" for one output a token.
        weight: (classes, size).
        bias: (classes,).
    """

    type: TaskType
    labels: tuple[str, ...]
    pooling: str
    weight: np.ndarray
    bias: np.ndarray


def head_type(about: Mapping[str, Any]) -> str | None:
    """Say what kind of head a config tells of, in the library's words; None: it does not say."""
    config = about.get("config")
    if isinstance(config, dict):
        found = config.get("head_type")
        return found if isinstance(found, str) else None
    model = str(about.get("model_class"))
    return next((kind for ending, kind in _STATIC.items() if model.endswith(ending)), None)


def read_head(
    about: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    *,
    size: int,
    labels: tuple[str, ...] = (),
    place: str,
) -> ForeignHead:
    """Read a head.

    Args:
        about: `head_config.json`.
        tensors: Of its weights file.
        size: Hidden size of the backbone.
        labels: The label set, where the file's is not to be used.
        place: Of the config, for messages.

    Raises:
        InterchangeError: Naming all of it that composer's heads do not have.
    """
    config = _config(about, place)
    faults = [Fault(f"{place}: {name}", told) for name, told in _faults(config)]
    if faults:
        raise InterchangeError(faults)
    type_ = _TYPES[config.head_type]
    names = labels or _labels(config, place)
    name = about.get("name")
    stem = f"heads.{name}.1" if isinstance(about.get("config"), dict) else "classifier"
    wanted: dict[str, tuple[int, ...]] = {f"{stem}.weight": (config.num_labels, size)}
    if config.bias:
        wanted[f"{stem}.bias"] = (config.num_labels,)
    wrong = compared(tensors, wanted, place=place)
    if wrong:
        raise InterchangeError(wrong)
    weight = tensors[f"{stem}.weight"]
    bias = tensors.get(f"{stem}.bias", np.zeros(config.num_labels, np.float32))
    if type_ == "token-classification":
        return tagging_head(names, weight, bias, place=f"{place}: label2id")
    if type_ == "text-classification" and config.num_labels == 1:
        return ForeignHead(type="regression", labels=(), pooling="first", weight=weight, bias=bias)
    _check_labels(names, config.num_labels, place)
    return ForeignHead(type=type_, labels=names, pooling="first", weight=weight, bias=bias)


def tagging_head(
    tags: tuple[str, ...], weight: np.ndarray, bias: np.ndarray, *, place: str, missing: str = ""
) -> ForeignHead:
    """Put the outputs of BIO tags in composer's order.

    Args:
        tags: One an output.
        weight: (tags, size).
        bias: (tags,).
        place: Where the tags are told, for messages.
        missing: What to say where there are none.

    Raises:
        InterchangeError: They are not O, and B- and I- of each label.
    """
    labels = tuple(dict.fromkeys(tag[2:] for tag in tags if tag[:2] in ("B-", "I-")))
    wanted = tag_names(labels)
    if sorted(wanted) != sorted(tags) or len(tags) != len(bias):
        odd = sorted(set(tags) ^ set(wanted))
        told = f"{odd[0][:80]!r} is missing or no such tag" if odd else f"{len(tags)} tags"
        raise misfit(
            place,
            f"{missing if missing and not tags else told}; the {len(bias)} outputs are O, and B- "
            "and I- of each label: give them in order, --labels O,B-A,I-A, or take the adapter "
            "alone, --without-head",
        )
    order = [tags.index(tag) for tag in wanted]
    return ForeignHead(
        type="token-classification",
        labels=labels,
        pooling="none",
        weight=weight[order],
        bias=bias[order],
    )


def written_head(head: ForeignHead, name: str) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Give a head's config and weights as the library saves them.

    Raises:
        InterchangeError: The library has no such head.
    """
    if head.pooling == "mean":
        raise InterchangeError(
            [
                Fault(
                    "head: pooling",
                    "mean; heads of `adapters` read the first token: train with pooling: first, "
                    "or write the adapter alone, --without-head",
                )
            ]
        )
    labels = tag_names(head.labels) if head.type == "token-classification" else head.labels
    kinds = {type_: kind for kind, type_ in _TYPES.items()}
    config: dict[str, object] = {
        "head_type": kinds.get(head.type, "classification"),
        "num_labels": len(head.bias),
        "layers": 1,
        "activation_function": None,
        "label2id": {label: place for place, label in enumerate(labels)} or None,
        "dropout_prob": None,
    }
    if head.type != "token-classification":
        config |= {"use_pooler": False, "bias": True}
    return config, {f"heads.{name}.1.weight": head.weight, f"heads.{name}.1.bias": head.bias}


def _config(about: Mapping[str, Any], place: str) -> _Head:
    """Read the config; of a model class with one head, what that head is."""
    values = about.get("config")
    if not isinstance(values, dict):
        kind = head_type(about)
        if kind is None:
            model = one_line(str(about.get("model_class")), 80)
            raise misfit(
                f"{place}: model_class",
                f"{model}; of models with one head composer reads *ForTokenClassification: "
                "take the adapter alone, --without-head",
            )
        values = {"head_type": kind, "label2id": about.get("label2id")}
        if type(about.get("num_labels")) is int:
            values["num_labels"] = about["num_labels"]
    try:
        return _Head.model_validate(values)
    except ValidationError as error:
        raise InterchangeError(
            Fault(f"{place}: {'.'.join(map(str, one['loc']))}", one_line(one["msg"]))
            for one in error.errors()
        ) from error


def _faults(config: _Head) -> Iterator[tuple[str, str]]:
    alone = "; take the adapter alone, --without-head"
    if config.head_type not in _TYPES:
        yield "head_type", f"{config.head_type[:40]!r}; composer has {', '.join(_TYPES)}{alone}"
    if config.layers != 1:
        yield "layers", f"{config.layers}; composer's heads are one linear layer: 1{alone}"
    if config.use_pooler:
        yield "use_pooler", f"true; composer's heads read the first token's vector: false{alone}"


def _labels(config: _Head, place: str) -> tuple[str, ...]:
    """Give the labels by their numbers; where none are told, made up as the library does."""
    if config.label2id is None:
        return tuple(f"LABEL_{number}" for number in range(config.num_labels))
    if sorted(config.label2id.values()) != list(range(config.num_labels)):
        found = len(config.label2id)
        raise misfit(
            f"{place}: label2id",
            f"{found} labels that are not numbered 0 to {config.num_labels - 1}; give them in "
            "order: --labels A,B",
        )
    return tuple(sorted(config.label2id, key=config.label2id.__getitem__))


def _check_labels(labels: tuple[str, ...], classes: int, place: str) -> None:
    if len(labels) != classes or len(set(labels)) != classes:
        raise misfit(
            f"{place}: label2id",
            f"{len(labels)} labels for {classes} outputs; give each one in order: --labels A,B",
        )
