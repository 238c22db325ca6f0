"""Which stages of a plan are meant: `--only` and `--from`."""

from collections.abc import Iterable

from composer.engine.planning.plan import Plan, PlannedStage
from composer.errors import Fault, RecipeError, did_you_mean


def choose_stages(plan: Plan, only: Iterable[str]) -> tuple[PlannedStage, ...]:
    """Choose stages by name, with all that they need, in the plan's order.

    Args:
        plan: Of everything.
        only: Names, or beginnings of names up to a slash: "evaluation/zero-shot".

    Raises:
        RecipeError: A name is not in the plan; every such name is told.
    """
    only = tuple(only)
    chosen = _named(plan, only, option="--only")
    known = {one.stage.name for one in plan.stages}
    for one in reversed(plan.stages):
        if one.stage.name in chosen:
            chosen |= set(one.stage.needs) & known
    return tuple(one for one in plan.stages if not only or one.stage.name in chosen)


def resting_on(plan: Plan, begin: Iterable[str]) -> frozenset[str]:
    """Name stages and all that rests on them.

    Args:
        plan: Of everything.
        begin: Names, or beginnings of names up to a slash.

    Raises:
        RecipeError: A name is not in the plan; every such name is told.
    """
    found = _named(plan, tuple(begin), option="--from")
    for one in plan.stages:
        if not found.isdisjoint(one.stage.needs):
            found.add(one.stage.name)
    return frozenset(found)


def _named(plan: Plan, names: tuple[str, ...], *, option: str) -> set[str]:
    known = {one.stage.name: one for one in plan.stages}
    chosen: set[str] = set()
    faults = []
    for wanted in names:
        found = {name for name in known if name == wanted or name.startswith(f"{wanted}/")}
        chosen |= found
        if not found:
            message = f"no stage is named {wanted!r}; {did_you_mean(wanted, known)}"
            faults.append(Fault(option, message))
    if faults:
        raise RecipeError(faults)
    return chosen
