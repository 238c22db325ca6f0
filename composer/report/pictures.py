"""The one door to matplotlib: pictures of comparisons, as SVG of the same bytes every time.

    main-parameters.svg      score against trainable parameters, a panel a task and one of means
    main-width.svg           against the width of the bottleneck, a line for what else is equal
    main-middle_layers.svg   against the number of middle layers, likewise

Bars are a standard deviation over the seeds to each side. The ground is transparent and the ink
a grey between black and white, so that a page may be light or dark. A picture that has nothing
to compare, such as widths where all methods have one width, is not drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.errors import MissingExtraError
from composer.report.comparison import Comparison, Method, Scores

Figure = Any  # matplotlib's, which tests and type checks do without
Axes = Any

INK = "#7d7d7d"
# Told apart by all eyes, in the order of Okabe and Ito's; none is near white or near black.
COLOURS = ("#2f8fd0", "#e08a00", "#15a37a", "#cc79a7", "#dd5a2a", "#8a7be0")
MARKERS = "osD^vP"
STYLE: Any = {
    "svg.hashsalt": "composer",  # ids in the file come from it, and not from a random number
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
    ),
}
_PANEL = (2.6, 2.4)  # inches
_COLUMNS = 3
_WIDE = 8  # times the smallest number the largest is, where an axis is better logarithmic


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that a line joins, or one point.

    Attributes:
        label: In the legend.
        points: Place on the axis -> the method that stands there, in ascending order.
    """

    label: str
    points: Mapping[float, Method]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What one picture shows.

    Attributes:
        name: Last part of its file's name.
        axis: What methods are placed by.
        series: Each in a colour of its own.
        logarithmic: Whether the axis may be, where it spans much.
    """

    name: str
    axis: str
    series: tuple[Series, ...]
    logarithmic: bool = False


def draw_comparisons(comparisons: Sequence[Comparison], folder: Path) -> Iterator[Path]:
    """Draw what is measured of comparisons; give the files, one by one.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for comparison in comparisons:
        for picture in pictures_of(comparison):
            path = folder / f"{comparison.name}-{picture.name}.svg"
            _draw(comparison, picture, path)
            yield path


def pictures_of(comparison: Comparison) -> list[Picture]:
    """Say what there is to be drawn: a picture needs two methods in different places."""
    measured = [
        one
        for one in comparison.methods
        if any(comparison.measured[one.name, task].scores.by_seed for task in comparison.tasks)
    ]
    by_width = list(_joined(measured, "width"))
    by_depth = list(_joined(measured, "middle_layers"))
    pictures = [
        Picture(
            name="parameters",
            axis="trainable parameters",
            series=tuple(_by_parameters(measured, by_width)),
            logarithmic=True,
        ),
        Picture(name="width", axis="width", series=tuple(by_width), logarithmic=True),
        Picture(name="middle_layers", axis="middle layers", series=tuple(by_depth)),
    ]
    return [one for one in pictures if len(_places(one)) > 1]


def _places(picture: Picture) -> set[float]:
    return {place for one in picture.series for place in one.points}


def _by_parameters(methods: Sequence[Method], by_width: Sequence[Series]) -> Iterator[Series]:
    """Place methods by their parameters: those of several widths as a line, others alone."""
    lines = [(one.label, list(one.points.values())) for one in by_width]
    joined = {method.name for _, those in lines for method in those}
    lines += [(method.name, [method]) for method in methods if method.name not in joined]
    for label, those in lines:
        points = {float(method.parameters): method for method in those if method.parameters}
        if points:
            yield Series(label=label, points=points)


def _joined(methods: Sequence[Method], key: str) -> Iterator[Series]:
    """Join the methods that differ in one key only, and leave out those that stand alone."""
    together: dict[str, dict[float, Method]] = {}
    for method in methods:
        values = _axes(method)
        place = values.pop(key, None)
        if isinstance(place, int):
            together.setdefault(repr(sorted(values.items(), key=str)), {})[place] = method
    for points in together.values():
        if len(points) > 1:
            ordered = dict(sorted(points.items()))
            yield Series(label=_common(list(ordered.values()), key), points=ordered)


