"""What changed from one lock file to another, as people and machines read it."""

from collections.abc import Iterator, Sequence

from composer.engine.looking.lockdiff import StageChange
from composer.engine.planning.reasons import Reason
from composer.report.layout import number_of, table_lines
from composer.report.planned import some_of


def lock_change_values(
    shared: Sequence[Reason], stages: Sequence[StageChange]
) -> dict[str, object]:
    """Give the changes as JSON has them."""
    return {
        "equal": not shared and not stages,
        "shared": [reason.plain() for reason in shared],
        "stages": [
            {
                "name": change.stage,
                "how": change.how,
                "before": change.before,
                "after": change.after,
                "reasons": [str(reason) for reason in change.reasons],
                "changes": [reason.plain() for reason in change.reasons],
            }
            for change in stages
        ],
    }


def lock_change_lines(
    shared: Sequence[Reason], stages: Sequence[StageChange], *, stages_after: int
) -> Iterator[str]:
    """Tell what changed for all stages, then stage by stage.

    Args:
        shared: What changed for all of them.
        stages: That changed.
        stages_after: How many the second lock has.
    """
    yield from map(str, shared)
    if stages:
        rows = [["stage", "how", "why"]]
        rows += [[one.stage, one.how, some_of(list(map(str, one.reasons)))] for one in stages]
        yield from table_lines(rows)
    same = stages_after - sum(one.how != "removed" for one in stages)
    yield f"{number_of(same, 'stage')} as before, {len(stages)} changed"
