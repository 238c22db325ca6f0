"""Charts as places in a drawing; the template writes them down as SVG.

A chart is as wide as a narrow phone, so that its letters are read at the size they are set in.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from composer.report.page.axes import Axis, axis_over, spread

WIDTH, HEIGHT = 340, 220
COLOURS = 8  # of lines that are told apart
_TOP, _BOTTOM, _LEFT = 12, 186, 46
_RIGHT_LABELLED, _RIGHT = 234, 328
_LABEL_GAP = 13.0
_LABEL_LETTERS = 13
_POINTS = 20_000  # of all lines of a chart
_LETTER, _LINE = 6.6, 13.0  # width and height of a label's letter, about
_LINES = 300  # that are drawn at most
_MANY = "{} trainings; named are those that end lowest, in the middle and highest."

Values = Sequence[tuple[float, float]]
Ticks = tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart.

    Attributes:
        name: In full.
        label: At its end, as long as there is room for; empty: none.
        label_y: Where.
        path: Of an SVG.
        end: Of the path.
        colour: Number of its colour; 0: grey, one of many.
    """

    name: str
    label: str
    label_y: float
    path: str
    end: tuple[float, float]
    colour: int


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """Values over epochs.

    Attributes:
        title: What is shown.
        x_label: What is counted.
        lines: Those of many first, so that others lie on them.
        x_ticks: Places and words.
        y_ticks: Likewise.
        right: Where the axis ends.
    note: What is to be known of it; empty: nothing.
    """

    title: str
    x_label: str
    lines: tuple[Line, ...]
    x_ticks: Ticks
    y_ticks: Ticks
    right: float
    note: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a scatter chart.

    Attributes:
        name: Of what it shows.
        x: Place.
        y: Place.
        bar: Places of the ends of its interval; None: it has none.
        said: Its numbers, in words.
        label: Beside it.
        label_x: Where.
        label_y: Where.
        anchor: Of the label: start, middle or end.
        colour: Number of its colour.
    """

    name: str
    x: float
    y: float
    bar: tuple[float, float] | None
    said: str
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0
    anchor: str = "start"
    colour: int = 1


@dataclass(frozen=True, kw_only=True)
class ScatterChart:
    """Scores against parameters.

    Attributes:
        title: What is shown.
        x_label: What stands below.
        points: In the order given.
        x_ticks: Places and words.
        y_ticks: Likewise.
    """

    title: str
    x_label: str
    points: tuple[Point, ...]
    x_ticks: Ticks
    y_ticks: Ticks


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A value that a scatter chart is to show.

    Attributes:
        name: Beside it.
        x: Value.
        y: Value.
        low: Of its interval; None: it has none.
        high: Likewise.
        said: Its numbers, in words.
    """

    name: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    said: str = ""


def line_chart(title: str, series: Mapping[str, Values], *, x_label: str) -> LineChart | None:
    """Draw lines, each named at its end; of many, only the lowest, middle and highest are named.

    None: there is nothing to draw.
    """
    known = {name: _finite(values) for name, values in series.items()}
    known = {name: _thinned(values, len(known)) for name, values in known.items() if values}
    if not known:
        return None
    right = float(_RIGHT_LABELLED)
    everything = [point for values in known.values() for point in values]
    x_axis = axis_over([x for x, _ in everything], _LEFT, right)
    y_axis = axis_over([y for _, y in everything], _BOTTOM, _TOP)
    named, drawn = _named(known), _drawn(known)
    lines = [
        _line(name, values, x_axis, y_axis, named.index(name) + 1 if name in named else 0)
        for name, values in known.items()
        if name in drawn or name in named
    ]
    lines = [*(one for one in lines if not one.colour), *(one for one in lines if one.colour)]
    return LineChart(
        title=title,
        x_label=x_label,
        lines=tuple(_labelled(lines)),
        x_ticks=tuple(tick for tick in x_axis.ticks(5) if "." not in tick[1]),
        y_ticks=y_axis.ticks(),
        right=right,
        note="" if len(known) <= COLOURS else _MANY.format(len(known)),
    )


