"""An adapter of a stranger in the store: its own key, over the languages that are here."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from composer.bundle.jsontext import canonical_json
from composer.engine.planning.record import read_record, read_stage, stage_settings
from composer.engine.sharing.keeping import keep_adapter
from composer.engine.storage.refs import resolve
from composer.engine.storage.store import Store
from composer.errors import ComposerError, RecipeError
from composer.recipe.expansion.stages import DataUse, TaskSettings, TrainLanguage, TrainTask
from composer.recipe.grammar.adapters import BottleneckAdapter
from composer.recipe.grammar.data import FileData
from composer.recipe.grammar.training import Training

DATA = DataUse(source=FileData(source="files", path="de.csv"), languages=("de",))
SHAPE = BottleneckAdapter(kind="bottleneck", width=4)
THEIRS = "1" * 64
NOTHING = b"\x02\0\0\0\0\0\0\0{}"
FILES = {
    "language": {"adapter.json": b"{}\n", "adapter.safetensors": NOTHING, "training.json": b"{}\n"},
}
FILES["task"] = {**FILES["language"], "head.json": b"{}\n", "head.safetensors": NOTHING}


def language() -> TrainLanguage:
    return TrainLanguage(name="language/de", shape=SHAPE, data=DATA, training=Training())


def task(*, over: bool) -> TrainTask:
    return TrainTask(
        name="task/intent",
        shape=SHAPE,
        task=TaskSettings(
            type="text-classification", labels=None, pooling="mean", score="accuracy"
        ),
        data=DATA,
        over={"de": "language/de"} if over else {},
        training=Training(),
    )


def pulled(folder: Path, stage: TrainLanguage | TrainTask, *, key: str = THEIRS) -> Path:
    """Write what a pull would have brought."""
    kind = "task" if isinstance(stage, TrainTask) else "language"
    folder.mkdir()
    for name, data in FILES[kind].items():
        (folder / name).write_bytes(data)
    record = {
        "settings": stage_settings(stage, {"language/de": THEIRS}),
        "needs": [THEIRS] if stage.needs else [],
        "data_digest": "2" * 64,
        "backbone": {"source": "folder", "path": "tiny"},
        "fingerprints": {"body": "3" * 64, "vocabulary": "4" * 64},
        "precision": "float32",
        "versions": {},
    }
    values: dict[str, object] = {
        "format": 1,
        "key": key,
        "kind": kind,
        "stage": record,
        "files": {name: sha256(data).hexdigest() for name, data in FILES[kind].items()},
        "sizes": {name: len(data) for name, data in FILES[kind].items()},
    }
    digest = sha256(canonical_json(values)).hexdigest()
    (folder / "manifest.json").write_bytes(canonical_json({**values, "digest": digest}))
    return folder


def keep(store: Store, folder: Path, name: str) -> str:
    return keep_adapter(store, folder, name, recipe="command-line", about={})


def test_what_it_says_of_its_key_is_not_believed(tmp_path: Path):
    store = Store(tmp_path / "store")
    assert keep(store, pulled(tmp_path / "de", language()), "de") == "language/de"
    kept = store.open(resolve(store, "de").key)
    assert kept is not None
    assert store.find(THEIRS) is None
    assert kept.manifest.adopted == {"key": THEIRS, "differs": None}
    assert keep(store, pulled(tmp_path / "again", language()), "de") == "language/de"
    assert len(list((store.folder / "objects").glob("*/*"))) == 1


def test_a_task_rests_on_the_language_adapters_that_were_pulled_before(tmp_path: Path):
    store = Store(tmp_path / "store")
    theirs = pulled(tmp_path / "intent", task(over=True), key="5" * 64)
    with pytest.raises(RecipeError, match="over the language adapters of de, which are not in"):
        keep(store, theirs, "intent")
    keep(store, pulled(tmp_path / "de", language()), "de")
    keep(store, theirs, "intent")
    kept = store.open(resolve(store, "intent").key)
    assert kept is not None
    record = read_record(kept.manifest)
    stage = read_stage(record, name="task/intent")
    assert isinstance(stage, TrainTask)
    assert stage.over == {"de": resolve(store, "de").key}
    assert record.needs == (resolve(store, "de").key,)


def test_a_task_on_the_bare_backbone_rests_on_nothing(tmp_path: Path):
    store = Store(tmp_path / "store")
    keep(store, pulled(tmp_path / "intent", task(over=False)), "mine")
    kept = store.open(resolve(store, "mine").key)
    assert kept is not None
    assert read_record(kept.manifest).needs == ()


def test_settings_of_another_grammar_are_refused_and_nothing_is_published(tmp_path: Path):
    store, folder = Store(tmp_path / "store"), pulled(tmp_path / "de", language())
    text = (folder / "manifest.json").read_bytes().replace(b'"width": 4', b'"width": -4')
    values = json.loads(text)
    del values["digest"]
    digest = sha256(canonical_json(values)).hexdigest()
    (folder / "manifest.json").write_bytes(canonical_json({**values, "digest": digest}))
    with pytest.raises(ComposerError, match="made by another version of composer"):
        keep(store, folder, "de")
    assert not (store.folder / "objects").exists()
