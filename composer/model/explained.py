"""Why a model says what it says: every class's probability, and whom its fusions listened to.

    explain(predictor, [Example(text="turn on the lamp")])
    [Explanation(prediction=..., tokens=("<s>", "▁turn", ...), mixers=(MixerWeights(...),))]

Each text goes through the model alone, and the weights are those by which that very pass mixed
what the members add: nothing is computed a second time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from composer.data.bio import tag_names
from composer.data.encode import Encoded
from composer.data.examples import Example
from composer.data.predictions import Prediction, softmax
from composer.model.adapters import Site
from composer.model.predictor import Predictor
from composer.recipe.grammar.composition import Fuse, Gate, mixers_of

Shares = tuple[tuple[float, ...], ...]  # of each token, of each member


@dataclass(frozen=True, kw_only=True)
class MixerWeights:
    """By how much a fusion or gate weighed its members.

    Attributes:
        mixer: As the composition says it: "fuse(intent, domain)".
        form: "fuse": attention over the members; "gate": a layer of its own.
        members: In order, as the composition says them.
        sites: Site ("3.output") -> for each token the share of each member, adding to 1; in the
            order in which the pass meets them.
    """

    mixer: str
    form: str
    members: tuple[str, ...]
    sites: dict[str, Shares]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a model said about one input, and how it came to it.

    Attributes:
        prediction: As `composer predict` gives it.
        classes: What the head tells apart: labels, or for token classification their tags; none
            for a number.
        probabilities: Of each class: one row, or one a token; of a multi-label classification
            that of each label by itself; no rows for a number.
        tokens: As the backbone read them, special ones included.
        cut: Tokens that were cut off.
        prompt: Learnt vectors that prompts put before the tokens; mixers weigh those as well,
            first.
        mixers: In the order of the composition; empty where it mixes nothing.
    """

    prediction: Prediction
    classes: tuple[str, ...]
    probabilities: Shares
    tokens: tuple[str, ...]
    cut: int
    prompt: int
    mixers: tuple[MixerWeights, ...]


def explain(
    predictor: Predictor, examples: Sequence[Example], *, truncate: bool = False
) -> list[Explanation]:
    """Explain what a model says about examples, in their order.

    Args:
        predictor: Of a composition with nothing left to bind.
        examples: Only text and pair are read.
        truncate: Cut texts that are too long instead of refusing them.

    Raises:
        DataError: A text is longer than the backbone takes.
    """
    rows = predictor.encode(examples, truncate=truncate)
    return [_explain(predictor, *one) for one in zip(examples, rows, strict=True)]


def _explain(predictor: Predictor, example: Example, row: Encoded) -> Explanation:
    with _watching(predictor) as seen:
        (logits,) = predictor.logits([row])
    about, tokenizer = predictor.about, predictor.model.backbone.tokenizer
    spans = about.type == "token-classification"
    weighed = max(map(len, seen.values()), default=len(row.ids))
    return Explanation(
        prediction=predictor.read(logits, example, row),
        classes=tag_names(about.labels) if spans else about.labels,
        probabilities=_probabilities(logits.numpy(), about.type),
        tokens=tuple(tokenizer.id_to_token(one) or "" for one in row.ids),
        cut=row.cut,
        prompt=weighed - len(row.ids),
        mixers=tuple(
            MixerWeights(
                mixer=str(part),
                form="gate" if isinstance(part, Gate) else "fuse",
                members=tuple(map(str, part.parts)),
                sites={str(site): shares for (site, n), shares in seen.items() if n == number},
            )
            for number, part in enumerate(_mixers(predictor))
        ),
    )


@contextmanager
def _watching(predictor: Predictor) -> Iterator[dict[tuple[Site, int], Shares]]:
    """Take note of the shares at each site, by the number of the mixer."""
    seen: dict[tuple[Site, int], Shares] = {}

    def note(site: Site, number: int, shares: Tensor) -> None:
        seen[site, number] = tuple(map(tuple, shares.double().tolist()))

    model, before = predictor.model, predictor.model.watch
    model.watch = note
    try:
        yield seen
    finally:
        model.watch = before


def _mixers(predictor: Predictor) -> Sequence[Fuse | Gate]:
    return mixers_of(predictor.model.composition)


def _probabilities(logits: NDArray[np.floating], type: str) -> Shares:
    if type == "regression":
        return ()
    rows = np.atleast_2d(logits.astype(np.float64))  # (rows, classes)
    shares = 1 / (1 + np.exp(-rows)) if type == "multi-label-classification" else softmax(rows)
    return tuple(map(tuple, shares.tolist()))
