"""How cost grows, on paper and measured: no curve that should be flat or straight may bend.

    python benchmarks/growth.py [--json] [--runs 5] [--plot docs/growth.svg]

    languages 1 to 60      a prediction, all language adapters loaded, one in use      flat
                           memory of the language adapters                             straight
    tasks 1 to 10          a prediction, all task adapters loaded, one in use          flat
    members 2 to 64        a prediction with a fusion of them                          straight
    tokens 16 to 512       a prediction with one adapter, by `operations`              as on paper
    stages 10 to 1,000     `composer plan`                                             straight

Measured on four layers of a BERT of base size, in float32. The bend of a curve is how much
steeper its upper half is than its lower; of a flat one, its last point over its first; of the
tokens, the last point over what is on paper, where the first is on paper.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import ours
import torch
from measure import RUNS, THREADS, Report, Row, in_turn, middle, options, row, show, timed
from operations import Shape, forward
from setting import write_bert

from composer.model.backbone import Backbone, open_backbone

LAYERS = 4
LANGUAGES = (1, 10, 20, 40, 60)
TASKS = (1, 2, 4, 6, 8, 10)
MEMBERS = (2, 8, 16, 32, 48, 64)
TOKENS = (16, 64, 128, 256, 384, 512)
STAGES = ((4, 1), (12, 3), (30, 7), (40, 11), (60, 15))  # languages, tasks
TEXTS, LENGTH = 8, 32
BEND = 1.25


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How one cost grows with one thing.

    Attributes:
        what: The cost, with its unit.
        by: What grows.
        form: "flat", "straight" or "as on paper".
        paper: The formula.
        points: Where it was measured.
        measured: Medians.
        expected: What the formula says, brought to the unit by one factor and one constant.
    """

    what: str
    by: str
    form: str
    paper: str
    points: list[float]
    measured: list[float]
    expected: list[float]

    @property
    def bend(self) -> float:
        """Say how far the curve bends; 1 is not at all."""
        if self.form == "flat":
            return self.measured[-1] / self.measured[0]
        if self.form == "as on paper":
            return (self.measured[-1] / self.expected[-1]) / (self.measured[0] / self.expected[0])
        half = len(self.points) // 2
        lower = slope(self.points[: half + 1], self.measured[: half + 1])
        return slope(self.points[half:], self.measured[half:]) / lower


def main() -> None:
    """Measure, draw and print."""
    given = arguments()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        curves = measure(Path(folder), given.runs)
    if given.plot:
        draw(curves, given.plot)
    show(report_of(curves), as_json=given.json)


def arguments() -> argparse.Namespace:
    """Read `--plot` beside what every script is told."""
    return options(__doc__, plot=True)


def measure(folder: Path, runs: int = RUNS) -> list[Curve]:
    """Measure every curve."""
    at = write_bert(folder / "backbone", layers=LAYERS, size=768)
    backbone = open_backbone(at, precision="float32")
    return [
        loaded(backbone, "languages", LANGUAGES, runs),
        memory(backbone),
        loaded(backbone, "tasks", TASKS, runs),
        fused(backbone, runs),
        long(backbone, runs),
        planned(folder, runs),
    ]


def loaded(backbone: Backbone, by: str, points: Sequence[int], runs: int) -> Curve:
    """Time a prediction with one of many adapters that are loaded."""
    batch = ours.random_rows(TEXTS, LENGTH)
    sides = {}
    for count in points:
        all_of_them = [ours.predictor(backbone, f"a{number}") for number in range(count)]
        sides[count] = _first_of(all_of_them, batch)
    measured = _milliseconds(sides, runs)
    flat = [middle(measured)] * len(points)
    return _curve("prediction, one in use (ms)", by, "flat", "c", points, measured, flat)


def _first_of(predictors: list[ours.Predictor], batch: list[ours.Encoded]) -> Callable[[], object]:
    return lambda: predictors[-1].logits(batch)


def memory(backbone: Backbone) -> Curve:
    """Count the bytes of the adapters of many languages."""
    sizes = []
    for count in LANGUAGES:
        adapters = [ours.random_adapter(backbone, ours.LOW, seed=n) for n in range(count)]
        each = [t.numel() * t.element_size() for one in adapters for t in one.tensors().values()]
        sizes.append(sum(each) / 2**20)
    paper = "layers (2 d r + r + d) 4 bytes x languages"
    one = LAYERS * (2 * 768 * ours.WIDTH + ours.WIDTH + 768) * 4 / 2**20
    expected = [one * count for count in LANGUAGES]
    return _curve("adapters (MiB)", "languages", "straight", paper, LANGUAGES, sizes, expected)


def fused(backbone: Backbone, runs: int) -> Curve:
    """Time a prediction with a fusion of more and more members."""
    batch = ours.random_rows(TEXTS, LENGTH)
    sides = {}
    for members in MEMBERS:
        names = ", ".join(f"a{number}" for number in range(members))
        sides[members] = _predicts(backbone, f"fuse({names})", batch)
    measured = _milliseconds(sides, runs)
    return _curve(
        "prediction with a fusion (ms)",
        "members",
        "straight",
        "layers (24 d^2 + 6 d r x members), a token",
        MEMBERS,
        measured,
        fitted(MEMBERS, measured),
    )


