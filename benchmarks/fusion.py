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
from apart import apart
from measure import RUNS, Report, Side, carry_out, in_turn, middle, ratios, row
from setting import Utterances, utterances, write_bert_base

from composer.engine.planning.machine import resolve_precision
from composer.model.backbone import open_backbone

COUNT = 192  # 6 full batches of the peer
STEPS = COUNT // peers.BATCH  # of the peer
MEMBERS = 8
WHAT = f"a fusion of {MEMBERS}"


def main() -> None:
    """Measure and print."""
    carry_out(measure, __doc__)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Train on both sides in turn."""
    backbone = write_bert_base(folder / "backbone")
    data = utterances(folder, COUNT)
    precision = resolve_precision("auto")
    with (
        apart(with_composer, backbone, folder, data, precision) as here,
        apart(with_adapters, backbone, folder, data) as in_adapters,
    ):
        seconds = in_turn({**here, **in_adapters}, runs=runs)
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
        for what in here
    ]
    question = f"{__doc__.splitlines()[0]} {data.about}; {STEPS} steps of the peer's; "
    question += f"frozen products in {precision}."
    return Report(question=question, rows=rows, ratio=rows[0].ratio)


def with_composer(
    backbone: Path, folder: Path, data: Utterances, precision: str
) -> dict[str, Side]:
    """Make composer's sides: batches of the default size, and as many as the peer has."""
    place = ours.Workplace(backbone=backbone, folder=folder, precision=precision)
    names = [f"a{number}" for number in range(MEMBERS)]
    parts = place.put(open_backbone(backbone, precision=precision), names)
    ways = {
        WHAT: ours.training(data, dropout=False, prepack=True),
        f"{WHAT}, as many steps": ours.training(data, steps=STEPS, dropout=False, prepack=True),
    }
    fuse = f"fuse({', '.join(names)})"
    return {
        what: partial(place.seconds, ours.composition(data, settings, fuse, parts))
        for what, settings in ways.items()
    }


def with_adapters(backbone: Path, folder: Path, data: Utterances) -> dict[str, Side]:
    """Make the side of `adapters`."""
    model = peers.with_fusion(backbone, data, MEMBERS)
    return {"adapters": peers.trained(model, backbone, data, folder / "longest")}


if __name__ == "__main__":
    main()
