"""What may be begun now: stages whose needs are there, and that nobody makes yet.

    queue.ready()            in the order of the plan
    queue.take(name)         it is being made, and so is its key
    queue.put_back(name)     not after all; perhaps not before some time
    queue.done(name)         what needs it may become ready
    queue.drop(name)         it failed; what rests on it is given, and never becomes ready

A stage is known by its name; two of one key are never made at once.
"""

import time
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence

from composer.engine.planning.plan import PlannedStage


class Queue:
    """The stages of a run that are not done yet.

    Attributes:
        taken: Name -> stage, of those that are being made.
        left: How many are neither done nor dropped.
    """

    def __init__(self, stages: Sequence[PlannedStage]) -> None:
        self._stages = stages
        self._numbers = {one.stage.name: number for number, one in enumerate(stages)}
        self._missing: dict[str, int] = {}  # name -> needs that are not done
        self._users: dict[str, list[str]] = {name: [] for name in self._numbers}
        for one in stages:
            needs = [name for name in dict.fromkeys(one.stage.needs) if name in self._numbers]
            self._missing[one.stage.name] = len(needs)
            for name in needs:
                self._users[name].append(one.stage.name)
        self._ready = [self._numbers[name] for name, count in self._missing.items() if count == 0]
        self._not_before: dict[str, float] = {}
        self._keys: Counter[str | None] = Counter()
        self.taken: dict[str, PlannedStage] = {}
        self.left = len(stages)

    def ready(self) -> Iterator[PlannedStage]:
        """Give the stages that may be begun; none whose key is being made under another name."""
        for number in tuple(self._ready):
            one = self._stages[number]
            wait = self._not_before.get(one.stage.name, 0.0)
            if not self._keys[one.key] and (not wait or wait <= time.monotonic()):
                yield one

    def put_off(self) -> PlannedStage | None:
        """Give the first stage that only time keeps from being begun."""
        return self._stages[self._ready[0]] if self._ready else None

    def take(self, name: str) -> None:
        """Let nobody else begin a stage."""
        number = self._numbers[name]
        self._ready.remove(number)
        self.taken[name] = self._stages[number]
        self._keys[self._stages[number].key] += 1

    def put_back(self, name: str, *, seconds: float = 0.0) -> None:
        """Let a stage be begun again, but not for so long."""
        self._untake(name)
        insort(self._ready, self._numbers[name])
        self._not_before[name] = time.monotonic() + seconds if seconds else 0.0

    def done(self, name: str) -> None:
        """Let a stage be used by those that need it."""
        self._untake(name)
        self.left -= 1
        for user in self._users[name]:
            self._missing[user] -= 1
            if self._missing[user] == 0:
                insort(self._ready, self._numbers[user])

    def drop(self, name: str) -> list[str]:
        """Give up a stage; give the names of those that rest on it, in the plan's order."""
        self._untake(name)
        found, queue = set(), [name]
        while queue:
            users = [user for user in self._users[queue.pop()] if user not in found]
            found |= set(users)
            queue += users
        self.left -= 1
        dropped = sorted((name for name in found if self._missing[name] >= 0), key=self._number)
        for user in dropped:
            self._missing[user] = -1 - len(self._stages)  # it is dropped once, and never ready
            self.left -= 1
        return dropped

    def _number(self, name: str) -> int:
        return self._numbers[name]

    def _untake(self, name: str) -> None:
        self._keys[self.taken.pop(name).key] -= 1
