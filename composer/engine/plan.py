"""What a run would do, stage by stage, and why; found without torch and without training.

    done    a result of this key is in the store
    stale   the label has a result of another key; the reasons say what changed
    run     never made, or its result is gone

What cannot be known yet, as a backbone that is not fetched, is None and prints as "unknown".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from composer.bundle.fingerprint import Fingerprints
from composer.data.digest import data_digest
from composer.data.samples.backbones import default_cache
from composer.engine.backbones import (
    BackboneFacts,
    backbone_facts,
    backbone_folder,
)
from composer.engine.cost import Cost, LastResult, stage_cost
from composer.engine.faults import DamagedError
from composer.engine.machine import Resolved, resolve_precision, versions
from composer.engine.reasons import differences
from composer.engine.record import Record, read_record, read_stage, stage_settings
from composer.engine.refs import get_ref
from composer.engine.store import Store
from composer.engine.timings import read_seconds
from composer.engine.wanted import Wanted
from composer.errors import BackboneError, DataError, Fault, RecipeError, StoreError
from composer.recipe.fit import shapes_of
from composer.recipe.keys import stage_key
from composer.recipe.schema import AdapterShape, DataSource
from composer.recipe.stages import Export, Stage, TrainLanguage, TrainTask

State = Literal["run", "done", "stale"]

UNFETCHED = "unknown until the backbone is fetched"


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """One stage of a plan.

    Attributes:
        stage: What it does.
        needs: Stage name -> key, for every need.
        key: None: unknown until the backbone is fetched.
        record: What the key was made of; None likewise.
        state: See the module.
        reasons: Why it is to be made; empty if it is done.
        cost: What it takes.
    """

    stage: Stage
    needs: Mapping[str, str]
    key: str | None
    record: Record | None
    state: State
    reasons: tuple[str, ...]
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stages in the order of a run, and what they are carried out on.

    Attributes:
        wanted: What was asked for.
        stages: Needs first.
        cache: Where backbones are unpacked and fetched to.
        facts: Of the backbone; None until it is fetched.
        precision: "auto" is resolved.
        versions: Of the arithmetic and of libraries.
    """

    wanted: Wanted
    stages: tuple[PlannedStage, ...]
    cache: Path
    facts: BackboneFacts | None
    precision: Resolved
    versions: Mapping[str, str]


def make_plan(
    wanted: Wanted, store: Store, *, cache: Path | None = None, fetch: bool = False
) -> Plan:
    """Compare what is wanted with what the store holds.

    Args:
        wanted: The stages.
        store: Of results.
        cache: For backbones; left out: the user's.
        fetch: Fetch or unpack the backbone first, so that every key is known.

    Raises:
        DataError: Data is missing; all of it at once.
        BackboneError: The backbone is not there, or not the one that stored parts need.
    """
    cache = cache or default_cache()
    if fetch:
        backbone_folder(wanted.backbone, folder=wanted.folder, cache=cache)
    facts = backbone_facts(wanted.backbone, folder=wanted.folder, cache=cache)
    _check_backbone(wanted, facts)
    return _Planner(wanted, store, cache=cache, facts=facts).plan()


def _check_backbone(wanted: Wanted, facts: BackboneFacts | None) -> None:
    if facts is None:
        return
    if facts.shape is not None and (faults := wanted.fit(facts.shape)):
        raise RecipeError(faults)
    trained_on = wanted.fingerprints
    if trained_on is not None and trained_on != facts.fingerprints:
        raise BackboneError(
            f"backbone: its fingerprint is {_short(facts.fingerprints)}, the stored adapters were "
            f"trained on {_short(trained_on)}; give the backbone that they were trained on"
        )


def _short(fingerprints: Fingerprints) -> str:
    return f"{fingerprints.body[:12]} (vocabulary {fingerprints.vocabulary[:12]})"


