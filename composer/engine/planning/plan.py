"""What a run would do, stage by stage, and why; found without torch and without training.

    done    a result of this key is in the store
    stale   the label has a result of another key; the reasons say what changed
    run     never made, or its result is gone

What cannot be known yet, as a backbone that is not fetched, is None and prints as "unknown".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from composer.bundle.fingerprint import Fingerprints
from composer.data.samples.backbones import default_cache
from composer.engine.planning.backbones import (
    BackboneFacts,
    backbone_folder,
    own_head_digest,
    stated_parameters,
    stated_shape,
)
from composer.engine.planning.cost import Cost, Costs, LastResult, backbone_parameters
from composer.engine.planning.expected import Expectations
from composer.engine.planning.machine import Resolved, resolve_precision, versions
from composer.engine.planning.ready import data_digests, data_used, known_backbone
from composer.engine.planning.reasons import GONE, NEVER_MADE, Known, Reason, differences, told
from composer.engine.planning.record import Record, read_record, read_stage, stage_settings
from composer.engine.planning.wanted import Wanted
from composer.engine.storage.faults import DamagedError
from composer.engine.storage.refs import all_refs, get_ref
from composer.engine.storage.store import Store
from composer.engine.storage.timings import read_measured
from composer.errors import StoreError
from composer.recipe.expansion.keys import stage_key
from composer.recipe.expansion.origins import recipe_key
from composer.recipe.expansion.stages import Stage, TrainHead, TrainLanguage, TrainTask
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import shapes_of

State = Literal["run", "done", "stale"]

UNFETCHED = told("unknown until the backbone is fetched")


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
    reasons: tuple[Reason, ...]
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stages in the order of a run, and what they are carried out on.

    Attributes:
        wanted: What was asked for.
        stages: Needs first.
        cache: Where backbones are unpacked and fetched to.
        facts: Of the backbone; None until it is fetched.
        parameters: Of the backbone; None likewise.
        precision: "auto" is resolved.
        versions: Of the arithmetic and of libraries.
    """

    wanted: Wanted
    stages: tuple[PlannedStage, ...]
    cache: Path
    facts: BackboneFacts | None
    parameters: int | None
    precision: Resolved
    versions: Mapping[str, str]

    @cached_property
    def shape(self) -> BackboneShape | None:
        """Give the backbone's numbers: its config's, or what the recipe states until then."""
        return stated_shape(self.wanted.backbone) if self.facts is None else self.facts.shape

    @cached_property
    def by_name(self) -> Mapping[str, PlannedStage]:
        """Give each stage by its name."""
        return {one.stage.name: one for one in self.stages}


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
    facts = known_backbone(wanted, cache=cache)
    return _Planner(wanted, store, cache=cache, facts=facts).plan()


