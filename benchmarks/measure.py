"""How the benchmarks measure: sides in turn, medians, spreads, one table, one JSON object.

    seconds = in_turn({"composer": ours, "adapters": theirs}, runs=5)
    row = compare("training one adapter", seconds, over="adapters", least=4.0)
    show(Report(question="...", rows=[row], ratio=row.ratio), as_json=False)

All sides do their piece of work one after another, then again, so that what disturbs one
disturbs all. A ratio is the median of the ratios of each turn; beside it stand the lowest and
the highest turn.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

THREADS = 2
RUNS = 5

Side = Callable[[], float]
"""Does one piece of work and says how many seconds of it count."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        what: What was done.
        by: Who did it.
        over: What it is compared with.
        ratio: Median of the turns' ratios.
        lowest: Of the turns.
        highest: Of the turns.
        promised: "at least 4", "at most 1.1"; empty: nothing is promised.
        met: Whether the median keeps the promise; None: nothing is promised.
        detail: Plain figures behind it, with their units.
    """

    what: str
    by: str
    over: str
    ratio: float
    lowest: float
    highest: float
    promised: str = ""
    met: bool | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one script found.

    Attributes:
        question: What it asked, and in what setting.
        rows: The figures.
        ratio: The headline.
        machine: Where it was measured.
        curves: How cost grows, where that was asked.
    """

    question: str
    rows: list[Row]
    ratio: float
    machine: dict[str, str] = field(default_factory=lambda: machine())
    curves: list[dict[str, object]] = field(default_factory=list)


def options(description: str | None, *, runs: int = RUNS, plot: bool = False) -> argparse.Namespace:
    """Read what every script is told: `--json`, `--runs`, and where one draws `--plot`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=runs, help="turns that count, at least 5")
    if plot:
        parser.add_argument("--plot", type=Path, help="draw the curves into this file")
    return parser.parse_args()


def in_turn(sides: Mapping[str, Side], *, runs: int, warm: int = 1) -> dict[str, list[float]]:
    """Run all sides one after another, again and again; the first turns do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm + runs):
        for name, side in sides.items():
            taken = side()
            if turn >= warm:
                seconds[name].append(taken)
    return seconds


def timed(work: Callable[[], object]) -> Side:
    """Make a side of a piece of work that counts as a whole."""

    def side() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return side


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Divide turn by turn.

    >>> ratios([2.0, 9.0], [1.0, 3.0])
    [2.0, 3.0]
    """
    return [one / other for one, other in zip(above, below, strict=True)]


def middle(some: Sequence[float]) -> float:
    """Give the median."""
    return statistics.median(some)


def row(
    what: str,
    turns: Sequence[float],
    *,
    by: str = "composer",
    over: str,
    least: float | None = None,
    most: float | None = None,
    detail: str = "",
) -> Row:
    """Make a row of the turns' ratios.

    >>> row("a product", [2.0, 4.0, 9.0], over="itself", most=5.0).promised
    'at most 5'
    """
    found = middle(turns)
    promised, met = "", None
    if least is not None:
        promised, met = f"at least {least:g}", found >= least
    if most is not None:
        promised, met = f"at most {most:g}", 0 < found <= most
    return Row(
        what=what,
        by=by,
        over=over,
        ratio=round(found, 3),
        lowest=round(min(turns), 3),
        highest=round(max(turns), 3),
        promised=promised,
        met=met,
        detail=detail,
    )


def carry_out(
    measure: Callable[[Path, int], Report], description: str | None, *, runs: int = RUNS
) -> None:
    """Measure in a folder of its own, on as many threads as all sides have, and print."""
    import torch

    given = options(description, runs=runs)
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), given.runs)
    show(report, as_json=given.json)


def show(report: Report, *, as_json: bool) -> None:
    """Print a report for people, or as one JSON object."""
    if as_json:
        print(json.dumps(asdict(report)))
        return
    print(report.question)
    print("; ".join(f"{name} {value}" for name, value in report.machine.items()))
    for one in report.rows:
        verdict = {None: "", True: "met", False: "NOT MET"}[one.met]
        spread = f"{one.lowest:.3g} to {one.highest:.3g}"
        print(
            f"{one.what:44} {one.by:>10} over {one.over:26} {one.ratio:7.3f} ({spread})"
            f"   {one.promised:13} {verdict:8} {one.detail}"
        )
    print(f"headline: {report.ratio:.3f}")


def machine() -> dict[str, str]:
    """Say where a figure comes from."""
    found = {"processor": processor(), "threads": str(THREADS), "cores": str(os.cpu_count())}
    found["python"] = platform.python_version()
    for library in ("torch", "transformers", "adapters", "peft"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def processor() -> str:
    """Name the processor, and whether it multiplies bfloat16 natively."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    told = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    known = {name.strip(): value.strip() for name, value in told.items()}
    native = {"avx512_bf16", "amx_bf16"} & set(known.get("flags", "").split())
    name = known.get("model name", platform.machine())
    return f"{name} ({', '.join(sorted(native)) or 'no bfloat16 products'})"
