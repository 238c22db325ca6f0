"""The graphs of a bundle, and how its small ones score beside the trained model."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.graphs import GraphRecord
from composer.bundle.records import CompositionRecord, ScoreRecord
from composer.bundle.slots import joint_signatures, signature_of
from composer.bundle.writer import NewGraphs, NewPart
from composer.data.examples import Example
from composer.data.predictions import value_of
from composer.device.bundle import BATCH_TOKENS, Bundle
from composer.model.backbone import Backbone
from composer.model.families import read_encoder
from composer.model.graph_files import make_graphs
from composer.recipe.schema import GraphPrecision
from composer.train.metrics import all_scores
from composer.train.results import read_scores

logger = logging.getLogger(__name__)

# How many points a score may lose before the export says so loudly.
LOSS_ALLOWED: Mapping[GraphPrecision, float] = {"float32": 0.0, "int8": 1.5, "weight-int8": 0.3}

_LESS_LOSS: Mapping[GraphPrecision, str] = {
    "int8": "'weight-int8' loses less",
    "weight-int8": "'float32' loses nothing",
    "float32": "",
}


@dataclass(frozen=True, kw_only=True)
class DeviceGraphs:
    """A bundle's graphs and who uses them.

    Attributes:
        files: To be written.
        used_by: Name of a composition -> name of its graph.
    """

    files: NewGraphs
    used_by: dict[str, str]


def make_device_graphs(
    backbone: Backbone,
    parts: Mapping[str, NewPart],
    compositions: Mapping[str, CompositionRecord],
    precision: GraphPrecision,
) -> DeviceGraphs:
    """Make as few graphs as run all compositions.

    Raises:
        BackboneError: The architecture has no graph, or is too large for one.
        BundleError: No graph can run a composition.
    """
    needed = {name: signature_of(record, parts) for name, record in compositions.items()}
    joint = joint_signatures(needed)
    names = ["graph", *(f"graph-{number}" for number in range(2, len(joint) + 1))]
    signatures = {name: signature for name, (signature, _) in zip(names, joint, strict=True)}
    made = make_graphs(read_encoder(backbone), signatures, precision)
    records = {
        name: GraphRecord(signature=signature, precision=precision)
        for name, signature in signatures.items()
    }
    return DeviceGraphs(
        files=NewGraphs(records=records, structures=made.structures, weights=made.weights),
        used_by={
            user: name for name, (_, users) in zip(names, joint, strict=True) for user in users
        },
    )


def score_on_device(device: Bundle, name: str, folder: Path) -> Iterator[ScoreRecord]:
    """Score a composition's graph on what the trained model was scored on.

    Args:
        device: With the graph.
        name: Of the composition.
        folder: Of the evaluation.
    """
    known = read_scores(folder)
    record = device.manifest.compositions[name]
    with (folder / "predictions.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    examples = [Example(text=row["text"], pair=row["pair"]) for row in rows]
    # In int8 a batch shares one scale, so an answer depends on what it is batched with; a device
    # is asked one text at a time.
    together = 1 if device.precision == "int8" else BATCH_TOKENS
    found = device.use(name).predict_examples(examples, truncate=True, batch_tokens=together)
    gold = [value_of(row["gold"]) for row in rows]
    precision = device.precision
    scores = all_scores(
        record.type,
        predictions=[one.value for one in found],  # type: ignore[arg-type]
        gold=gold,  # type: ignore[arg-type]
    )
    for score, value in scores.items():
        lost = 100 * (known.scores[score] - value)
        if lost > LOSS_ALLOWED[precision]:
            logger.warning(
                "%s, %s: in %s its %s is %.1f points below float32 (%.3f to %.3f, %d examples); %s",
                *(name, known.language, precision, score, lost, value, known.scores[score]),
                *(known.n, _LESS_LOSS[precision]),
            )
        yield ScoreRecord(
            composition=name,
            language=known.language,
            split=known.split,
            score=score,
            value=round(value, 6),
            n=known.n,
            seed=known.seed,
            data_digest=known.data_digest,
            precision=precision,
        )
