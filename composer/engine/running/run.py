"""Carry out a plan: each stage once, as soon as what it needs is there.

Stages are made by an executor: in this process one after another, side by side in workers, or
on a cluster. This module alone decides what is next, and it alone writes labels, the lock file
and times. Whatever kills a run, what was published stays and the same command goes on.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from composer.engine.planning.choice import choose_stages, resting_on
from composer.engine.planning.lock import LockFile, lock_of, part_of_lock
from composer.engine.planning.plan import Plan, PlannedStage, make_plan
from composer.engine.running.events import Event, EventKind, RunOptions, RunResult
from composer.engine.running.executors.base import Executor, InThisProcess
from composer.engine.running.executors.local import LocalExecutor
from composer.engine.running.failures import Failure, error_of, failure_lines, listed
from composer.engine.running.messages import Frame, Message, Task
from composer.engine.running.queue import Queue
from composer.engine.running.signals import stop_on_signals
from composer.engine.running.tracking import tracking
from composer.engine.storage.refs import get_ref, set_ref
from composer.engine.storage.store import Store, StoredResult
from composer.engine.storage.timings import note_seconds, read_measured
from composer.errors import ComposerError, RunError, StoppedError, StoreError
from composer.recipe.expansion.stages import Export
from composer.train.context import Progress, StopRequest

_LOOK_SECONDS = 0.2  # between two looks whether a stop was asked for
_LOCK_SECONDS = 1.0  # between two writes of the lock file; one that is killed is told it again
_BUSY_SECONDS = 1.0  # before a stage that another run makes is looked at again


def run_stages(plan: Plan, store: Store, options: RunOptions | None = None) -> RunResult:
    """Carry out what is not done yet.

    Args:
        plan: If the backbone was not fetched yet, it is now.
        store: Of results.
        options: How; left out, every stage, and no lock file is written.

    Raises:
        StoppedError: The user stopped it; the same command goes on.
        StoreError: The store cannot be read or written.
        RunError: Stages failed, and it went on with the others.
    """
    if plan.facts is None:
        plan = make_plan(plan.wanted, store, cache=plan.cache, fetch=True)
    stop, options, wanted = StopRequest(), options or RunOptions(), plan.wanted
    names = (*wanted.trackers, *options.trackers)
    with tracking(names, store, wanted.recipe) as track, stop_on_signals(stop):
        run = _Run(plan, store, replace(options, on_event=_each(options.on_event, track)), stop)
        try:
            return run.run()
        except KeyboardInterrupt as interrupt:
            raise run.stopped() from interrupt
        except StoppedError as stopped:
            raise run.stopped(str(stopped)) from stopped.__cause__ or stopped
        except Exception as fault:
            # A library that is stopped half imported ends with an error of its own.
            if not stop.requested or isinstance(fault, ComposerError):
                raise
            raise run.stopped() from fault


def _each(*listeners: Callable[[Event], None]) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


class _More(TypedDict, total=False):
    """What some events tell besides."""

    resumed: bool
    progress: Progress | None
    seconds: float | None
    memory: int | None
    expected: float | None
    said: str


@dataclass
class _Run:
    """One run: what it has found and made so far."""

    plan: Plan
    store: Store
    options: RunOptions
    stop: StopRequest
    results: dict[str, StoredResult] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    failures: dict[str, Failure] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)  # how often, by name
    waiting: set[str] = field(default_factory=set)  # for another run; told once
    numbers: dict[str, int] = field(default_factory=dict)
    queue: Queue = field(default_factory=lambda: Queue(()))
    endings: list[str] = field(default_factory=list)  # what stopped stages said
    about: dict[str, str] = field(default_factory=dict)
    lock_written: float = field(default_factory=time.monotonic)

    def run(self) -> RunResult:
        folder = os.path.relpath(self.plan.wanted.folder, self.store.folder)
        self.about = {"command": self.options.command, "folder": Path(folder).as_posix()}
        chosen = choose_stages(self.plan, self.options.only)
        self.anew = set(resting_on(self.plan, self.options.anew))
        self.numbers = {one.stage.name: number for number, one in enumerate(chosen, start=1)}
        self.keys = {one.stage.name: _key_of(one) for one in chosen}
        self.queue = Queue(chosen)
        self.lock_file = LockFile.start(self.options.lock_file, lock_of(self.plan))
        self.stored = self._open_stored(chosen)
        self.measured = read_measured(self.store)
        self.expected = {one.stage.name: one.cost.seconds for one in chosen}
        executor = self._new_executor()
        try:
            self._carry_out(executor)
        except BaseException:
            self._wind_down(executor)
            raise
        finally:
            executor.close()
            self.lock_file.write()
        return self._ended()

    def stopped(self, reason: str = "") -> StoppedError:
        """Say how far it went and how to go on."""
        begun = [name for name in self.numbers if name in self.queue.taken]
        if len(begun) == len(self.endings) == 1:
            reason = self.endings[0]
        elif begun and (len(begun) > 1 or not reason):
            reason = f"stopped in {listed(begun)}"
        reason = reason or "stopped before the first stage"
        remedy = "run the same command again to go on from there"
        said = reason if "same command" in reason else f"{reason}; {remedy}"
        done = f"{len(self.results)} of {len(self.numbers)} stages are done"
        return StoppedError(f"{said} ({done})")

    def _new_executor(self) -> Executor:
        wanted, facts, options = self.plan.wanted, self.plan.facts, self.options
        if facts is None:
            raise StoreError("planned before the backbone was fetched")
        frame = Frame(
            store=self.store,
            backbone=wanted.backbone,
            fingerprints=facts.fingerprints,
            precision=self.plan.precision,
            folder=wanted.folder,
            outside=wanted.outside,
            cache=self.plan.cache,
            versions=self.plan.versions,
            runners=options.runners,
            side_by_side=options.executor is not None or options.jobs > 1,
        )
        if options.executor is not None:
            return options.executor(frame, self._hear, self.stop)
        if options.jobs > 1:
            return LocalExecutor(frame, self._hear, self.stop, jobs=options.jobs)
        return InThisProcess(frame, self._hear, self.stop)

    def _carry_out(self, executor: Executor) -> None:
        """Begin what may be begun and hear what comes of it, until nothing is left."""
        while self.queue.left:
            while not executor.full and self._begin_next(executor):
                self._heed()
            if executor.busy:
                executor.wait(_LOOK_SECONDS)
            elif (planned := self.queue.put_off()) is not None:
                self.queue.take(planned.stage.name)  # only other runs are at work: wait for one
                executor.start(self._task(planned, patient=True))
            self._heed()

    def _heed(self) -> None:
        """End the run if it was stopped, or if a stage failed and that is to end it."""
        if self.failures and not self.options.keep_going:
            raise error_of(next(iter(self.failures.values())))
        if self.stop.requested and self.queue.left:
            following = next((one.stage.name for one in self.queue.ready()), "")
            if self.queue.taken or not following:
                raise KeyboardInterrupt
            raise StoppedError(f"stopped before {following}")

    def _begin_next(self, executor: Executor) -> bool:
        """Begin the first stage that fits; take the result of one that has it already."""
        for planned in self.queue.ready():
            name, key = planned.stage.name, _key_of(planned)
            self.queue.take(name)
            if name not in self.anew and (result := self.store.open(key)) is not None:
                self._tidy(key)
                self._settle(name, result, kind="found")
                return True
            task = self._task(planned, patient=False)
            if executor.fits(task):
                executor.start(task)
                return True
            self.queue.put_back(name)
        return False

    @property
    def _alone(self) -> bool:
        return self.options.executor is None and self.options.jobs == 1

    def _wind_down(self, executor: Executor) -> None:
        """Let what is being made save what it learnt; a second stop gives that up."""
        self.options = replace(self.options, retries=0)
        executor.stop()
        with suppress(KeyboardInterrupt):
            while executor.busy:
                executor.wait(_LOOK_SECONDS)

    def _hear(self, message: Message) -> None:
        """Take note of what happened to a task."""
        name = message.name
        match message.kind:
            case "log":
                logging.getLogger(name).warning("%s", message.said)
            case "waiting":
                self._wait_for_another(name)
            case "started":
                self.anew.discard(name)  # what was there is gone by now
                seconds = self.expected[name]
                self._tell("started", name, resumed=message.resumed, expected=seconds)
            case "progress":
                self._tell("progress", name, progress=message.progress)
            case _:
                self._end(message)

    def _end(self, message: Message) -> None:
        """Take note of how a task ended, for now or for good."""
        name = message.name
        match message.kind:
            case "busy":
                self.queue.put_back(name, seconds=_BUSY_SECONDS)
                self._wait_for_another(name)
            case "stopped":
                self.endings.append(message.said)
            case "lost":
                self._lose(name, message.said)
            case "failed" if message.failure:
                self._fail(message.failure)
            case "found" | "made" if message.result:
                self._note_made(message)
                self._settle(name, message.result, kind=message.kind, message=message)

    def _wait_for_another(self, name: str) -> None:
        if name not in self.waiting:
            self.waiting.add(name)
            self._tell("waiting", name)

    def _note_made(self, message: Message) -> None:
        if message.kind != "made" or message.result is None or message.seconds is None:
            return
        self.made.add(message.name)
        if not message.resumed:
            key = message.result.key
            note_seconds(self.store, key, message.seconds, memory=message.memory)

    def _settle(
        self,
        name: str,
        result: StoredResult,
        *,
        kind: Literal["found", "made"],
        message: Message | None = None,
    ) -> None:
        """Write down what a stage's result is, and let others use it."""
        self.results[name] = result
        set_ref(self.store, self.plan.wanted.recipe, name, result.key, about=self.about)
        self.lock_file.note(name, result.manifest.output_digest)
        if time.monotonic() - self.lock_written >= _LOCK_SECONDS:
            self.lock_file.write()
            self.lock_written = time.monotonic()
        self.queue.done(name)
        seconds, memory = (message.seconds, message.memory) if message else (None, None)
        self._tell(kind, name, seconds=seconds, memory=memory)

    def _lose(self, name: str, said: str) -> None:
        """Take a stage up again whose worker is gone, but not for ever."""
        self.lost[name] += 1
        if self.stop.requested or (self.failures and not self.options.keep_going):
            self.endings.append(f"stopped in {name}")
            return
        if self.lost[name] <= self.options.retries:
            self.queue.put_back(name)
            self._tell("lost", name, said=said)
            return
        times = f"{self.lost[name]} times; " if self.lost[name] > 1 else ""
        remedy = (
            "often the system ends what takes too much memory: fewer --jobs or a smaller "
            "training.batch_tokens may help. The same command goes on from its checkpoint"
        )
        text = f"{name}: {said}, {times}{remedy}" if times else f"{name}: {said}; {remedy}"
        self._fail(Failure(stage=name, error=RunError.__name__, message=text))

    def _fail(self, failure: Failure) -> None:
        """Give up a stage and all that rests on it."""
        name = failure.stage
        self.failures[name] = failure
        self._tell("failed", name, said=failure.message)
        for user in self.queue.drop(name):
            self._tell("skipped", user, said=f"it rests on {name}, which failed")

    def _ended(self) -> RunResult:
        """Give what there is, in the plan's order.

        Raises:
            RunError: Something failed; everything that did is told.
        """
        if self.failures:
            raise RunError("\n".join(failure_lines(self.failures, self.numbers, self.results)))
        order = [name for name in self.numbers if name in self.results]
        return RunResult(
            results={name: self.results[name] for name in order},
            made=tuple(name for name in order if name in self.made),
        )

    def _task(self, planned: PlannedStage, *, patient: bool) -> Task:
        if planned.record is None:
            raise StoreError(f"{planned.stage.name}: planned before the backbone was fetched")
        stage, name = planned.stage, planned.stage.name
        exports = isinstance(stage, Export)
        known = {**self.stored, **self.results} if exports else {}
        return Task(
            stage=stage,
            key=_key_of(planned),
            needs=planned.needs,
            record=planned.record,
            memory=None if self._alone else self._memory(planned),
            recipe=self.plan.wanted.values if exports else {},
            lock=part_of_lock(self.plan, stage, known) if exports else {},
            anew=name in self.anew,
            patient=patient,
        )

    def _memory(self, planned: PlannedStage) -> int | None:
        """Give what a stage held the last time it was made, or else what the plan expects."""
        ref = get_ref(self.store, self.plan.wanted.recipe, planned.stage.name)
        for key in (planned.key, ref.key if ref else None):
            if key in self.measured and (memory := self.measured[key].memory) is not None:
                return memory
        return planned.cost.memory

    def _open_stored(self, chosen: Iterable[PlannedStage]) -> dict[str, StoredResult]:
        """Check the results that stages need and none of them makes."""
        stored = self.plan.wanted.stored
        needed = {name for one in chosen for name in one.stage.needs} & stored.keys()
        found = {}
        for name in sorted(needed):
            result = self.store.open(stored[name])
            if result is None:
                raise StoreError(
                    f"{name}: its result {stored[name][:12]} is damaged or gone from "
                    f"{self.store.folder}; make it again with the command that made it"
                )
            found[name] = result
        return found

    def _tidy(self, key: str) -> None:
        """Remove what is left of a run that was killed just after it published this key."""
        if self.store.has_work(key):
            with self.store.lock(key):
                self.store.discard(key)

    def _tell(self, kind: EventKind, name: str, **more: Unpack[_More]) -> None:
        event = Event(
            kind=kind,
            stage=name,
            number=self.numbers[name],
            total=len(self.numbers),
            key=self.keys[name],
            **more,
        )
        self.options.on_event(event)


def _key_of(planned: PlannedStage) -> str:
    if planned.key is None:
        raise StoreError(f"{planned.stage.name}: planned before the backbone was fetched")
    return planned.key
