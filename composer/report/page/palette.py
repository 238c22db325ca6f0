"""Colours of the report, in light and dark: a ramp for heat maps, with ink that is read on it.

    h0 ... h20    from little to much: pale to dark blue on light pages, dark to pale on dark ones

One hue that changes in lightness only is read alike by all eyes, and printed in grey.
"""

from collections.abc import Iterator, Sequence

LEVELS = 20
RAMPS = {
    "light": ("#f2f6fa", "#a9cbe8", "#4a90c8", "#0d3f73"),
    "dark": ("#18222d", "#1f4e78", "#3d8fc9", "#c4e6ff"),
}
_INKS = ("#000000", "#ffffff")

Rgb = tuple[float, float, float]


def level(value: float, low: float, high: float) -> int:
    """Place a value on the ramp; what is outside stands at its end.

    >>> level(0.5, 0.0, 1.0), level(-3.0, 0.0, 1.0), level(1.0, 1.0, 1.0)
    (10, 0, 0)
    """
    if not high > low:
        return 0
    return round(LEVELS * min(1.0, max(0.0, (value - low) / (high - low))))


def ramp(theme: str) -> Iterator[tuple[str, str]]:
    """Give the colour of each level, and the ink for text on it.

    >>> next(ramp("light")), list(ramp("light"))[-1]
    (('#f2f6fa', '#000000'), ('#0d3f73', '#ffffff'))
    """
    for number in range(LEVELS + 1):
        colour = _between(RAMPS[theme], number / LEVELS)
        yield colour, max(_INKS, key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours, 1 to 21 (WCAG 2.2, contrast ratio).

    >>> contrast("#000000", "#ffffff"), contrast("#777777", "#777777")
    (21.0, 1.0)
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _between(stops: Sequence[str], share: float) -> str:
    place = share * (len(stops) - 1)
    at = min(int(place), len(stops) - 2)
    pair = zip(_rgb(stops[at]), _rgb(stops[at + 1]), strict=True)
    mixed = (255 * (one + (two - one) * (place - at)) for one, two in pair)
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def _luminance(colour: str) -> float:
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(colour))
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def _rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
