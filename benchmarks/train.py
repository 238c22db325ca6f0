"""Examples a second, training one Pfeiffer adapter on a BERT of base size, against the peers.

    python benchmarks/train.py [--json] [--runs 5]

Real utterances of a voice assistant, two threads, each side with batches of the size that its own
documentation gives: 1,024 tokens of like length here, 32 texts there; as many optimizer steps as
the peers take are a row of their own. All heads read the first token, as those of the peers do;
a head that reads the mean of all tokens, composer's default, is a row of its own. Composer trains
with products in bfloat16 where the processor has them, their weights laid out beforehand
(`prepack`), and no dropout inside the frozen backbone. The same without the one, and with the
other, are rows too; a LoRA learns one epoch of half as many utterances. `make bench-scores` holds
the scores of fast and slow ways together. What counts of composer is the whole stage up to its
last step, reading and encoding included, judging after each epoch left out; of the peers,
`train()`, which judges nothing. What the first row compares comes last in its process, as the
first work after a pause is slower on either side.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import ours
import peers
import torch
import transformers
from apart import apart
from measure import RUNS, Report, Row, Side, carry_out, in_turn, middle, ratios, row, timed
from operations import Shape, training
from setting import Utterances, utterances, write_bert_base

from composer.engine.planning.machine import resolve_precision
from composer.recipe.grammar.adapters import Lora

COUNT = 416  # 13 full batches of the peers
EPOCHS = 2
STEPS = COUNT // peers.BATCH  # of the peers, an epoch
COUNT_LORA = 224  # 7 of them, and one epoch: nothing of a LoRA is kept for the next
COUNT_PADDED = 32  # and one epoch: no other batch would be padded otherwise
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
    precision = resolve_precision("auto")
    with (
        apart(with_peft, backbone, folder, data) as in_peft,
        apart(prepacked, backbone, folder, data, precision) as here,
        apart(not_prepacked, backbone, folder, data, precision) as beside,
        apart(with_adapters, backbone, folder, data) as in_adapters,
    ):
        seconds = in_turn({**in_peft, **here, **beside, **in_adapters}, runs=runs)
    learnt = {name: EPOCHS * COUNT for name in seconds}
    learnt |= {"padded": COUNT_PADDED, "lora": COUNT_LORA, "peft": COUNT_LORA}
    rate = {
        name: [learnt[name] / one for one in taken]
        for name, taken in seconds.items()
        if name != "product"
    }
    lengths = [len(ids) for ids in data.ids]
    needed = training(Shape(width=ours.WIDTH), lengths, first_only=True, epochs=EPOCHS)
    rows = [*_rows(rate), ceiling_row(seconds, needed, precision)]
    question = f"{__doc__.splitlines()[0]} {data.about}; {EPOCHS} epochs of {STEPS} steps of the "
    question += f"peers'; frozen products in {precision}."
    return Report(question=question, rows=rows, ratio=rows[0].ratio)


def prepacked(backbone: Path, folder: Path, data: Utterances, precision: str) -> dict[str, Side]:
    """Make composer's sides, and the one large product."""
    place = ours.Workplace(backbone=backbone, folder=folder, precision=precision)
    settings = partial(ours.training, data, epochs=EPOCHS, dropout=False, prepack=True)
    ways = {
        "lora": ours.task(_for_lora(folder), settings(epochs=1), name="lora", shape=LORA),
        "dropout": ours.task(data, settings(dropout=True), name="drop"),
        "steps": ours.task(data, settings(steps=STEPS), name="steps"),
        "mean": ours.task(data, settings(), name="mean", pooling="mean"),
        "fast": ours.task(data, settings(), name="fast"),
    }
    sides = {name: partial(place.seconds, stage) for name, stage in ways.items()}
    return sides | {"product": timed(large_products(precision))}


def not_prepacked(
    backbone: Path, folder: Path, data: Utterances, precision: str
) -> dict[str, Side]:
    """Make the side that takes less memory, which would have the others lay out weights anew."""
    place = ours.Workplace(backbone=backbone, folder=folder, precision=precision)
    stage = ours.task(data, ours.training(data, epochs=EPOCHS, dropout=False), name="plain")
    return {"plain": partial(place.seconds, stage)}


def with_adapters(backbone: Path, folder: Path, data: Utterances) -> dict[str, Side]:
    """Make the sides of `adapters`: padded to the longest of a batch, and to a fixed length."""
    few = utterances(folder, COUNT_PADDED, name="few")
    model = peers.with_adapter(backbone, data)
    return {
        "padded": peers.trained(model, backbone, few, folder / "padded", padded=peers.PADDED),
        "adapters": peers.trained(model, backbone, data, folder / "longest", epochs=EPOCHS),
    }


def with_peft(backbone: Path, folder: Path, data: Utterances) -> dict[str, Side]:
    """Make the side of `peft`."""
    model, trainer = peers.with_lora(backbone, data, rank=RANK), transformers.Trainer
    few = _for_lora(folder)
    return {"peft": peers.trained(model, backbone, few, folder / "lora", trainer=trainer)}


def _for_lora(folder: Path) -> Utterances:
    return utterances(folder, COUNT_LORA, name="lora")


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
        ("one adapter, not prepacked", "plain", "adapters", longest, None),
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
