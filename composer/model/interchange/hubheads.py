"""Prediction heads in the format of `adapters`.

    head_config.json     {"config": {"head_type": "classification", "layers": 1, ...}, ...}
    heads.NAME.1.weight  (classes, size)       a linear layer on the first token's vector

    {"config": {"head_type": "classification", "layers": 2, "activation_function": "tanh", ...}}
    heads.NAME.1.weight  (size, size)          a dense layer, with an activation behind it
    heads.NAME.4.weight  (classes, size)

    classification              text-classification; with one label, a regression
    multilabel_classification   multi-label-classification
    tagging                     token-classification, where the labels are BIO tags

Of a model class with one head its layers have that model's names: `classifier.weight`, or
`classifier.dense.weight` and `classifier.out_proj.weight`. What reads a pooler's output is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composer.bundle.jsontext import one_line
from composer.data.bio import tag_names
from composer.errors import Fault, InterchangeError
from composer.model.interchange.activations import (
    NON_LINEARITIES,
    todays_name,
    unknown_non_linearity,
)
from composer.model.interchange.foreign import Tensors, misfit
from composer.model.interchange.foreignheads import (
    ONE_LAYER,
    SEQUENCE_HEADS,
    ForeignHead,
    Layers,
    labelled_head,
    tagging_head,
    take_layers,
)
from composer.recipe.grammar.adapters import NonLinearity
from composer.recipe.grammar.tasks import TaskType

LABELS_LIMIT = 100_000
_TYPES: dict[str, TaskType] = {
    "classification": "text-classification",
    "multilabel_classification": "multi-label-classification",
    "tagging": "token-classification",
}
_TAGGING, _SEQUENCE = "ForTokenClassification", "ForSequenceClassification"  # of model classes


class _Head(BaseModel):
    """What is read of a head's config."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    head_type: str
    num_labels: int = Field(default=2, ge=1, le=LABELS_LIMIT)
    layers: int = 1
    activation_function: str | None = "tanh"
    use_pooler: bool = False
    label2id: dict[str, int] | None = None
    bias: bool = True


def head_type(about: Mapping[str, Any]) -> str | None:
    """Say what kind of head a config tells of, in the library's words; None: it does not say."""
    config = about.get("config")
    if isinstance(config, dict):
        found = config.get("head_type")
        return found if isinstance(found, str) else None
    model = str(about.get("model_class"))
    endings = {_TAGGING: "tagging", _SEQUENCE: "classification"}
    return next((kind for ending, kind in endings.items() if model.endswith(ending)), None)


def read_head(
    about: Mapping[str, Any],
    tensors: Tensors,
    *,
    architecture: str,
    size: int,
    labels: tuple[str, ...] = (),
    place: str,
) -> ForeignHead:
    """Read a head.

    Args:
        about: `head_config.json`.
        tensors: Of its weights file.
        architecture: Of the backbone, as its `model_type` says.
        size: Hidden size of the backbone.
        labels: The label set, where the file's is not to be used.
        place: Of the config, for messages.

    Raises:
        InterchangeError: Naming all of it that composer's heads do not have.
    """
    config = _config(about, architecture, place)
    faults = [Fault(f"{place}: {name}", told) for name, told in _faults(config, about)]
    if faults:
        raise InterchangeError(faults)
    type_ = _TYPES[config.head_type]
    head = take_layers(
        tensors,
        _layers(config, about, architecture),
        classes=config.num_labels,
        size=size,
        bias=config.bias,
        place=place,
    )
    names, told = labels or _labels(config, place), f"{place}: label2id"
    if type_ == "token-classification":
        return tagging_head(head, names, place=told)
    return labelled_head(head, type_, names, place=told)


def written_head(head: ForeignHead, name: str) -> tuple[dict[str, object], Tensors]:
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
        "layers": 1 if head.dense is None else 2,
        "activation_function": head.non_linearity,
        "label2id": {label: place for place, label in enumerate(labels)} or None,
        "dropout_prob": None,
    }
    if head.type != "token-classification":
        config |= {"use_pooler": False, "bias": True}
    return config, _numbered(name, head.non_linearity, two=head.dense is not None).named(head)


def _config(about: Mapping[str, Any], architecture: str, place: str) -> _Head:
    """Read the config; of a model class with one head, what that head is."""
    values = about.get("config")
    if not isinstance(values, dict):
        kind, known = head_type(about), SEQUENCE_HEADS.get(architecture)
        if kind is None or (kind == "classification" and known is None):
            model = one_line(str(about.get("model_class")), 80)
            raise misfit(
                f"{place}: model_class",
                f"{model}; of models with one head composer reads *{_TAGGING}, and *{_SEQUENCE} of "
                f"{', '.join(SEQUENCE_HEADS)}: take the adapter alone, --without-head",
            )
        values = {"head_type": kind, "label2id": about.get("label2id")}
        if kind == "classification" and known is not None:
            values |= {"layers": 2, "activation_function": known.between}
        if type(about.get("num_labels")) is int:
            values["num_labels"] = about["num_labels"]
    try:
        return _Head.model_validate(values)
    except ValidationError as error:
        raise InterchangeError(
            Fault(f"{place}: {'.'.join(map(str, one['loc']))}", one_line(one["msg"]))
            for one in error.errors()
        ) from error


def _faults(config: _Head, about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    alone = "; take the adapter alone, --without-head"
    if config.head_type not in _TYPES:
        yield "head_type", f"{config.head_type[:40]!r}; composer has {', '.join(_TYPES)}{alone}"
    if config.layers not in (1, 2):
        yield "layers", f"{config.layers}; composer's heads have 1 or 2{alone}"
    if config.use_pooler:
        yield (
            "use_pooler",
            "true; composer's heads read the first token's vector, and backbones are kept without "
            f"their pooler: false{alone}",
        )
    act = _between(config, about)
    if config.layers == 2 and act and act.lower() not in NON_LINEARITIES:
        yield "activation_function", f"{unknown_non_linearity(act)}{alone}"


def _between(config: _Head, about: Mapping[str, Any]) -> str:
    """Name what lies between two layers, in today's words; empty: nothing."""
    flexible = isinstance(about.get("config"), dict)  # a model class's own is never of old
    name = config.activation_function or ""
    return todays_name(name, about) if flexible else name


def _layers(config: _Head, about: Mapping[str, Any], architecture: str) -> Layers:
    """Say what the layers are called."""
    two, act = config.layers == 2, _between(config, about)
    if isinstance(about.get("config"), dict):
        between = NON_LINEARITIES[act.lower()] if two and act else None
        return _numbered(str(about.get("name")), between, two=two)
    return SEQUENCE_HEADS[architecture] if two else ONE_LAYER


def _numbered(name: str, between: NonLinearity | None, *, two: bool) -> Layers:
    """Number layers as the library does: a dropout before each linear one, what lies between."""
    if not two:
        return Layers(f"heads.{name}.1")
    return Layers(f"heads.{name}.{4 if between else 3}", f"heads.{name}.1", between)


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