def scatter_chart(title: str, dots: Sequence[Dot], *, x_label: str) -> ScatterChart | None:
    """Draw points with their names; None: there are fewer than two."""
    known = [one for one in dots if math.isfinite(one.x) and math.isfinite(one.y) and one.x > 0]
    if len(known) < 2:
        return None
    xs = [one.x for one in known]
    ys = [y for one in known for y in (one.y, one.low, one.high) if y is not None]
    x_axis = axis_over(xs, _LEFT, _RIGHT, logarithmic=max(xs) > 8 * min(xs))
    y_axis = axis_over(ys, _BOTTOM, _TOP)
    points: list[Point] = []
    for number, one in enumerate(known):
        bar = None
        if one.low is not None and one.high is not None:
            bar = (y_axis.at(one.low), y_axis.at(one.high))
        x, y = x_axis.at(one.x), y_axis.at(one.y)
        colour = number % COLOURS + 1
        points.append(Point(name=one.name, x=x, y=y, bar=bar, said=one.said, colour=colour))
    return ScatterChart(
        title=title,
        x_label=x_label,
        points=tuple(_beside(points)),
        x_ticks=x_axis.ticks(),
        y_ticks=y_axis.ticks(),
    )


def shortened(name: str, letters: int = _LABEL_LETTERS) -> str:
    """Cut a name where there is no room for it.

    >>> shortened("few-shot"), shortened("language-heads/shared")
    ('few-shot', 'language-hea…')
    """
    return name if len(name) <= letters else name[: letters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _finite(values: Values) -> Values:
    return [(x, y) for x, y in values if math.isfinite(x) and math.isfinite(y)]


def _thinned(values: Values, lines: int) -> Values:
    """Leave points out where there are more than a drawing shows; the last one stays."""
    step = -(-len(values) // max(2, min(300, _POINTS // lines)))
    return [*values[:-1:step], values[-1]]


def _named(series: Mapping[str, Values]) -> list[str]:
    """List the lines that have a colour and a name: all, or three of many."""
    if len(series) <= COLOURS:
        return list(series)
    order = sorted(series, key=lambda name: series[name][-1][1])
    return [order[0], order[len(order) // 2], order[-1]]


def _drawn(series: Mapping[str, Values]) -> set[str]:
    """List the lines that are drawn: of very many, some from the lowest to the highest."""
    order = sorted(series, key=lambda name: series[name][-1][1])
    return set(order[:: -(-len(order) // _LINES)])


def _line(name: str, values: Values, x_axis: Axis, y_axis: Axis, colour: int) -> Line:
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in values]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
    label = shortened(name) if colour else ""
    return Line(name=name, label=label, label_y=0.0, path=path, end=places[-1], colour=colour)


def _labelled(lines: Sequence[Line]) -> list[Line]:
    named = [one for one in lines if one.label]
    places = spread(
        [one.end[1] for one in named], gap=_LABEL_GAP, low=_TOP + 4.0, high=_BOTTOM - 2.0
    )
    moved = {one.name: y for one, y in zip(named, places, strict=True)}
    return [replace(one, label_y=moved.get(one.name, 0.0)) for one in lines]


def _beside(points: Sequence[Point]) -> list[Point]:
    """Put each name where it covers no point, no interval and no other name, if there is room."""
    taken = [(one.x - 5, one.y - 5, one.x + 5, one.y + 5) for one in points]
    taken += [(one.x - 2, min(one.bar), one.x + 2, max(one.bar)) for one in points if one.bar]
    found = []
    for one in points:
        label = shortened(one.name, 22)
        wide = len(label) * _LETTER
        for x, y, anchor in _around(one):
            left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
            box = (left, y - _LINE + 3, left + wide, y + 3)
            inside = box[0] >= _LEFT and box[2] <= WIDTH and _TOP - 8 <= box[1] <= box[3] <= _BOTTOM
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                found.append(replace(one, label=label, label_x=x, label_y=y, anchor=anchor))
                break
        else:
            found.append(one)
    return found


def _around(one: Point) -> list[tuple[float, float, str]]:
    """List places for a name: beside the point, over and under its bar, then farther off."""
    x, y = one.x, one.y
    top, bottom = (min(one.bar), max(one.bar)) if one.bar else (y - 4, y + 4)
    near = [(x + 8, y + 4, "start"), (x - 8, y + 4, "end")]
    near += [(x, top - 5, "middle"), (x, bottom + 12, "middle")]
    far = (18.0, -14.0, 32.0, -28.0, 46.0, -42.0)
    return [*near, *((x + dx, y + dy, anchor) for dy in far
                     for dx, anchor in ((8.0, "start"), (-8.0, "end")))]  # fmt: skip


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
