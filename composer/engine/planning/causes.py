"""The chain from a stage that would be made to the edits at its root, and who rests on whom.

    bundle/home  <-  composition/few-shot  <-  task/intent  <-  training.epochs: 8 -> 4

A root is a reason of a stage's own, such as a changed key; "task/intent is made anew" is a link.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.engine.planning.plan import Plan, PlannedStage
from composer.engine.planning.reasons import Reason
from composer.errors import Fault, RecipeError
from composer.recipe.document.findings import nearest


@dataclass(frozen=True, kw_only=True)
class Root:
    """An edit, and the stages that it is a reason of itself, in the order of the plan."""

    reason: Reason
    stages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A line of the chain of causes.

    Attributes:
        depth: 0 for the stage that was asked about.
        stage: Whose reasons these are.
        reasons: Its own.
        again: Whether its reasons stand further up already.
    """

    depth: int
    stage: str
    reasons: tuple[Reason, ...]
    again: bool


def find_stage(plan: Plan, name: str) -> PlannedStage:
    """Find a stage by its whole name, or by its last word where that is clear.

    Raises:
        RecipeError: No stage, or more than one, is called that.
    """
    if name in plan.by_name:
        return plan.by_name[name]
    meant = [one for one in plan.stages if one.stage.name.endswith(f"/{name}")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        which = ", ".join(one.stage.name for one in meant[:5])
        message = f"{name!r} may mean {len(meant)} stages; say which: {which}"
    else:
        message = f"no stage is named {name!r}; {nearest(name, plan.by_name)}"
    raise RecipeError([Fault("command line", message)])


def rests_on(plan: Plan, name: str) -> tuple[str, ...]:
    """Name all stages that one needs, and that these need, in the order of the plan."""
    wanted = {name}
    for one in reversed(plan.stages):
        if one.stage.name in wanted:
            wanted |= set(one.stage.needs)
    return tuple(one.stage.name for one in plan.stages if one.stage.name in wanted - {name})


def needed_by(plan: Plan, name: str) -> tuple[str, ...]:
    """Name all stages that need one, and that need these, in the order of the plan."""
    found = {name}
    for one in plan.stages:
        if not found.isdisjoint(one.stage.needs):
            found.add(one.stage.name)
    return tuple(one.stage.name for one in plan.stages if one.stage.name in found - {name})


def roots(plan: Plan, name: str) -> tuple[Root, ...]:
    """List the edits that a stage would be made for, its own and those of what it rests on."""
    found: dict[Reason, list[str]] = {}
    for stage in (*rests_on(plan, name), name):
        for reason in plan.by_name[stage].reasons if stage in plan.by_name else ():
            if reason.kind != "anew":
                found.setdefault(reason, []).append(stage)
    return tuple(Root(reason=reason, stages=tuple(those)) for reason, those in found.items())


def chain(plan: Plan, name: str) -> Iterator[Link]:
    """Follow the reasons of a stage down to the edits; each stage is told once."""
    order = {stage: place for place, stage in enumerate(plan.by_name)}
    yield from _chain(plan, name, 0, set(), order)


def _chain(
    plan: Plan, name: str, depth: int, seen: set[str], order: Mapping[str, int]
) -> Iterator[Link]:
    planned = plan.by_name[name]
    own = tuple(one for one in planned.reasons if one.kind != "anew")
    again = name in seen
    yield Link(depth=depth, stage=name, reasons=() if again else own, again=again)
    seen.add(name)
    anew = [one.what for one in planned.reasons if one.kind == "anew" and one.what in order]
    for need in () if again else sorted(anew, key=order.__getitem__):
        yield from _chain(plan, need, depth + 1, seen, order)
