"""Heads out of other libraries' files: what their layers are called, and what is taken of them.

    classifier                              logits = W x + b
    classifier.dense, classifier.out_proj   logits = W act(W1 x + b1) + b

A linear layer has a weight and a bias. Two with nothing between them are one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from composer.data.bio import tag_names
from composer.errors import InterchangeError
from composer.model.interchange.foreign import Tensors, compared, misfit
from composer.recipe.grammar.adapters import NonLinearity
from composer.recipe.grammar.tasks import TaskType


@dataclass(frozen=True, kw_only=True)
class ForeignHead:
    """A head as composer has it.

    Attributes:
        type: What is predicted.
        labels: In order; empty for a regression.
        pooling: "first", or "none" for one output a token.
        weight: (classes, size).
        bias: (classes,).
        dense: Of a layer before it, (size, size); None: there is none.
        dense_bias: Of that layer, (size,).
        non_linearity: Between the two.
    """

    type: TaskType
    labels: tuple[str, ...]
    pooling: str
    weight: np.ndarray
    bias: np.ndarray
    dense: np.ndarray | None = None
    dense_bias: np.ndarray | None = None
    non_linearity: NonLinearity | None = None

    @property
    def tensors(self) -> Tensors:
        """Give the tensors by the names that composer's files use."""
        found = {"weight": self.weight, "bias": self.bias}
        if self.dense is not None and self.dense_bias is not None:
            found |= {"dense": self.dense, "dense_bias": self.dense_bias}
        return found


class Layers(NamedTuple):
    """What the layers of a head are called.

    Attributes:
        out: The last.
        dense: The one before it; None: there is none.
        between: The two; None: nothing is.
    """

    out: str
    dense: str | None = None
    between: NonLinearity | None = None

    def named(self, head: ForeignHead) -> Tensors:
        """Give a head's tensors by these names."""
        found = {f"{self.out}.weight": head.weight, f"{self.out}.bias": head.bias}
        if head.dense is not None and head.dense_bias is not None:
            found |= {f"{self.dense}.weight": head.dense, f"{self.dense}.bias": head.dense_bias}
        return found


ONE_LAYER = Layers("classifier")
# By the kind of model: heads for sequences that read the first token, and no pooler. What lies
# between is fixed in the library; DeBERTa's config has a word in it, so its head is not here.
SEQUENCE_HEADS: Mapping[str, Layers] = {
    "distilbert": Layers("classifier", "pre_classifier", "relu"),
    "electra": Layers("classifier.out_proj", "classifier.dense", "gelu"),
    "roberta": Layers("classifier.out_proj", "classifier.dense", "tanh"),
    "xlm-roberta": Layers("classifier.out_proj", "classifier.dense", "tanh"),
}


def take_layers(
    tensors: Tensors, layers: Layers, *, classes: int, size: int, bias: bool = True, place: str
) -> ForeignHead:
    """Take a head's layers: these, and nothing else.

    Args:
        tensors: By the names of their file.
        layers: What they are called.
        classes: How many outputs there are.
        size: Hidden size of the backbone.
        bias: Whether the last layer has one; a dense one always has.
        place: For messages.

    Returns:
        A classification whose labels are still to be told.

    Raises:
        InterchangeError: Naming each tensor that is missing, left over or of another shape.
    """
    wanted: dict[str, tuple[int, ...]] = {f"{layers.out}.weight": (classes, size)}
    if bias:
        wanted[f"{layers.out}.bias"] = (classes,)
    if layers.dense:
        wanted |= {f"{layers.dense}.weight": (size, size), f"{layers.dense}.bias": (size,)}
    wrong = compared(tensors, wanted, place=place)
    if wrong:
        raise InterchangeError(wrong)
    head = ForeignHead(
        type="text-classification",
        labels=(),
        pooling="first",
        weight=tensors[f"{layers.out}.weight"],
        bias=tensors.get(f"{layers.out}.bias", np.zeros(classes, np.float32)),
    )
    if layers.dense is None:
        return head
    dense, dense_bias = tensors[f"{layers.dense}.weight"], tensors[f"{layers.dense}.bias"]
    if layers.between is None:
        return _joined(head, dense, dense_bias)
    return replace(head, dense=dense, dense_bias=dense_bias, non_linearity=layers.between)


def labelled_head(
    head: ForeignHead, type: TaskType, labels: tuple[str, ...], *, place: str
) -> ForeignHead:
    """Say what a head predicts; a classification of one output is a regression.

    Raises:
        InterchangeError: There are more or fewer labels than outputs, or one is there twice.
    """
    if type == "text-classification" and len(head.bias) == 1:
        return replace(head, type="regression", labels=())
    if len(labels) != len(head.bias) or len(set(labels)) != len(labels):
        raise misfit(
            place,
            f"{len(labels)} labels for {len(head.bias)} outputs; give each one in order: "
            "--labels A,B",
        )
    return replace(head, type=type, labels=labels)


def tagging_head(
    head: ForeignHead, tags: tuple[str, ...], *, place: str, missing: str = ""
) -> ForeignHead:
    """Put the outputs of BIO tags in composer's order.

    Args:
        head: That puts them out.
        tags: One an output.
        place: Where the tags are told, for messages.
        missing: What to say where there are none.

    Raises:
        InterchangeError: They are not O, and B- and I- of each label.
    """
    labels = tuple(dict.fromkeys(tag[2:] for tag in tags if tag[:2] in ("B-", "I-")))
    wanted = tag_names(labels)
    if sorted(wanted) != sorted(tags) or len(tags) != len(head.bias) or not labels:
        odd = sorted(set(tags) ^ set(wanted))
        told = f"{odd[0][:80]!r} is missing or no such tag" if odd else f"{len(tags)} tags"
        raise misfit(
            place,
            f"{missing if missing and not tags else told}; the {len(head.bias)} outputs are O, and "
            "B- and I- of each label: give them in order, --labels O,B-A,I-A, or take the adapter "
            "alone, --without-head",
        )
    order = [tags.index(tag) for tag in wanted]
    return replace(
        head,
        type="token-classification",
        labels=labels,
        pooling="none",
        weight=head.weight[order],
        bias=head.bias[order],
    )


def _joined(head: ForeignHead, dense: np.ndarray, dense_bias: np.ndarray) -> ForeignHead:
    """Join two linear layers: W (W1 x + b1) + b = (W W1) x + (W b1 + b)."""
    weight = head.weight.astype(np.float64)
    return replace(
        head,
        weight=(weight @ dense).astype(np.float32),
        bias=(weight @ dense_bias + head.bias).astype(np.float32),
    )
