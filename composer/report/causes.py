"""Why a stage would be made, as people and machines read it."""

from collections.abc import Callable, Iterator

from composer.engine.planning.causes import (
    Link,
    Root,
    chain,
    find_stage,
    needed_by,
    rests_on,
    roots,
)
from composer.engine.planning.plan import Plan
from composer.engine.planning.reasons import Reason
from composer.report.planned import stage_values

_SHOWN = 12  # names of stages

Place = Callable[[Reason], str]


def why_values(plan: Plan, name: str, place: Place) -> dict[str, object]:
    """Give the causes of a stage as JSON has them."""
    planned = find_stage(plan, name)
    stage = planned.stage.name
    links = {one.stage: one for one in chain(plan, stage) if not one.again}
    return {
        **stage_values(planned),
        "roots": [
            {
                **one.reason.plain(),
                "text": str(one.reason),
                "place": place(one.reason) or None,
                "stages": list(one.stages),
            }
            for one in roots(plan, stage)
        ],
        "chain": [
            {"stage": name, "reasons": [str(one) for one in plan.by_name[name].reasons]}
            for name in links
        ],
        "rests_on": list(rests_on(plan, stage)),
        "needed_by": list(needed_by(plan, stage)),
    }


def why_lines(plan: Plan, name: str, place: Place) -> Iterator[str]:
    """Tell the causes of a stage: its state, the chain, the edits, and who rests on whom."""
    planned = find_stage(plan, name)
    stage = planned.stage.name
    yield f"{stage}: {_state(planned.state, planned.key)}"
    if planned.state != "done":
        links, causes = list(chain(plan, stage)), roots(plan, stage)
        if len(links) == len(causes) == 1:  # the chain and its root are one line
            yield from _root_lines(causes[0], place)
        else:
            yield ""
            yield from map(_link_line, links)
            yield ""
            yield "at the root:"
            for root in causes:
                yield from _root_lines(root, place)
    yield ""
    yield f"rests on: {_names(rests_on(plan, stage))}"
    yield f"needed by: {_names(needed_by(plan, stage))}"


def _link_line(link: Link) -> str:
    told = "; ".join(map(str, link.reasons)) or ("see above" if link.again else "")
    return "  " * link.depth + link.stage + (f": {told}" if told else "")


def _root_lines(root: Root, place: Place) -> Iterator[str]:
    where = place(root.reason)
    yield f"  {root.reason}{f'  ({where})' if where else ''}"
    yield f"    of {_names(root.stages)}"


def _state(state: str, key: str | None) -> str:
    if state == "done":
        return f"done, its result is {str(key)[:12]}; a run does not make it again"
    return "stale, a run makes it anew" if state == "stale" else "to be run"


def _names(stages: tuple[str, ...]) -> str:
    more = len(stages) - _SHOWN
    shown = ", ".join(stages[:_SHOWN]) or "nothing"
    return f"{shown} and {more} more" if more > 0 else shown
