"""The graphs of a bundle, and how its small ones score beside the trained model."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from composer.bundle.graphs import FixedShape, GraphRecord
from composer.bundle.layout import ADAPTERS
from composer.bundle.ranks import joint_shape, needed_shape, widest
from composer.bundle.records import CompositionRecord, ScoreRecord
from composer.bundle.slots import joint_signatures, signature_of
from composer.bundle.writer import NewGraphs, NewPart
from composer.data.examples import Example
from composer.data.predictions import value_of
from composer.device.bundle import BATCH_TOKENS, Bundle
from composer.model.backbone import Backbone
from composer.model.families import read_encoder
from composer.model.graph_files import make_graphs
from composer.recipe.grammar.bundles import GraphPrecision, StaticShape
from composer.recipe.grammar.tasks import Score
from composer.train.metrics import all_scores
from composer.train.results import ScoresFile, read_scores

logger = logging.getLogger(__name__)

# How many points a score may lose before the export says so loudly.
LOSS_ALLOWED: Mapping[GraphPrecision, float] = {"float32": 0.0, "int8": 1.5, "weight-int8": 0.3}

TRIMMED_LOSS = 0.5  # points more, where the vocabulary is trimmed

_MORE_PIECES = "more text, or `pieces`, keeps more of the vocabulary"
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
    *,
    static: StaticShape | None = None,
) -> DeviceGraphs:
    """Make as few graphs as run all compositions.

    Args:
        backbone: The frozen encoder.
        parts: All of the bundle's.
        compositions: All of the bundle's.
        precision: How the graphs multiply.
        static: The one shape of calls; None: any.

    Raises:
        BackboneError: The architecture has no graph, or is too large for one.
        BundleError: No graph can run a composition.
    """
    needed = {name: signature_of(record, parts) for name, record in compositions.items()}
    joint = joint_signatures(needed)
    names = ["graph", *(f"graph-{number}" for number in range(2, len(joint) + 1))]
    records = {
        name: GraphRecord(
            signature=signature,
            precision=precision,
            shape=_shape([compositions[user] for user in users], parts, static, size=backbone.size),
        )
        for name, (signature, users) in zip(names, joint, strict=True)
    }
    made = make_graphs(read_encoder(backbone), records)
    return DeviceGraphs(
        files=NewGraphs(records=records, structures=made.structures, weights=made.weights),
        used_by={
            user: name for name, (_, users) in zip(names, joint, strict=True) for user in users
        },
    )


def _shape(
    users: Sequence[CompositionRecord],
    parts: Mapping[str, NewPart],
    static: StaticShape | None,
    *,
    size: int,
) -> FixedShape | None:
    if static is None:
        return None
    widths = {
        name: widest(part.config, size) for name, part in parts.items() if part.kind in ADAPTERS
    }
    return joint_shape(
        needed_shape(record, widths, batch=static.batch, tokens=static.tokens) for record in users
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
    precision, trimmed = device.precision, device.manifest.backbone.trimmed is not None
    scores = all_scores(
        record.type,
        predictions=[one.value for one in found],  # type: ignore[arg-type]
        gold=gold,  # type: ignore[arg-type]
    )
    for score, value in scores.items():
        _tell_of_loss(device, name, known, score, value)
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
            trimmed=trimmed,
        )


def _tell_of_loss(device: Bundle, name: str, known: ScoresFile, score: Score, value: float) -> None:
    """Say it loudly where a graph loses more than its precision and vocabulary are allowed."""
    precision, trimmed = device.precision, device.manifest.backbone.trimmed is not None
    lost = 100 * (known.scores[score] - value)
    if lost <= LOSS_ALLOWED[precision] + (TRIMMED_LOSS if trimmed else 0.0):
        return
    remedies = [_LESS_LOSS[precision], _MORE_PIECES if trimmed else ""]
    logger.warning(
        "%s, %s: in %s%s its %s is %.1f points below float32 (%.3f to %.3f, %d examples); %s",
        *(name, known.language, precision, " with a trimmed vocabulary" if trimmed else ""),
        *(score, lost, value, known.scores[score], known.n, " and ".join(filter(None, remedies))),
    )
