"""What was trained and what it cost: a row a stage, a sum a group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from composer.report.page.facts import Facts
from composer.report.page.groups import STATES, grouped, short_name

_Number = TypeVar("_Number", int, float)

ROWS = 6_000  # of single stages, in all: two megabytes
_OPEN = 8  # rows of a group that is shown unfolded


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """What one stage did and took; None: unknown, or nothing of the kind.

    Attributes:
        name: Of the stage, without its kind.
        state: How far it is.
        parameters: That it trains.
        share: Of the backbone's parameters.
        steps: Optimiser updates.
        examples: Learnt from, or scored.
        seconds: From its start to its end.
        memory: At its peak, in bytes.
        bytes: Of its result.
    """

    name: str
    state: str
    parameters: int | None = None
    share: float | None = None
    steps: int | None = None
    examples: int | None = None
    seconds: float | None = None
    memory: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class CostGroup:
    """Stages of one group.

    Attributes:
        title: What they are.
        rows: One a stage; none, where there is no room for them.
        stages: How many there are.
        whole: Their sum; of memory the largest. A sum is of what is known.
    """

    title: str
    rows: tuple[CostRow, ...]
    stages: int
    whole: CostRow

    @property
    def is_open(self) -> bool:
        """Whether the rows are shown without being asked for."""
        return self.stages <= _OPEN and self.whole.parameters is not None


def cost_groups(facts: Facts) -> Iterator[CostGroup]:
    """Count what stages took, group by group."""
    room = ROWS
    for title, names in grouped(facts.plan.by_name).items():
        rows = tuple(_row(facts, name) for name in names)
        done = sum(name in facts.folders for name in names)
        state = "done" if done == len(names) else f"{done} of {len(names)} done"
        whole = whole_of(rows, name=title, state=state)
        shown = rows if len(rows) <= room else ()
        room -= len(shown)
        yield CostGroup(title=title, rows=shown, stages=len(rows), whole=whole)


def whole_of(rows: Sequence[CostRow], *, name: str, state: str) -> CostRow:
    """Add rows up."""
    return CostRow(
        name=name,
        state=state,
        parameters=_total([one.parameters for one in rows]),
        share=_total([one.share for one in rows]),
        steps=_total([one.steps for one in rows]),
        examples=None,  # many stages read the same ones
        seconds=_total([one.seconds for one in rows]),
        memory=max((one.memory for one in rows if one.memory), default=None),
        bytes=_total([one.bytes for one in rows]),
    )


def _row(facts: Facts, name: str) -> CostRow:
    state = STATES.get(facts.statuses[name].state, facts.statuses[name].state)
    if name not in facts.folders:  # what the plan expects is no cost yet
        return CostRow(name=short_name(name), state=state)
    training, scored = facts.trainings.get(name), facts.scores.get(name)
    took, cost = facts.took.get(name), facts.plan.by_name[name].cost
    parameters = training.trainable_parameters if training else None
    backbone = facts.plan.parameters
    return CostRow(
        name=short_name(name),
        state=state,
        parameters=parameters,
        share=parameters / backbone if parameters is not None and backbone else None,
        steps=training.steps if training else None,
        examples=training.training_examples if training else scored.n if scored else None,
        seconds=took.seconds if took else None,
        memory=took.memory if took else None,
        bytes=cost.bytes,
    )


def _total(values: Sequence[_Number | None]) -> _Number | None:
    """Add what is known; None: nothing is."""
    known = [one for one in values if one is not None]
    return sum(known) if known else None
