"""The graph of stages as a drawing, with stages put together until it can be read.

Scores of one composition are always one node. If that leaves too many, languages are put
together, then trials of a comparison, and at last all stages of a kind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from composer.report.graph import nearest_needs
from composer.report.layout import number_of
from composer.report.page.charts import shortened
from composer.report.page.facts import Facts
from composer.report.page.groups import STATES, group_title, kind_of
from composer.report.page.layered import Layered, lay_out

NODES = 28  # that are read at a glance
_WIDE, _HIGH = 160, 40  # of a node
_GAP_X, _GAP_Y = 40, 14
_MARGIN = 8

Grouping = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node.

    Attributes:
        name: Of the stage, or of the group.
        lines: What stands in it.
        state: done, run or stale; partly: some of its stages are done.
        x: Of its left side.
        y: Of its upper side.
        needs: Names of the nodes that it has arrows from.
        said: All of it in words.
    """

    name: str
    lines: tuple[str, str]
    state: str
    x: float
    y: float
    needs: tuple[str, ...]
    said: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The graph.

    Attributes:
        nodes: In the order of the plan.
        arrows: Paths of an SVG.
        width: Of the drawing.
        height: Likewise.
        node_width: Of every node.
        node_height: Likewise.
    """

    nodes: tuple[Node, ...]
    arrows: tuple[str, ...]
    width: int
    height: int
    node_width: int = _WIDE
    node_height: int = _HIGH


def draw_stages(facts: Facts) -> Drawing:
    """Draw the stages of a plan."""
    nearest = nearest_needs(facts.plan)
    groups, needs, laid = _readable(list(facts.plan.by_name), nearest)
    nodes = tuple(
        _node(facts, name, stages, laid, tuple(needs[name])) for name, stages in groups.items()
    )
    return Drawing(
        nodes=nodes,
        arrows=tuple(_path(way) for way in laid.arrows.values()),
        width=2 * _MARGIN + laid.columns * _WIDE + max(0, laid.columns - 1) * _GAP_X,
        height=2 * _MARGIN + laid.rows * _HIGH + max(0, laid.rows - 1) * _GAP_Y,
    )


def _readable(
    stages: Sequence[str], nearest: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[str]], dict[str, list[str]], Layered]:
    """Put stages together as little as is needed for a graph that can be read."""
    found = None
    for grouping in (_by_scores, _by_languages, _by_kind):
        try:
            groups, needs = _put_together(stages, nearest, grouping)
            found = groups, needs, lay_out(needs)
        except CycleError:  # put together so, groups would need each other
            continue
        if len(groups) <= NODES:
            break
    if found is None:  # stages themselves never need each other
        groups, needs = _put_together(stages, nearest, str)
        found = groups, needs, lay_out(needs)
    return found


def _put_together(
    stages: Sequence[str], nearest: Mapping[str, Sequence[str]], grouping: Grouping
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Give the stages of each group, and the groups that it rests on most nearly."""
    groups: dict[str, list[str]] = {}
    needs: dict[str, dict[str, None]] = {}
    for name in stages:
        group = grouping(name)
        groups.setdefault(group, []).append(name)
        for need in map(grouping, nearest[name]):
            if need != group:
                needs.setdefault(group, {})[need] = None
    under: dict[str, set[str]] = {}
    for group in TopologicalSorter({one: needs.get(one, {}) for one in groups}).static_order():
        own = needs.get(group, {})
        under[group] = {*own, *(one for need in own for one in under[need])}
    reduced = {
        group: [
            need
            for need in needs.get(group, {})
            if not any(need in under[other] for other in needs[group])
        ]
        for group in groups
    }
    return groups, reduced


def _by_scores(name: str) -> str:
    """Put the languages of one composition's scores together, and trials of a comparison.

    >>> _by_scores("evaluation/far/intent/de"), _by_scores("language/de")
    ('evaluation/far/intent', 'language/de')
    """
    kind, *names = name.split("/")
    if group_title(name).startswith("Comparison"):
        return f"{kind}/{names[0]}"
    if kind in ("evaluation", "language-loss"):
        return name.rpartition("/")[0] if kind == "evaluation" else kind
    return name


def _by_languages(name: str) -> str:
    return "language" if kind_of(name) == "language" else _by_scores(name)


def _by_kind(name: str) -> str:
    """Put all of a kind together; of an evaluation and a comparison, what is of one name."""
    kind, *names = name.split("/")
    return f"{kind}/{names[0]}" if kind in ("evaluation", "trial", "choice", "repeat") else kind


def _node(
    facts: Facts, name: str, stages: Sequence[str], laid: Layered, needs: tuple[str, ...]
) -> Node:
    done = sum(one in facts.folders for one in stages)
    states = sorted({facts.statuses[one].state for one in stages})
    state = "done" if done == len(stages) else "partly" if done else states[0]
    kind, _, rest = name.partition("/")
    if stages == [name]:
        how_far = "" if state == "done" else STATES.get(state, state)
    elif state == "done":
        by_language = kind == "language" or (kind == "evaluation" and "/" in rest)
        how_far = number_of(done, "language" if by_language else "stage")
    else:
        how_far = f"{done} of {len(stages)} done"
    under = ", ".join(one for one in (kind if rest else "", how_far) if one)
    return Node(
        name=name,
        lines=(shortened(rest or kind, 22), shortened(under, 27)),
        state=state,
        x=_MARGIN + laid.column[name] * (_WIDE + _GAP_X),
        y=round(_MARGIN + laid.slot[name] * (_HIGH + _GAP_Y), 1),
        needs=needs,
        said=f"{name}: {how_far or state}",
    )


def _path(way: Sequence[tuple[int, float]]) -> str:
    """Draw an arrow: a curve from column to column, straight through the bends."""
    x, y = _out(way[0])
    parts = [f"M{x:g} {y:g}"]
    for number, place in enumerate(way[1:], start=1):
        end_x, end_y = _into(place)
        middle = (x + end_x) / 2
        parts.append(f"C{middle:g} {y:g} {middle:g} {end_y:g} {end_x:g} {end_y:g}")
        if number < len(way) - 1:
            x, y = end_x + _WIDE, end_y
            parts.append(f"H{x:g}")
    return "".join(parts)


def _out(place: tuple[int, float]) -> tuple[float, float]:
    x, y = _into(place)
    return x + _WIDE, y


def _into(place: tuple[int, float]) -> tuple[float, float]:
    column, slot = place
    return (
        float(_MARGIN + column * (_WIDE + _GAP_X)),
        round(_MARGIN + slot * (_HIGH + _GAP_Y) + _HIGH / 2, 1),
    )
