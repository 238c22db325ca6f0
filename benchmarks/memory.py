"""Peak memory of training one Pfeiffer adapter on a BERT of base size, against `adapters`.

    python benchmarks/memory.py [--json] [--runs 5]

Each side trains two epochs in a process of its own, all in turn; composer once more with its
weights laid out beforehand (`prepack`), which train.py times. A figure is the highest memory that
the process ever had resident (VmHWM) less what it had once all was imported.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import RUNS, Report, in_turn, middle, options, ratios, row, show
from setting import utterances, write_bert_base

COUNT = 64
PROMISED = 0.6
# Run in a process of its own: side, backbone's folder, folder for the rest.
CHILD = """
import json, sys
from pathlib import Path

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

side, at, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
import torch
from measure import THREADS
from setting import utterances
torch.set_num_threads(THREADS)
data = utterances(folder, int(sys.argv[4]), name=side)
if side != "adapters":
    import ours
    import composer.train.tasks, transformers.models.bert.modeling_bert
    before = resident("VmRSS")
    steps, prepack = -(-len(data.texts) // 32), side == "prepacked"
    settings = ours.training(data, steps=steps, epochs=2, dropout=False, prepack=prepack)
    ours.Workplace(backbone=at, folder=folder).run(ours.task(data, settings))
else:
    import datasets, peers, transformers.models.bert.modeling_bert
    before = resident("VmRSS")
    peers.trained(peers.with_adapter(at, data), at, data, folder / "peer", epochs=2)()
print(json.dumps({"megabytes": resident("VmHWM") - before, "before": before}))
"""


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), given.runs)
    show(report, as_json=given.json)


def measure(folder: Path, runs: int = RUNS) -> Report:
    """Train in new processes, in turn."""
    at = write_bert_base(folder / "backbone")
    ways = {"composer": "peak memory, one adapter", "prepacked": "the same, weights prepacked"}
    sides = {name: peak_of(name, at, folder) for name in (*ways, "adapters")}
    peaks = in_turn(sides, runs=runs, warm=0)
    theirs = peaks["adapters"]
    rows = [
        row(
            what,
            ratios(peaks[side], theirs),
            over="adapters, longest",
            most=PROMISED if side == "composer" else None,
            detail=f"{middle(peaks[side]):.0f} against {middle(theirs):.0f} MiB above the imports",
        )
        for side, what in ways.items()
    ]
    about = utterances(folder, COUNT).about
    return Report(question=f"{__doc__.splitlines()[0]} {about}.", rows=rows, ratio=rows[0].ratio)


def peak_of(side: str, at: Path, folder: Path) -> Callable[[], float]:
    """Make a side that trains in a new process and gives its peak in MiB."""

    def work() -> float:
        command = [sys.executable, "-c", CHILD, side, str(at), str(folder), str(COUNT)]
        home = Path(__file__).parent
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home)
        return float(json.loads(done.stdout.splitlines()[-1])["megabytes"])

    return work


if __name__ == "__main__":
    main()
