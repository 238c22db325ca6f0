"""Do the fast ways of training score like the slow one? Real tasks, a trained backbone, 3 seeds.

    python benchmarks/scores.py [--json] [--runs 3]

all-MiniLM-L6-v2 and tasks of the sample data in English; a seed decides which examples are
learnt, the weights at the start and the order. The slow way: products in float32, batches drawn
at random, dropout inside the backbone. The fast way: products in bfloat16, batches of like
length, no such dropout. On one task each of the three is scored alone as well. A fusion is learnt
both ways over members that were learnt the slow way. Scores are taken in float32 on the test split.
A ratio is the mean score of a way over that of the slow way.
"""

import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import ours
from measure import THREADS, Report, Row, carry_out
from setting import SEED, tokenizer_folder

from composer.recipe.expansion.stages import (
    DataUse,
    Evaluate,
    TaskSettings,
    TrainComposition,
    TrainTask,
)
from composer.recipe.grammar.composition import adapter_names, parse_composition
from composer.recipe.grammar.data import SampleData
from composer.recipe.grammar.tasks import TaskType
from composer.recipe.grammar.training import Training
from composer.train import labelled
from composer.train.results import read_scores

SEEDS = 3
EXAMPLES = 600
EPOCHS = 4
BATCH_TOKENS = 384
TASKS: dict[str, TaskType] = {
    "intent": "text-classification",
    "domain": "text-classification",
    "slots": "token-classification",
}
ONE_BY_ONE = "intent"  # where each change is scored alone as well
FUSION = "fusion"
FUSED = ("intent", "domain")  # members, and their head is for the first
FEW = 200  # examples of the fusion
NOISE = 2.0  # standard deviations of the difference of two means


@dataclass(frozen=True, kw_only=True)
class Way:
    """How training is made fast."""

    precision: str = "float32"
    alike: bool = False  # batches of like length
    dropout: bool = True


WAYS = {
    "slow": Way(),
    "bfloat16 alone": Way(precision="bfloat16"),
    "like lengths alone": Way(alike=True),
    "no dropout alone": Way(dropout=False),
    "fast": Way(precision="bfloat16", alike=True, dropout=False),
}


def main() -> None:
    """Train, score and print."""
    carry_out(measure, __doc__, runs=SEEDS)


def measure(folder: Path, seeds: int = SEEDS) -> Report:
    """Score every way on every task; the headline is the fast way's mean ratio to the slow one."""
    scores: dict[tuple[str, str], list[float]] = {}
    for seed in range(SEED, SEED + seeds):
        for what, one in scored(folder, seed):
            scores.setdefault(what, []).append(one)
    rows = [
        scores_row(task, name, some, scores[task, "slow"])
        for (task, name), some in scores.items()
        if name != "slow"
    ]
    fast = [one.ratio for one in rows if one.what.endswith(", fast")]
    question = f"{__doc__.splitlines()[0]} {EXAMPLES} examples, {FEW} of a fusion; {EPOCHS} epochs."
    return Report(question=question, rows=rows, ratio=round(sum(fast) / len(fast), 4))


def scored(folder: Path, seed: int) -> Iterator[tuple[tuple[str, str], float]]:
    """Train and score every way on every task with one seed: (task, way), score."""
    places = {
        name: ours.Workplace(
            backbone=tokenizer_folder(), folder=folder / f"{seed}" / name, precision=way.precision
        )
        for name, way in WAYS.items()
    }
    for task in TASKS:
        for name, way in WAYS.items():
            if task == ONE_BY_ONE or name in ("slow", "fast"):
                yield (task, name), score(places[name], learnt(task, way, seed), way)
    members = places["slow"].inputs
    for name in ("slow", "fast"):
        places[name].inputs = dict(members)
        yield (FUSION, name), score(places[name], fused(WAYS[name], seed), WAYS[name])


