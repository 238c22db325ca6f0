"""Examples a second, training a fusion of 8 adapters on a BERT of base size, against `adapters`.

    python benchmarks/fusion.py [--json] [--runs 5]

The members are Pfeiffer adapters of width 48, frozen on both sides; query, key, value and a head
are trained. Settings as in train.py.
"""

from pathlib import Path

import ours
import peers
from measure import RUNS, Report, carry_out, in_turn, middle, ratios, row
from setting import utterances, write_bert_base

from composer.model.backbone import open_backbone

COUNT = 120
MEMBERS = 8


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
    settings = ours.training(data, dropout=False)
    stage = ours.composition(data, settings, f"fuse({', '.join(names)})", parts)
    model = peers.with_fusion(at, data, MEMBERS)
    seconds = in_turn(
        {
            "composer": lambda: place.seconds(stage),
            "adapters": peers.trained(model, at, data, folder / "longest"),
        },
        runs=runs,
    )
    rate = {name: [COUNT / one for one in taken] for name, taken in seconds.items()}
    told = " against ".join(f"{middle(some):.1f}" for some in rate.values())
    found = row(
        f"a fusion of {MEMBERS}",
        ratios(rate["composer"], rate["adapters"]),
        over="adapters, longest",
        least=6.0,
        detail=f"{told} examples a second",
    )
    question = f"{__doc__.splitlines()[0]} {data.about}; {place.steps} steps of composer's, "
    question += f"{steps} of the peer's; frozen products in {place.precision}."
    return Report(question=question, rows=[found], ratio=found.ratio)


if __name__ == "__main__":
    main()
