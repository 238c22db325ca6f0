"""Examples a second, training one Pfeiffer adapter on a BERT of base size, against the peers.

    python benchmarks/train.py [--json] [--runs 5]

Real utterances of a voice assistant, two threads, each side with batches of the size that its own
documentation gives: 1,024 tokens of like length here, 32 texts there; as many optimizer steps as
the peers take are a row of their own. All heads read the first token, as those of the peers do;
a head that reads the mean of all tokens, composer's default, is a row of its own. Composer trains
with products in bfloat16 where the processor has them and no dropout inside the frozen backbone;
the same with that dropout is a row too, and `make bench-scores` holds the scores of the two
together. What counts of composer is the whole stage up to its last step, reading and encoding
included; of the peers, `train()`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import ours
import peers
import torch
import transformers
from measure import (
    RUNS,
    Report,
    Row,
    carry_out,
    in_turn,
    middle,
    ratios,
    row,
    timed,
)
from operations import Shape, training
from setting import utterances, write_bert_base

from composer.recipe.adapters import Lora

COUNT = 416  # 13 full batches of the peers
COUNT_PADDED = 32
PRODUCT = 2048  # rows of the large product that gives the ceiling
PRODUCTS = 8
CEILING = 45.0  # per cent
RANK = 24  # of a LoRA in query and value with as many weights as the adapter
LORA = Lora(kind="lora", rank=RANK, alpha=float(RANK))


def main() -> None:
    """Measure and print."""
    carry_out(measure, __doc__)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Train on all sides in turn."""
    backbone = write_bert_base(folder / "backbone")
    data = utterances(folder, COUNT)
    few = utterances(folder, COUNT_PADDED, name="few")
    steps = -(-COUNT // peers.BATCH)
    fast = ours.Workplace(backbone=backbone, folder=folder)
    ways = {
        "fast": ours.task(data, ours.training(data, dropout=False), name="fast"),
        "dropout": ours.task(data, ours.training(data, dropout=True), name="drop"),
        "steps": ours.task(data, ours.training(data, steps=steps, dropout=False), name="steps"),
        "mean": ours.task(data, ours.training(data, dropout=False), name="mean", pooling="mean"),
        "lora": ours.task(data, ours.training(data, dropout=False), name="lora", shape=LORA),
    }
    model = peers.with_adapter(backbone, data)
    lora = peers.trained(
        peers.with_lora(backbone, data, rank=RANK),
        backbone,
        data,
        folder / "lora",
        trainer=transformers.Trainer,
    )
    seconds = in_turn(
        {
            "peft": lora,
            **{name: partial(fast.seconds, stage) for name, stage in ways.items()},
            "adapters": peers.trained(model, backbone, data, folder / "longest"),
            "padded": peers.trained(model, backbone, few, folder / "padded", padded=peers.PADDED),
            "product": timed(large_products(fast.precision)),
        },
        runs=runs,
    )
    rate = {
        name: [(COUNT_PADDED if name == "padded" else COUNT) / one for one in taken]
        for name, taken in seconds.items()
        if name != "product"
    }
    needed = training(Shape(width=ours.WIDTH), [len(ids) for ids in data.ids], first_only=True)
    rows = [*_rows(rate), ceiling_row(seconds, needed, fast.precision)]
    question = f"{__doc__.splitlines()[0]} {data.about}; {steps} steps of the peers'; "
    question += f"frozen products in {fast.precision}."
    return Report(question=question, rows=rows, ratio=rows[0].ratio)


def large_products(precision: str) -> Callable[[], object]:
    """Make a piece of work of large products alone: what the processor gives at best."""
    kind = {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]
    one = torch.randn(PRODUCT, PRODUCT).to(kind)
    other = torch.randn(PRODUCT, PRODUCT).to(kind)
    return lambda: [one @ other for _ in range(PRODUCTS)]


def ceiling_row(seconds: dict[str, list[float]], needed: float, precision: str) -> Row:
    """Say what share of the ceiling training reaches, in per cent."""
    of_products = 2.0 * PRODUCTS * PRODUCT**3
    ceilings = [of_products / one for one in seconds["product"]]
    speeds = [needed / one for one in seconds["fast"]]
    return row(
        "operations needed, share of the ceiling (%)",
        [100 * share for share in ratios(speeds, ceilings)],
        over=f"one product in {precision}",
        least=CEILING,
        detail=f"{middle(speeds) / 1e9:.0f} of {middle(ceilings) / 1e9:.0f} billion a second",
    )


def _rows(rate: dict[str, list[float]]) -> list[Row]:
    told = {name: f"{middle(some):.1f}" for name, some in rate.items()}
    longest, padded = "adapters, longest", "adapters, padded to 128"
    sides = [
        ("one adapter", "fast", "adapters", longest, 4.0),
        ("one adapter", "fast", "padded", padded, 8.0),
        ("one adapter, all tokens read", "mean", "adapters", longest, None),
        ("one adapter, as many steps", "steps", "adapters", longest, None),
        ("one adapter, backbone's dropout", "dropout", "adapters", longest, None),
        ("one adapter, backbone's dropout", "dropout", "padded", padded, None),
        ("LoRA", "lora", "peft", "peft, longest", 1.0),
        ("one adapter, not LoRA", "fast", "peft", "LoRA in peft, longest", None),
    ]
    return [
        row(
            what,
            ratios(rate[side], rate[peer]),
            over=over,
            least=least,
            detail=f"{told[side]} against {told[peer]} examples a second",
        )
        for what, side, peer, over, least in sides
    ]


if __name__ == "__main__":
    main()