def settings(way: Way, seed: int) -> Training:
    """Say how a way trains."""
    return Training(
        epochs=EPOCHS,
        batch_tokens=BATCH_TOKENS,
        learning_rate=1e-3,
        dropout=way.dropout,
        seed=seed,
        threads=THREADS,
    )


def learnt(task: str, way: Way, seed: int) -> TrainTask:
    """Describe the training of one adapter."""
    kind = TASKS[task]
    return TrainTask(
        name=f"task/{task}",
        shape=ours.LOW.model_copy(update={"width": 24}),
        task=TaskSettings(
            type=kind,
            labels=None,
            pooling="mean",
            score="span-f1" if kind == "token-classification" else "accuracy",
        ),
        data=english(task, EXAMPLES),
        over={},
        training=settings(way, seed),
    )


def fused(way: Way, seed: int) -> TrainComposition:
    """Describe the training of a fusion."""
    return TrainComposition(
        name=f"composition/{FUSION}",
        composition=parse_composition(f"fuse({', '.join(FUSED)})"),
        parts={name: f"task/{name}" for name in FUSED},
        task=learnt(FUSED[0], way, seed).task,
        data=english(FUSED[0], FEW),
        train_norm=None,
        training=settings(way, seed),
    )


def english(task: str, examples: int) -> DataUse:
    """Give so many of a task's sample sentences in English."""
    source = SampleData(source="sample", name=f"assistant/{task}")
    return DataUse(source=source, languages=("en",), examples=examples)


def score(place: ours.Workplace, stage: TrainTask | TrainComposition, way: Way) -> float:
    """Train one way, and score what is learnt on the test split."""
    with batches(alike=way.alike):
        place.run(stage)
    task = stage.name.removeprefix("task/")
    composition = stage.composition if isinstance(stage, TrainComposition) else task
    judged = Evaluate(
        name=f"evaluation/{task}",
        composition=composition,
        parts={name: f"task/{name}" for name in adapter_names(composition)},
        owner=stage.name,
        data=replace(stage.data, examples=None),
        split="test",
        training=stage.training,
    )
    return read_scores(place.run(judged)).scores[stage.task.score]


@contextmanager
def batches(*, alike: bool) -> Iterator[None]:
    """Let composer plan its batches, or draw them at random, which it does not do itself."""
    if alike:
        yield
        return
    with patch.object(labelled, "batch_plan", at_random):
        yield


def at_random(
    lengths: Sequence[int], *, batch_tokens: int, seed: int, epoch: int, **others: object
) -> list[list[int]]:
    """Share out examples over batches in no order of length.

    >>> at_random([3, 4, 5], batch_tokens=100, seed=1, epoch=0)
    [[0, 1, 2]]
    """
    rng = random.Random(f"{seed} {epoch}")
    order = rng.sample(range(len(lengths)), len(lengths))
    each = max(1, round(batch_tokens * len(lengths) / sum(lengths)))
    return [sorted(order[start : start + each]) for start in range(0, len(order), each)]


def scores_row(task: str, name: str, these: Sequence[float], slow: Sequence[float]) -> Row:
    """Compare a way with the slow one; equal is: within the noise of their seeds."""
    mine, other = statistics.mean(these), statistics.mean(slow)
    spread = [statistics.stdev(some) if len(some) > 1 else 0.0 for some in (these, slow)]
    noise = NOISE * (sum(one**2 for one in spread) / len(these)) ** 0.5
    told = f"{mine:.3f} ± {spread[0]:.3f} against {other:.3f} ± {spread[1]:.3f}"
    return Row(
        what=f"{task}, {name}",
        by="composer",
        over="the slow way",
        ratio=round(mine / other, 3),
        lowest=round(min(these) / other, 3),
        highest=round(max(these) / other, 3),
        promised=f"within {noise:.3f}",
        met=mine >= other - noise,
        detail=told,
    )


if __name__ == "__main__":
    main()
