"""Carry out a plan: in order, each stage once, from its checkpoint where it was stopped.

The stages themselves are functions of `composer.train.stages`, imported when the first one is
run; whatever kills a run, what was published stays and the same command goes on.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from composer.data.digest import data_digest
from composer.engine.backbones import backbone_folder
from composer.engine.events import Event, EventKind, Runner, RunOptions, RunResult
from composer.engine.faults import stage_faults
from composer.engine.lock import LockFile, lock_of, part_of_lock
from composer.engine.plan import Plan, PlannedStage, make_plan
from composer.engine.record import KINDS
from composer.engine.refs import set_ref
from composer.engine.signals import stop_on_signals
from composer.engine.store import Store, StoredResult, Work
from composer.engine.timings import note_seconds
from composer.errors import (
    ComposerError,
    DataError,
    Fault,
    MissingExtraError,
    RecipeError,
    StoppedError,
    StoreError,
    did_you_mean,
)
from composer.recipe.stages import Export, Stage
from composer.train.context import Progress, StageContext, StopRequest


def run_stages(plan: Plan, store: Store, options: RunOptions | None = None) -> RunResult:
    """Carry out what is not done yet.

    Args:
        plan: If the backbone was not fetched yet, it is now.
        store: Of results.
        options: How; left out, every stage, and no lock file is written.

    Raises:
        StoppedError: The user stopped it; the same command goes on.
        StoreError: The store cannot be read or written.
    """
    if plan.facts is None:
        plan = make_plan(plan.wanted, store, cache=plan.cache, fetch=True)
    stop = StopRequest()
    run = _Run(plan, store, options or RunOptions(), stop)
    with stop_on_signals(stop):
        try:
            return run.run()
        except KeyboardInterrupt as interrupt:
            raise run.stopped(f"stopped {run.at}") from interrupt
        except StoppedError as stopped:
            raise run.stopped(str(stopped)) from stopped
        except Exception as fault:
            # A library that is stopped half imported ends with an error of its own.
            if not stop.requested or isinstance(fault, ComposerError):
                raise
            raise run.stopped(f"stopped {run.at}") from fault


def choose_stages(plan: Plan, only: Iterable[str]) -> tuple[PlannedStage, ...]:
    """Choose stages by name, with all that they need, in the plan's order.

    Args:
        plan: Of everything.
        only: Names, or beginnings of names up to a slash: "evaluation/zero-shot".

    Raises:
        RecipeError: A name is not in the plan; every such name is told.
    """
    only = tuple(only)
    known = {one.stage.name: one for one in plan.stages}
    chosen: set[str] = set()
    faults = []
    for wanted in only:
        found = {name for name in known if name == wanted or name.startswith(f"{wanted}/")}
        chosen |= found
        if not found:
            message = f"no stage is named {wanted!r}; {did_you_mean(wanted, known)}"
            faults.append(Fault("--only", message))
    if faults:
        raise RecipeError(faults)
    for one in reversed(plan.stages):
        if one.stage.name in chosen:
            chosen |= set(one.stage.needs) & known.keys()
    return tuple(one for one in plan.stages if not only or one.stage.name in chosen)


@dataclass
class _Run:
    """One run: what it has found and made so far."""

    plan: Plan
    store: Store
    options: RunOptions
    stop: StopRequest
    results: dict[str, StoredResult] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    number: int = 0
    total: int = 0
    at: str = "before the first stage"
    about: dict[str, str] = field(default_factory=dict)
    backbone_at: Path | None = None

    def run(self) -> RunResult:
        folder = os.path.relpath(self.plan.wanted.folder, self.store.folder)
        self.about = {"command": self.options.command, "folder": Path(folder).as_posix()}
        chosen = choose_stages(self.plan, self.options.only)
        self.total = len(chosen)
        self.lock_file = LockFile.start(self.options.lock_file, lock_of(self.plan))
        self.stored = self._open_stored(chosen)
        for self.number, planned in enumerate(chosen, start=1):
            if self.stop.requested:
                raise StoppedError(f"stopped before {planned.stage.name}")
            self._settle(planned)
        return RunResult(results=self.results, made=tuple(self.made))

    def stopped(self, reason: str) -> StoppedError:
        """Say how far it went and how to go on."""
        remedy = "run the same command again to go on from there"
        said = reason if "same command" in reason else f"{reason}; {remedy}"
        return StoppedError(f"{said} ({len(self.results)} of {self.total} stages are done)")

    def _settle(self, planned: PlannedStage) -> None:
        """Have the result of a stage, found or made, and write down which it is."""
        name, key = planned.stage.name, _key_of(planned)
        self.at = f"in {name}"
        result = self.store.open(key)
        if result is None:
            result = self._make_once(planned)
        else:
            self._tidy(key)
            self._tell("found", name)
        self.results[name] = result
        set_ref(self.store, self.plan.wanted.recipe, name, key, about=self.about)
        self.lock_file.note(name, result.manifest.output_digest)

    def _make_once(self, planned: PlannedStage) -> StoredResult:
        """Make a result, unless another run does so while this one waits for the lock."""
        name, key = planned.stage.name, _key_of(planned)
        told: list[bool] = []

        def waiting() -> None:
            if self.stop.requested:
                raise StoppedError(f"stopped while another run was making {name}")
            if not told:
                told.append(True)
                self._tell("waiting", name)

        with self.store.lock(key, waiting=waiting):
            result = self.store.open(key)
            if result is None:
                return self._make(planned)
        self._tell("found", name)
        return result

    def _make(self, planned: PlannedStage) -> StoredResult:
        stage, key = planned.stage, _key_of(planned)
        work = self.store.begin(key)
        self._tell("started", stage.name, resumed=work.resumed)
        start = time.monotonic()
        try:
            result = self._carry_out(planned, work)
        except BaseException:
            self.store.give_up(key)
            raise
        seconds = time.monotonic() - start
        if not work.resumed:
            note_seconds(self.store, key, seconds)
        self.made.append(stage.name)
        self._tell("made", stage.name, seconds=seconds)
        return result

    def _carry_out(self, planned: PlannedStage, work: Work) -> StoredResult:
        stage, key = planned.stage, _key_of(planned)
        runner = self._runner(stage)
        self._check_data(planned)
        with stage_faults(self.store.folder):
            runner(stage, context=self._context(planned, work))
        self._check_data(planned)
        record = planned.record.plain() if planned.record else {}
        return self.store.publish(key, kind=KINDS[type(stage)], stage=record)

    def _context(self, planned: PlannedStage, work: Work) -> StageContext:
        wanted, facts = self.plan.wanted, self.plan.facts
        if facts is None:
            raise StoreError(f"{planned.stage.name}: planned before the backbone was fetched")
        known = {**self.stored, **self.results}
        return StageContext(
            out=work.out,
            checkpoint=work.checkpoint,
            inputs={name: self._input(name, known[name].key) for name in planned.stage.needs},
            needs=planned.needs,
            key=_key_of(planned),
            backbone=wanted.backbone,
            backbone_folder=self._backbone_folder,
            fingerprints=facts.fingerprints,
            precision=self.plan.precision,
            folder=wanted.folder,
            outside=wanted.outside,
            report=lambda progress: self._tell("progress", planned.stage.name, progress=progress),
            stop=self.stop,
            trackers=self.options.trackers,
            logs=self.store.logs,
            recipe=wanted.values,
            lock=part_of_lock(self.plan, planned.stage, known),
        )

    def _input(self, name: str, key: str) -> Path:
        """Check a result once more before it is used: it may have been made hours ago."""
        result = self.store.open(key)
        if result is None:
            raise StoreError(
                f"{name}: its result was damaged or removed while this run was on; "
                "run the same command again"
            )
        return result.folder

    def _check_data(self, planned: PlannedStage) -> None:
        """Refuse to publish, under a key, what was learnt from other data than the key tells of.

        What was learnt so far goes too: a checkpoint does not say which data it saw.
        """
        stage, record, wanted = planned.stage, planned.record, self.plan.wanted
        if record is None or isinstance(stage, Export):
            return
        digest = data_digest(
            stage.data.source,
            languages=stage.data.languages,
            folder=wanted.folder,
            outside=wanted.outside,
        )
        if digest != record.data_digest:
            self.store.discard(_key_of(planned))
            message = "its data was changed while this run was on; run the same command again"
            raise DataError([Fault(stage.name, message)])

    def _backbone_folder(self) -> Path:
        """Give the backbone's folder; a sample's bytes are checked once a run."""
        if self.backbone_at is None:
            wanted = self.plan.wanted
            self.backbone_at = backbone_folder(
                wanted.backbone, folder=wanted.folder, cache=self.plan.cache
            )
        return self.backbone_at

    def _runner(self, stage: Stage) -> Runner:
        runners = self.options.runners
        if runners is None:
            try:
                from composer.train.stages import RUNNERS
            except ModuleNotFoundError as error:
                raise MissingExtraError(
                    library=error.name or "a library", needed_for=stage.name, extra="train"
                ) from error
            runners = RUNNERS
        return runners[type(stage)]

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

    def _tell(
        self,
        kind: EventKind,
        stage: str,
        *,
        resumed: bool = False,
        progress: Progress | None = None,
        seconds: float | None = None,
    ) -> None:
        self.options.on_event(
            Event(
                kind=kind,
                stage=stage,
                number=self.number,
                total=self.total,
                resumed=resumed,
                progress=progress,
                seconds=seconds,
            )
        )


def _key_of(planned: PlannedStage) -> str:
    if planned.key is None:
        raise StoreError(f"{planned.stage.name}: planned before the backbone was fetched")
    return planned.key