def long(backbone: Backbone, runs: int) -> Curve:
    """Time texts of growing length, as many tokens in all; a token's cost is that of a text."""
    sides = {}
    for tokens in TOKENS:
        batch = ours.random_rows(max(TOKENS) // tokens, tokens)
        sides[tokens] = _predicts(backbone, "a0", batch)
    measured = _milliseconds(sides, runs)
    shape = Shape(layers=LAYERS, size=768, wide=3072, width=ours.WIDTH)
    paper = [forward(shape, tokens=max(TOKENS), length=tokens) for tokens in TOKENS]
    factor = measured[0] / paper[0]
    return _curve(
        f"prediction, {max(TOKENS)} tokens in all (ms)",
        "tokens a text",
        "as on paper",
        "layers (24 d^2 + 4 d r + 4 d x tokens), a token",
        TOKENS,
        measured,
        [factor * one for one in paper],
    )


def planned(folder: Path, runs: int) -> Curve:
    """Time `composer plan` of recipes with more and more stages."""
    from cli import COMPOSER, command, large_recipe

    sides, counts = {}, []
    for languages, tasks in STAGES:
        recipe = folder / f"plan{languages}.yaml"
        recipe.write_text(large_recipe(languages, tasks))
        words = ["plan", str(recipe)]
        told = subprocess.run([str(COMPOSER), *words], capture_output=True, text=True, cwd=folder)
        counts.append(stages_in(told.stdout))
        sides[counts[-1]] = command(words)
    seconds = in_turn(sides, runs=runs)
    measured = [middle(seconds[count]) for count in counts]
    expected = fitted(counts, measured)
    return _curve("composer plan (s)", "stages", "straight", "a + b n", counts, measured, expected)


def stages_in(told: str) -> int:
    r"""Read the number of stages off a printed plan.

    >>> stages_in("60 languages\n304 stages, 304 to do")
    304
    """
    found = re.search(r"([\d,]+) stages", told)
    if found is None:
        raise SystemExit(f"no number of stages in:\n{told[-2000:]}")
    return int(found[1].replace(",", ""))


def _predicts(backbone: Backbone, expression: str, batch: list) -> Callable[[], object]:
    one = ours.predictor(backbone, expression)
    return lambda: one.logits(batch)


def _milliseconds(sides: Mapping[int, Callable[[], object]], runs: int) -> list[float]:
    """Time sides in turn, three calls at a time."""
    times = 3
    repeated = {point: timed(_repeat(work, times)) for point, work in sides.items()}
    seconds = in_turn(repeated, runs=runs)
    return [1000 * middle(seconds[point]) / times for point in sides]


def _repeat(work: Callable[[], object], times: int) -> Callable[[], object]:
    return lambda: [work() for _ in range(times)]


def _curve(
    what: str,
    by: str,
    form: str,
    paper: str,
    points: Sequence[float],
    measured: Sequence[float],
    expected: Sequence[float],
) -> Curve:
    return Curve(
        what=what,
        by=by,
        form=form,
        paper=paper,
        points=list(points),
        measured=[round(one, 4) for one in measured],
        expected=[round(one, 4) for one in expected],
    )


def slope(points: Sequence[float], values: Sequence[float]) -> float:
    """Fit a straight line and give its slope.

    >>> slope([0, 1, 2], [1, 3, 5])
    2.0
    """
    mean, level = sum(points) / len(points), sum(values) / len(values)
    above = sum((p - mean) * (v - level) for p, v in zip(points, values, strict=True))
    return above / sum((p - mean) ** 2 for p in points)


def fitted(points: Sequence[float], values: Sequence[float]) -> list[float]:
    """Give the straight line that is nearest."""
    rise = slope(points, values)
    start = sum(values) / len(values) - rise * sum(points) / len(points)
    return [start + rise * point for point in points]


def report_of(curves: Sequence[Curve]) -> Report:
    """Make rows of the curves; the headline is the worst bend."""
    rows = [_row(curve) for curve in curves]
    question = __doc__.splitlines()[0]
    worst = max(one.ratio for one in rows)
    return Report(question=question, rows=rows, ratio=worst, curves=[asdict(one) for one in curves])


def _row(curve: Curve) -> Row:
    first, last = curve.measured[0], curve.measured[-1]
    return row(
        f"{curve.what}, {curve.by} {curve.points[0]} to {curve.points[-1]}",
        [curve.bend],
        over=curve.form,
        most=BEND,
        detail=f"{first:.3g} to {last:.3g}; on paper {curve.paper}",
    )


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Draw every curve, measured and on paper."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "composer", "font.size": 9}
    columns = 3
    down = -(-len(curves) // columns)
    figure, places = pyplot.subplots(down, columns, figsize=(10, 3 * down), layout="constrained")
    for curve, place in zip(curves, places.flat, strict=False):
        place.plot(curve.points, curve.expected, "--", color="0.6", label="on paper")
        place.plot(curve.points, curve.measured, "o-", markersize=3, label="measured")
        place.set_xlabel(curve.by)
        place.set_title(curve.what, fontsize=9)
        place.set_ylim(0, 1.3 * max(*curve.measured, *curve.expected))
        place.set_xlim(left=0)
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
    places.flat[0].legend(frameon=False, loc="lower right")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