class _Planner:
    """The plan in the making: keys of earlier stages, and data that was digested once."""

    def __init__(
        self, wanted: Wanted, store: Store, *, cache: Path, facts: BackboneFacts | None
    ) -> None:
        self.wanted, self.store, self.cache, self.facts = wanted, store, cache, facts
        self.precision = resolve_precision(wanted.backbone.precision)
        self.versions = versions()
        self.seconds = read_seconds(store)
        self.keys = dict(wanted.stored)
        self.states: dict[str, State] = {}
        self.shapes = {**_stored_shapes(wanted.stored, store), **shapes_of(wanted.stages)}
        self.digests: dict[tuple[DataSource, tuple[str, ...]], str] = {}

    def plan(self) -> Plan:
        self._digest_data()
        return Plan(
            wanted=self.wanted,
            stages=tuple(self._plan_stage(stage) for stage in self.wanted.stages),
            cache=self.cache,
            facts=self.facts,
            precision=self.precision,
            versions=self.versions,
        )

    def _digest_data(self) -> None:
        """Digest the data of all stages; say all that is wrong with any of it at once."""
        faults: list[Fault] = []
        for stage in self.wanted.stages:
            if isinstance(stage, Export) or (use := _data_of(stage)) in self.digests:
                continue
            try:
                self.digests[use] = data_digest(
                    use[0],
                    languages=use[1],
                    folder=self.wanted.folder,
                    outside=self.wanted.outside,
                )
            except DataError as error:
                faults += error.faults
        if faults:
            raise DataError(dict.fromkeys(faults))

    def _plan_stage(self, stage: Stage) -> PlannedStage:
        if self.facts is None:
            return PlannedStage(
                stage=stage,
                needs={},
                key=None,
                record=None,
                state="run",
                reasons=(UNFETCHED,),
                cost=self._cost(stage, last=None, done=False, keys=()),
            )
        needs = {name: self.keys[name] for name in stage.needs}
        record = self._record(stage, needs, self.facts.fingerprints)
        key = stage_key(
            stage,
            needs=needs,
            data_digest=record.data_digest,
            backbone=record.fingerprints.__dict__,
            precision=self.precision,
            versions=self.versions,
        )
        planned = self._compared(stage, needs=needs, key=key, record=record)
        self.keys[stage.name], self.states[stage.name] = key, planned.state
        return planned

    def _record(self, stage: Stage, needs: Mapping[str, str], fingerprints: Fingerprints) -> Record:
        return Record(
            settings=stage_settings(stage, needs),
            needs=tuple(sorted(set(needs.values()))),
            data_digest="" if isinstance(stage, Export) else self.digests[_data_of(stage)],
            backbone=self.wanted.backbone,
            fingerprints=fingerprints,
            precision=self.precision,
            versions=self.versions,
        )

    def _compared(
        self, stage: Stage, *, needs: Mapping[str, str], key: str, record: Record
    ) -> PlannedStage:
        """Compare a stage with the result of its key, or with the last one of its label."""
        ref = get_ref(self.store, self.wanted.recipe, stage.name)
        before = ref.key if ref else key
        last, damage = None, None
        try:
            last = self._look(key) or self._look(before)
        except DamagedError as fault:
            damage = str(fault)
        done = last is not None and last.manifest.key == key
        state: State = "run"
        reasons: tuple[str, ...] = (damage,) if damage else ("never made",)
        if done:
            state, reasons = "done", ()
        elif last is not None:
            state, reasons = "stale", self._reasons(last, record, needs)
        elif ref is not None and damage is None:
            reasons = ("its result is gone from the store",)
        return PlannedStage(
            stage=stage,
            needs=needs,
            key=key,
            record=record,
            state=state,
            reasons=reasons,
            cost=self._cost(stage, last=last, done=done, keys=(before, key)),
        )

    def _reasons(
        self, last: LastResult, record: Record, needs: Mapping[str, str]
    ) -> tuple[str, ...]:
        anew = {name: key for name, key in needs.items() if self.states.get(name) != "done"}
        try:
            return differences(read_record(last.manifest), record, anew=anew)
        except StoreError as fault:  # the last result is another version's, and no fault now
            return (str(fault),)

    def _look(self, key: str) -> LastResult | None:
        # The cost is read from small files of a result; they are checked, the weights are not.
        folder, manifest = self.store.find(key), self.store.peek(key, contents=".json")
        return LastResult(folder=folder, manifest=manifest) if folder and manifest else None

    def _cost(
        self, stage: Stage, *, last: LastResult | None, done: bool, keys: tuple[str, ...]
    ) -> Cost:
        known = [self.seconds[key] for key in keys if key in self.seconds]
        return stage_cost(
            stage,
            backbone=self.facts.shape if self.facts else None,
            shapes=self.shapes,
            last=last,
            done=done,
            seconds=known[-1] if known else None,
        )


def _data_of(stage: Stage) -> tuple[DataSource, tuple[str, ...]]:
    if isinstance(stage, Export):
        raise TypeError(f"{stage.name} reads no data")
    return stage.data.source, stage.data.languages


def _stored_shapes(stored: Mapping[str, str], store: Store) -> dict[str, AdapterShape]:
    """Read the shapes of adapters that no stage here trains."""
    shapes: dict[str, AdapterShape] = {}
    for name, key in stored.items():
        manifest = store.peek(key)
        stage = read_stage(read_record(manifest), name=name) if manifest else None
        if isinstance(stage, TrainLanguage | TrainTask):
            shapes[name] = stage.shape
    return shapes
