"""Examples a second, training a fusion of 8 adapters on a BERT of base size, against `adapters`.

    python benchmarks/fusion.py [--json] [--runs 5]

The members are Pfeiffer adapters of width 48, frozen on both sides; query, key, value and a head
are trained. Composer takes a fusion's own products in bfloat16 as well, where it takes the frozen
ones in it. Settings as in train.py.
"""

from functools import partial
from pathlib import Path

import ours
import peers
from measure import RUNS, Report, carry_out, in_turn, middle, ratios, row
from setting import utterances, write_bert_base

from composer.model.backbone import open_backbone

COUNT = 256  # 8 full batches of the peer
MEMBERS = 8
WHAT = f"a fusion of {MEMBERS}"


def main() -> None:
    """Measure and print."""
    carry_out(measure, __doc__)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Train on both sides in turn."""
    at = write_bert_base(folder / "backbone")
    data = utterances(folder, COUNT)
    steps = -(-COUNT // peers.BATCH)
    place = ours.Workplace(backbone=at, folder=folder)
    names = [f"a{number}" for number in range(MEMBERS)]
    parts = place.put(open_backbone(at, precision=place.precision), names)
    ways = {
        what: ours.composition(data, settings, f"fuse({', '.join(names)})", parts)
        for what, settings in {
            WHAT: ours.training(data, dropout=False),
            f"{WHAT}, as many steps": ours.training(data, steps=steps, dropout=False),
        }.items()
    }
    model = peers.with_fusion(at, data, MEMBERS)
    seconds = in_turn(
        {
            **{what: partial(place.seconds, stage) for what, stage in ways.items()},
            "adapters": peers.trained(model, at, data, folder / "longest"),
        },
        runs=runs,
    )
    rate = {name: [COUNT / one for one in taken] for name, taken in seconds.items()}
    rows = [
        row(
            what,
            ratios(rate[what], rate["adapters"]),
            over="adapters, longest",
            least=6.0 if what == WHAT else None,
            detail=f"{middle(rate[what]):.1f} against {middle(rate['adapters']):.1f} "
            "examples a second",
        )
        for what in ways
    ]
    question = f"{__doc__.splitlines()[0]} {data.about}; {steps} steps of the peer's; "
    question += f"frozen products in {place.precision}."
    return Report(question=question, rows=rows, ratio=rows[0].ratio)


if __name__ == "__main__":
    main()