class _Planner:
    """The plan in the making: keys of earlier stages, and data that was digested once."""

    def __init__(
        self, wanted: Wanted, store: Store, *, cache: Path, facts: BackboneFacts | None
    ) -> None:
        self.wanted, self.store, self.cache, self.facts = wanted, store, cache, facts
        self.precision = resolve_precision(wanted.backbone.precision)
        self.versions = versions()
        self.expected = Expectations(store, read_measured(store))
        self.keys = dict(wanted.stored)
        self.states: dict[str, State] = {}
        self.before: dict[str, str] = {}  # key that a label had -> its stage
        self.digests = data_digests(wanted)
        self.costs = self._costs()

    def plan(self) -> Plan:
        return Plan(
            wanted=self.wanted,
            stages=tuple(self._plan_stage(self._with_own_head(one)) for one in self.wanted.stages),
            cache=self.cache,
            facts=self.facts,
            parameters=self.costs.parameters,
            precision=self.precision,
            versions=self.versions,
        )

    def _costs(self) -> Costs:
        stored = _stored_shapes(self.wanted.stored, self.store)
        shape = stated_shape(self.wanted.backbone)
        parameters = stated_parameters(self.wanted.backbone)
        if self.facts is not None:
            shape = self.facts.shape
            parameters = backbone_parameters(
                self.wanted.backbone, folder=self.wanted.folder, cache=self.cache
            )
        return Costs(
            backbone=shape,
            parameters=parameters,
            shapes={**stored, **shapes_of(self.wanted.stages)},
        )

    def _with_own_head(self, stage: Stage) -> Stage:
        """Let a shared masked-LM head be the backbone's own, where it brings a trained one."""
        if not isinstance(stage, TrainHead) or self.facts is None:
            return stage
        found = own_head_digest(self.wanted.backbone, folder=self.wanted.folder, cache=self.cache)
        return replace(stage, found=found, texts=()) if found else stage

    def _plan_stage(self, stage: Stage) -> PlannedStage:
        if self.facts is None:
            return PlannedStage(
                stage=stage,
                needs={},
                key=None,
                record=None,
                state="run",
                reasons=(UNFETCHED,),
                cost=self.costs.count(stage, last=None, done=False),
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
        used = data_used(stage)
        return Record(
            settings=stage_settings(stage, needs),
            needs=tuple(sorted(set(needs.values()))),
            data_digest=self.digests[used] if used else "",
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
        self.before[before] = stage.name
        last, damage = None, None
        try:
            last = self._look(key) or (self._look(before) if before != key else None)
        except DamagedError as fault:
            damage = told(str(fault))
        done = last is not None and last.manifest.key == key
        state: State = "run"
        reasons: tuple[Reason, ...] = (damage or NEVER_MADE,)
        if done:
            state, reasons = "done", ()
        elif last is not None:
            state, reasons = "stale", self._reasons(stage, last, record, needs)
        elif ref is not None and damage is None:
            reasons = (GONE,)
        expected = self.expected.of(stage, record, key=key, last=before)
        return PlannedStage(
            stage=stage,
            needs=needs,
            key=key,
            record=record,
            state=state,
            reasons=reasons,
            cost=self.costs.count(stage, last=last, done=done, expected=expected),
        )

    def _reasons(
        self, stage: Stage, last: LastResult, record: Record, needs: Mapping[str, str]
    ) -> tuple[Reason, ...]:
        named = {key: name for name, key in needs.items()}
        try:
            old = read_record(last.manifest)
            known = Known(
                anew={key: name for key, name in named.items() if self.states.get(name) != "done"},
                now=named,
                before=self._names_before(old, named),
                key_of=partial(recipe_key, self.wanted.values, stage.name),
            )
            return differences(old, record, known)
        except StoreError as fault:  # the last result is another version's, and no fault now
            return (told(str(fault)),)

    def _names_before(self, old: Record, named: Mapping[str, str]) -> dict[str, str]:
        """Name what a result rests on, also by the labels of stages that are in no plan now."""
        if any(key not in self.before and key not in named for key in old.needs):
            mine = [ref for ref in all_refs(self.store) if ref.recipe == self.wanted.recipe]
            self.before = {**{ref.key: ref.stage for ref in mine}, **self.before}
        return {key: self.before[key] for key in old.needs if key in self.before}

    def _look(self, key: str) -> LastResult | None:
        # The cost is read from small files of a result; they are checked, the weights are not.
        folder, manifest = self.store.find(key), self.store.peek(key, contents=".json")
        return LastResult(folder=folder, manifest=manifest) if folder and manifest else None


def _stored_shapes(stored: Mapping[str, str], store: Store) -> dict[str, AdapterShape]:
    """Read the shapes of adapters that no stage here trains."""
    shapes: dict[str, AdapterShape] = {}
    for name, key in stored.items():
        manifest = store.peek(key)
        stage = read_stage(read_record(manifest), name=name) if manifest else None
        if isinstance(stage, TrainLanguage | TrainTask):
            shapes[name] = stage.shape
    return shapes
