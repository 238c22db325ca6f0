"""Score a composition in one language: predictions, scores, and what its fusion listens to.

    scores.json         {"scores": {"accuracy": 0.83, ...}, "score": "accuracy", "n": 312, ...}
    predictions.jsonl   {"gold": "HassTurnOn", "place": "...", "predicted": "HassTurnOn", ...}

Scores are taken in float32, whatever precision the adapters were trained with.
"""

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor

from composer.bundle.files import write_bytes
from composer.data.examples import Example
from composer.data.predictions import Prediction, Value, plain_value
from composer.model.adapters import Site
from composer.model.composed import ComposedModel
from composer.model.predictor import Predictor
from composer.recipe.expansion.stages import Evaluate
from composer.recipe.grammar.composition import mixers_of
from composer.recipe.grammar.tasks import TaskType
from composer.train.assembly import assemble
from composer.train.context import StageContext
from composer.train.labelled import read_split, truncates, where
from composer.train.metrics import all_scores
from composer.train.results import MeanShares, ScoresFile, read_training
from composer.train.setup import encoder_for, prepare


def evaluate(stage: Evaluate, *, context: StageContext) -> None:
    """Score one composition in one language and write what was found."""
    backbone = prepare(stage.training, context, precision="float32")
    model, about = assemble(
        stage.composition,
        parts={name: context.inputs[need] for name, need in stage.parts.items()},
        owner=context.inputs[stage.owner],
        backbone=backbone,
    )
    examples = read_split(stage.data, about.type, stage.split, about.labels, where=where(context))
    shares = _Shares(model)
    predictor = Predictor(model, about, encoder_for(backbone))
    found = predictor.predict(examples, truncate=truncates(stage.data))
    gold = [gold_value(example, about.type) for example in examples]
    scores = all_scores(
        about.type,
        predictions=[one.value for one in found],  # type: ignore[arg-type]
        gold=gold,  # type: ignore[arg-type]
    )
    ScoresFile(
        scores={name: round(value, 6) for name, value in scores.items()},
        n=len(examples),
        language=stage.data.languages[0],
        split=stage.split,
        seed=read_training(context.inputs[stage.owner]).seed,
        shares=shares.means(),
        data_digest=_digest(examples, gold),
    ).write(context.out / "scores.json")
    _write_predictions(context, examples, gold, found)


def gold_value(example: Example, type: TaskType) -> Value:
    """Give what is right for an example: a label or several, a number or its spans."""
    if type == "token-classification":
        return example.spans
    if type == "regression":
        return float(example.label or 0.0)  # type: ignore[arg-type]  # read as a number
    return example.label if isinstance(example.label, tuple) else str(example.label)


class _Shares:
    """How much each member of a fusion weighs, on average over tokens, in all and by site."""

    def __init__(self, model: ComposedModel) -> None:
        self.sums: dict[tuple[int, Site], Tensor] = {}
        self.tokens: dict[tuple[int, Site], int] = {}
        if mixers_of(model.composition):
            model.watch = self.add

    def add(self, site: Site, number: int, shares: Tensor) -> None:
        """Take note of shares of (tokens, members)."""
        place, total = (number, site), shares.double().sum(0).cpu()
        self.sums[place] = self.sums.get(place, torch.zeros_like(total)) + total
        self.tokens[place] = self.tokens.get(place, 0) + len(shares)

    def means(self) -> tuple[MeanShares, ...]:
        """Give, for each mixer, the mean share of each member in order, in all and by site."""
        found: list[MeanShares] = []
        for number in sorted({number for number, _ in self.sums}):
            at = {
                str(site): (total / self.tokens[number, site])
                for (other, site), total in self.sums.items()
                if other == number
            }
            mean = torch.stack([*at.values()]).mean(0)
            sites = {name: _rounded(one) for name, one in at.items()}
            found.append(MeanShares(mean=_rounded(mean), sites=sites))
        return tuple(found)


def _digest(examples: Sequence[Example], gold: Sequence[Value]) -> str:
    """Digest what was scored: inputs and what is right, in order."""
    rows = [
        [example.text, example.pair, plain_value(right)]
        for example, right in zip(examples, gold, strict=True)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _rounded(shares: Tensor) -> tuple[float, ...]:
    return tuple(round(float(share), 6) for share in shares)


def _write_predictions(
    context: StageContext,
    examples: Sequence[Example],
    gold: Sequence[Value],
    found: Sequence[Prediction],
) -> None:
    lines = [
        json.dumps(
            {
                "text": example.text,
                "pair": example.pair,
                "gold": plain_value(right),
                "predicted": plain_value(one.value),
                "confidence": None if one.confidence is None else round(one.confidence, 6),
            },
            sort_keys=True,
            ensure_ascii=False,
        )
        for example, right, one in zip(examples, gold, found, strict=True)
    ]
    write_bytes(context.out / "predictions.jsonl", "".join(f"{line}\n" for line in lines).encode())
