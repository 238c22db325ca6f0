"""A graph without cycles in columns: what needs something stands to the right of it.

After Sugiyama, Tagawa and Toda (1981): columns by the longest way from the left, a bend in every
column that an arrow passes, and an order within columns that crosses few arrows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

_SWEEPS = 8


@dataclass(frozen=True, kw_only=True)
class Layered:
    """Where nodes stand, and through which slots arrows go.

    Attributes:
        column: Node -> its column, from 0.
        slot: Node -> its place in the column, in rows from the top; may be a half.
        arrows: (from, to) -> (column, slot) of both ends and of all bends between.
        columns: How many.
        rows: Of the highest column.
    """

    column: Mapping[str, int]
    slot: Mapping[str, float]
    arrows: Mapping[tuple[str, str], tuple[tuple[int, float], ...]]
    columns: int
    rows: int


def lay_out(needs: Mapping[str, Sequence[str]]) -> Layered:
    """Lay out nodes.

    Args:
        needs: Node -> the nodes that it has arrows from.

    Raises:
        graphlib.CycleError: Nodes need each other.
    """
    column: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        column[name] = max((column[one] + 1 for one in needs[name]), default=0)
    ways = {(need, name): _way(need, name, column) for name in needs for need in needs[name]}
    links = [pair for way in ways.values() for pair in zip(way, way[1:], strict=False)]
    width = max(column.values(), default=-1) + 1
    places: list[list[str]] = [[] for _ in range(width)]
    for name in needs:
        places[column[name]].append(name)
    for (need, _), way in ways.items():
        for number, bend in enumerate(way[1:-1], start=1):
            places[column[need] + number].append(bend)
    _order(places, links)
    rows = max(map(len, places), default=0)
    slot = {
        name: place + (rows - len(names)) / 2
        for names in places
        for place, name in enumerate(names)
    }
    where = {name: number for number, names in enumerate(places) for name in names}
    return Layered(
        column=column,
        slot={name: slot[name] for name in needs},
        arrows={pair: tuple((where[one], slot[one]) for one in way) for pair, way in ways.items()},
        columns=width,
        rows=rows,
    )


def _way(start: str, end: str, column: Mapping[str, int]) -> tuple[str, ...]:
    """List the nodes of an arrow: its ends, and a bend in each column between."""
    between = range(column[start] + 1, column[end])
    return (start, *(f"{start}\n{end}\n{number}" for number in between), end)


def _order(places: list[list[str]], links: Sequence[tuple[str, str]]) -> None:
    """Sort each column by the mean place of what its nodes are joined to, to and fro."""
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for one, other in links:
        left.setdefault(other, []).append(one)
        right.setdefault(one, []).append(other)
    for sweep in range(_SWEEPS):
        to_right = sweep % 2 == 0
        for number in range(len(places)) if to_right else reversed(range(len(places))):
            beside = number - 1 if to_right else number + 1
            if not 0 <= beside < len(places):
                continue
            scale = max(1, len(places[beside]) - 1)
            rank = {name: place / scale for place, name in enumerate(places[beside])}
            joined = left if to_right else right
            own = {name: place / max(1, len(places[number]) - 1)
                   for place, name in enumerate(places[number])}  # fmt: skip

            def mean(
                name: str,
                joined: Mapping[str, list[str]] = joined,
                rank: Mapping[str, float] = rank,
                own: Mapping[str, float] = own,
            ) -> float:
                found = [rank[one] for one in joined.get(name, ())]
                return sum(found) / len(found) if found else own[name]

            places[number].sort(key=mean)
