"""Axes of charts: where ticks stand, and how a value becomes a place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        low: Value at its start.
        high: Value at its end; larger.
        start: Place of its start, in units of the drawing.
        end: Place of its end; may be smaller.
        logarithmic: Whether equal steps are equal factors.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Give the place of a value, to a tenth."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, number: int = 5) -> tuple[tuple[float, str], ...]:
        """Give places and words of some round values."""
        if self.logarithmic:
            values = _powers(self.low, self.high, number)
            return tuple((self.at(one), short_number(one)) for one in values)
        values = round_values(self.low, self.high, number)
        step = values[1] - values[0] if len(values) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        large = max(map(abs, values), default=0.0) >= 10_000
        return tuple(
            (self.at(one), short_number(one) if large else f"{one:.{digits}f}") for one in values
        )


def axis_over(
    values: Sequence[float], start: float, end: float, *, logarithmic: bool = False
) -> Axis:
    """Give an axis with some air around its values.

    Args:
        values: That are to be shown; finite, positive where it is logarithmic.
        start: Place of its start.
        end: Place of its end.
        logarithmic: Whether equal steps are equal factors.
    """
    low, high = min(values), max(values)
    if logarithmic:
        air = max((high / low) ** 0.08, 1.15)
        return Axis(low=low / air, high=high * air, start=start, end=end, logarithmic=True)
    air = (high - low) * 0.06 or max(abs(high) * 0.1, 0.05)
    return Axis(low=low - air, high=high + air, start=start, end=end)


def round_values(low: float, high: float, number: int) -> list[float]:
    """List about so many round values from low to high.

    >>> round_values(0.31, 0.64, 4)
    [0.4, 0.5, 0.6]
    """
    rough = (high - low) / number
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(one * step, 10) for one in range(first, last + 1)]


def _powers(low: float, high: float, number: int) -> list[float]:
    """List values of one digit in a logarithmic range, as few kinds as are enough."""
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [digit * 10.0**power for power in span for digit in digits]
        found = [one for one in found if low <= one <= high]
        if len(found) >= min(number, 3):
            break
    return found[:: -(-len(found) // (number + 2))] if found else []


def short_number(number: float) -> str:
    """Write a number where there is little room.

    >>> short_number(64.0), short_number(300_000.0), short_number(2_430_000.0), short_number(0.5)
    ('64', '300 k', '2.43 M', '0.5')
    """
    for unit, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if abs(number) >= scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number:.3g}"


def spread(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move places apart by at least a gap, as little as that takes, between two ends.

    >>> spread([10, 11, 50], gap=8, low=0, high=100)
    [6.5, 14.5, 50.0]
    """
    order = sorted(range(len(places)), key=lambda at: (places[at], at))
    gap = min(gap, (high - low) / max(1, len(places) - 1))
    blocks: list[list[float]] = []  # first place, and how many stand together
    for at in order:
        blocks.append([float(places[at]), 1.0])
        while len(blocks) > 1 and blocks[-2][0] + blocks[-2][1] * gap > blocks[-1][0]:
            last, one = blocks.pop(), blocks.pop()
            number = one[1] + last[1]
            centre = (
                (one[0] + (one[1] - 1) * gap / 2) * one[1]
                + (last[0] + (last[1] - 1) * gap / 2) * last[1]
            ) / number
            blocks.append([centre - (number - 1) * gap / 2, number])
    found = [first + gap * n for first, number in blocks for n in range(int(number))]
    shift = max(0.0, low - min(found, default=low))
    found = [min(one + shift, high - gap * (len(found) - 1 - n)) for n, one in enumerate(found)]
    placed = dict(zip(order, found, strict=True))
    return [round(max(placed[at], low), 1) for at in range(len(places))]
