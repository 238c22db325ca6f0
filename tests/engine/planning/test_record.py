import json
from pathlib import Path

import pytest

from composer.engine.planning.plan import make_plan
from composer.engine.planning.record import read_record, read_stage
from composer.engine.planning.wanted import Wanted
from composer.engine.storage.manifest import Manifest
from composer.engine.storage.store import Store
from composer.errors import StoreError
from composer.recipe.expansion.keys import stage_key
from composer.recipe.expansion.stages import TrainComposition


def test_every_stage_can_be_read_back_with_keys_for_names(wanted: Wanted, store: Store):
    for planned in make_plan(wanted, store).stages:
        assert planned.record is not None
        plain = json.loads(json.dumps(planned.record.plain()))
        kind = planned.stage.name.split("/")[0]
        manifest = Manifest(key="0a" * 32, kind=kind, files={}, sizes={}, stage=plain)
        record = read_record(manifest)
        assert record == planned.record
        stage = read_stage(record, name=planned.stage.name)
        assert type(stage) is type(planned.stage)
        key = stage_key(
            stage,
            needs={need: need for need in stage.needs},
            data_digest=record.data_digest,
            backbone=record.fingerprints.__dict__,
            precision=record.precision,
            versions=record.versions,
        )
        if kind != "bundle":  # its key holds the names of the scores that are in it
            assert key == planned.key
        assert stage.training == planned.stage.training
        if isinstance(stage, TrainComposition):
            assert isinstance(planned.stage, TrainComposition)
            assert stage.composition == planned.stage.composition


def test_a_record_holds_no_path_of_this_machine(wanted: Wanted, store: Store, folder: Path):
    for planned in make_plan(wanted, store).stages:
        assert planned.record is not None
        assert str(folder) not in json.dumps(planned.record.plain())


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"settings": {"kind": "dream"}}, "of kind 'dream', which this composer does not know"),
        ({"settings": {"kind": "task"}}, "made by another version of composer"),
        ({"precision": "int4"}, "made by another version of composer"),
        ({"more": 1}, "made by another version of composer"),
    ],
)
def test_a_record_of_another_grammar_says_so(
    wanted: Wanted, store: Store, changed: dict[str, object], fault: str
):
    record = make_plan(wanted, store).stages[2].record
    assert record is not None
    stage = {**record.plain(), **changed}
    manifest = Manifest(key="0a" * 32, kind="task", files={}, sizes={}, stage=stage)
    with pytest.raises(StoreError, match=fault):
        read_stage(read_record(manifest), name="task/intent")
