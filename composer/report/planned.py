"""A plan as people and machines read it: a table, and values for JSON.

    stage        state  parameters  in all  memory  size    time   why
    task/intent  stale  49,722      117.6 M  1.4 GB  198 kB  ~40 s  adapters.task.width: 32 -> 48

A time with `~` is expected from earlier runs of stages like it; one without is what it took.
"""

from collections.abc import Sequence
from dataclasses import asdict

from composer.engine.planning.plan import Plan, PlannedStage
from composer.report.language_losses import head_line
from composer.report.layout import count, duration, number_of, size, table_lines

_REASONS_SHOWN = 3
RIGHT = (2, 3, 4, 5, 6)  # columns that are aligned to the right
_HEAD = ["stage", "state", "parameters", "in all", "memory", "size", "time", "why"]


def plan_values(plan: Plan) -> dict[str, object]:
    """Give a plan as JSON has it."""
    return {
        "recipe": plan.wanted.recipe,
        "precision": plan.precision,
        "versions": dict(plan.versions),
        "language_head": head_line(plan),
        "stages": [stage_values(one) for one in plan.stages],
    }


def stage_values(planned: PlannedStage) -> dict[str, object]:
    """Give one stage of a plan as JSON has it."""
    cost = planned.cost
    return {
        "name": planned.stage.name,
        "key": planned.key,
        "state": planned.state,
        "reasons": [str(one) for one in planned.reasons],
        "changes": [one.plain() for one in planned.reasons],
        "needs": list(planned.stage.needs),
        "trainable_parameters": cost.parameters,
        "trained": asdict(cost.trained) if cost.trained else None,
        "total_parameters": cost.total_parameters,
        "memory": cost.memory,
        "bytes": cost.bytes,
        "seconds": cost.seconds,
        "seconds_from": cost.basis,
    }


def plan_lines(plan: Plan) -> list[str]:
    """Lay out a plan as a table, and sum it up."""
    told = [line] if (line := head_line(plan)) else []
    return [*table_lines(plan_rows(plan), right=RIGHT), *told, plan_summary(plan)]


def plan_rows(plan: Plan) -> list[list[str]]:
    """Give a plan as rows of a table, its heads first."""
    return [_HEAD, *map(_row, plan.stages)]


def _row(planned: PlannedStage) -> list[str]:
    cost = planned.cost
    return [
        planned.stage.name,
        planned.state,
        "-" if cost.parameters == 0 else count(cost.parameters),
        "-" if cost.total_parameters == 0 else millions(cost.total_parameters),
        size(cost.memory),
        size(cost.bytes),
        ("~" if cost.basis == "like" else "") + duration(cost.seconds),
        some_of(list(map(str, planned.reasons))),
    ]


def millions(number: int | None) -> str:
    """Write a large number of parameters.

    >>> millions(117_505_920), millions(1_336), millions(None)
    ('117.5 M', '1,336', 'unknown')
    """
    return count(number) if number is None or number < 10**6 else f"{number / 10**6:.1f} M"


def some_of(reasons: Sequence[str]) -> str:
    """Write the first reasons; JSON has them all.

    >>> some_of(["a", "b", "c", "d", "e"])
    'a; b; c; and 2 more'
    """
    more = len(reasons) - _REASONS_SHOWN
    shown = "; ".join(reasons[:_REASONS_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown


def plan_summary(plan: Plan) -> str:
    """Say how much is left to be made, and how long it takes."""
    left = [one for one in plan.stages if one.state != "done"]
    whole = number_of(len(plan.stages), "stage")
    said = [f"{whole}, {len(left)} to run"]
    times = [one.cost.seconds for one in left]
    known = [one for one in times if one is not None]
    if known:
        least = "about" if len(known) == len(times) else "more than"
        said.append(f"{least} {duration(sum(known))} one after another")
    return f"{', '.join(said)}; precision {plan.precision}"
