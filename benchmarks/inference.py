"""What adapters add to a prediction in torch: compositions over the plain backbone.

    python benchmarks/inference.py [--json] [--runs 5]

BERT of base size in float32, in which composer always predicts, batches of 16 texts of 64 tokens,
Pfeiffer adapters of width 48, folded as a bundle holds them; Houlsby beside them, and `adapters`
beside both, over its own plain backbone. Then one batch whose rows have 8 different adapters, over
the same batch with one adapter.
"""

from collections.abc import Callable
from pathlib import Path

import ours
import peers
import torch
from measure import RUNS, Report, Row, carry_out, in_turn, middle, ratios, row, timed
from setting import utterances, write_bert_base

from composer.data.batches import collate
from composer.data.encode import Encoded
from composer.model.backbone import Backbone, open_backbone
from composer.model.together import logits_together

TEXTS = 16
TOKENS = 64
PROMISED = {2: 1.10, 8: 1.25, 16: 1.40}
SPLIT = 8
SPLIT_PROMISED = 1.15
SHAPES = {"Pfeiffer": ours.LOW, "Houlsby": ours.HIGH}
PRECISION = "float32"


def main() -> None:
    """Measure and print."""
    carry_out(measure, __doc__)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Predict on all sides in turn."""
    at = write_bert_base(folder / "backbone")
    rows = [*composer_rows(at, runs), *adapters_rows(at, folder, runs)]
    headline = next(one for one in rows if one.what.startswith("fusion of 8"))
    question = f"{__doc__.splitlines()[0]} {TEXTS} texts of {TOKENS} tokens."
    return Report(question=question, rows=rows, ratio=headline.ratio)


def composer_rows(at: Path, runs: int) -> list[Row]:
    """Compare composer's compositions with its plain backbone."""
    backbone = open_backbone(at, precision=PRECISION)
    batch = ours.random_rows(TEXTS, TOKENS)

    def predicts(expression: str, shape: str = "Pfeiffer") -> Callable[[], object]:
        one = ours.predictor(backbone, expression, shape=SHAPES[shape])
        return lambda: one.logits(batch)

    sides = {"plain": predicts("none"), "one": predicts("a0"), "split": split(backbone, batch)}
    for shape in SHAPES:
        for members in PROMISED:
            expression = f"fuse({', '.join(f'a{number}' for number in range(members))})"
            sides[f"fusion of {members}, {shape}"] = predicts(expression, shape)
    seconds = in_turn({name: timed(work) for name, work in sides.items()}, runs=runs)
    plain = seconds["plain"]
    rows = [
        row(
            name if name != "one" else "one adapter",
            ratios(taken, plain),
            over="plain backbone",
            most=_promised(name),
            detail=_told(taken, plain),
        )
        for name, taken in seconds.items()
        if name not in ("plain", "split")
    ]
    return [*rows, _split_row(seconds)]


def split(backbone: Backbone, rows: list[Encoded]) -> Callable[[], object]:
    """Give each of 8 different adapters as many rows of one batch, in turn."""
    names = [f"a{number}" for number in range(SPLIT)]
    models = {name: ours.predictor(backbone, name).model.eval() for name in names}
    wanted = [names[number % SPLIT] for number in range(TEXTS)]
    arrays = collate(rows, pad_id=backbone.pad_id)
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def work() -> object:
        with backbone.predicting(), torch.inference_mode():
            return logits_together(models, batch, wanted=wanted)

    return work


def adapters_rows(at: Path, folder: Path, runs: int) -> list[Row]:
    """Compare the compositions of `adapters` with its plain backbone."""
    data = utterances(folder, 32)
    batch = torch.tensor([one.ids for one in ours.random_rows(TEXTS, TOKENS)])
    plain = peers.with_adapter(at, data)
    plain.set_active_adapters(None)
    models = {"plain": plain, "one": peers.with_adapter(at, data)}
    for members in PROMISED:
        models[f"fusion of {members}"] = peers.with_fusion(at, data, members, train=False)
    models["split"] = peers.with_split(at, data, SPLIT, TEXTS)

    def predicts(model: torch.nn.Module) -> Callable[[], object]:
        model.eval()

        def work() -> object:
            with torch.inference_mode():
                return model(input_ids=batch, attention_mask=torch.ones_like(batch))

        return work

    seconds = in_turn({name: timed(predicts(one)) for name, one in models.items()}, runs=runs)
    rows = [
        row(
            f"{name}, Pfeiffer" if name != "one" else "one adapter",
            ratios(taken, seconds["plain"]),
            by="adapters",
            over="plain backbone",
            detail=_told(taken, seconds["plain"]),
        )
        for name, taken in seconds.items()
        if name not in ("plain", "split")
    ]
    return [*rows, _split_row(seconds, by="adapters")]


def _split_row(seconds: dict[str, list[float]], *, by: str = "composer") -> Row:
    return row(
        f"{SPLIT} adapters in one batch",
        ratios(seconds["split"], seconds["one"]),
        by=by,
        over="one adapter",
        most=SPLIT_PROMISED if by == "composer" else None,
        detail=_told(seconds["split"], seconds["one"]),
    )


def _promised(name: str) -> float | None:
    members = [count for count in PROMISED if name == f"fusion of {count}, Pfeiffer"]
    return PROMISED[members[0]] if members else None


def _told(taken: list[float], other: list[float]) -> str:
    return f"{1000 * middle(taken):.0f} against {1000 * middle(other):.0f} ms"


if __name__ == "__main__":
    main()