def _axes(method: Method) -> dict[str, object]:
    """Give a shape's settings; a bottleneck is an MAdapter of no middle layers."""
    values: dict[str, object] = method.shape.model_dump(mode="json")
    if values["kind"] == "bottleneck":
        values |= {"kind": "madapter", "middle_layers": 0}
    return values


def _common(methods: Sequence[Method], key: str) -> str:
    """Name a line through middle layers by the width, and one through widths by the kind."""
    values = _axes(methods[0])
    if key == "middle_layers" and isinstance(values.get("width"), int):
        return f"width {values['width']}"
    layers = values.get("middle_layers")
    kind = methods[0].shape.kind
    several = isinstance(layers, int) and layers > 1
    return f"{kind}, {layers} middle layers" if several else kind


def _draw(comparison: Comparison, picture: Picture, path: Path) -> None:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            library="matplotlib", needed_for="drawing a comparison", extra="pictures"
        ) from error
    panels = [*comparison.tasks, *(["mean"] if len(comparison.tasks) > 1 else [])]
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.5), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for panel, at in zip(panels, axes, strict=False):
            _panel(at, comparison, picture, panel)
        for left in axes[len(panels) :]:
            left.remove()
        _finish(figure, comparison, picture, path)


def _panel(at: Axes, comparison: Comparison, picture: Picture, panel: str) -> None:
    """Draw one task, or the mean of all."""
    for number, series in enumerate(picture.series):
        found = [
            (place, _scores(comparison, method, panel)) for place, method in series.points.items()
        ]
        known = [(place, one.mean, one.deviation or 0.0) for place, one in found if one.by_seed]
        if not known:
            continue
        places, means, bars = zip(*known, strict=True)
        colour = COLOURS[number % len(COLOURS)]
        marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
        at.errorbar(places, means, yerr=bars, color=colour, marker=marker, markersize=5,
                    linewidth=1.2, capsize=3, label=series.label)  # fmt: skip
    score = comparison.measured[comparison.methods[0].name, comparison.tasks[0]].score
    if panel in comparison.tasks:
        score = comparison.measured[comparison.methods[0].name, panel].score
    at.set_title(panel if panel == "mean" else f"{panel}: {score}", fontsize=9)
    _axis(at, picture)
    at.margins(x=0.15, y=0.2)
    at.grid(visible=True, axis="y", color=INK, alpha=0.25, linewidth=0.6)


def _axis(at: Axes, picture: Picture) -> None:
    """Put ticks where there are methods; parameters are too close for that, and many."""
    places = sorted(_places(picture))
    if picture.logarithmic and places[-1] > _WIDE * places[0]:
        at.set_xscale("log")
    if picture.name == "parameters":
        from matplotlib.ticker import MaxNLocator

        if at.get_xscale() == "log":
            places = [n * 10.0**e for e in range(12) for n in (1, 3)]
        else:
            locator = MaxNLocator(3, steps=[1, 2, 5, 10])
            places = [*locator.tick_values(places[0], places[-1])]
        places = [place for place in places if at.get_xlim()[0] <= place <= at.get_xlim()[1]]
    at.set_xticks(places, [_short(place) for place in places])
    at.set_xticks([], minor=True)


def _short(number: float) -> str:
    """Write a number where there is little room.

    >>> _short(64.0), _short(300_000.0), _short(2_500_000.0)
    ('64', '300 k', '2.5 M')
    """
    for unit, scale in ((" M", 1e6), (" k", 1e3)):
        if number >= scale:
            return f"{number / scale:g}{unit}"
    return f"{number:g}"


def _scores(comparison: Comparison, method: Method, panel: str) -> Scores:
    if panel in comparison.tasks:
        return comparison.measured[method.name, panel].scores
    return comparison.average(method.name)


def _finish(figure: Figure, comparison: Comparison, picture: Picture, path: Path) -> None:
    """Add what all panels share, and write the file."""
    figure.supxlabel(picture.axis, fontsize=9)
    figure.supylabel(f"score ({comparison.split})", fontsize=9)
    labels: dict[str, object] = {}
    for at in figure.axes:
        for handle, label in zip(*at.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    figure.legend(
        labels.values(), labels.keys(), loc="outside upper center", ncols=4, frameon=False
    )
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
