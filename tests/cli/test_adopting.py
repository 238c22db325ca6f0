"""`composer adopt` and `composer gc` on real results of a tiny backbone."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest

from composer.engine.storage.manifest import read_manifest
from composer.engine.storage.refs import resolve
from composer.engine.storage.store import Store
from tests.cli.projects import STORE, well
from tests.cli.terminal import composer

OTHER = ("--set", "training.learning_rate=7e-3")


def result(project: Path, name: str, kind: str = "task") -> Path:
    store = Store(project / STORE)
    folder = store.find(resolve(store, f"home/{kind}/{name}", kinds=(kind,)).key)
    assert folder is not None
    return folder


def adopt(project: Path, stage: str, folder: Path, *more: str):
    return composer(project, "adopt", "home.yaml", stage, folder, *OTHER, *more)


def test_a_result_of_another_training_is_adopted_used_and_told(ran: Path):
    theirs = result(ran, "intent")
    outcome = adopt(ran, "task/intent", theirs)
    assert outcome.status == 0, outcome.err
    assert "other when it was made: settings.training.learning_rate" in outcome.out
    ours = result(ran, "intent")
    assert ours != theirs
    manifest = read_manifest(ours)
    assert manifest.adopted == {"key": theirs.name, "differs": ["settings.training.learning_rate"]}
    assert manifest.files == read_manifest(theirs).files
    made = well(ran, "run", "home.yaml", *OTHER, "--json").json["made"]
    assert "task/intent" not in made
    assert "task/domain" in made
    again = adopt(ran, "task/intent", theirs)
    assert again.status == 2
    assert "task/intent: it has a result of its own; nothing is to be adopted" in again.err


def test_a_folder_without_a_manifest_is_adopted_as_what_nobody_knows_the_training_of(
    ran: Path, tmp_path: Path
):
    folder = shutil.copytree(result(ran, "domain"), tmp_path / "domain")
    (folder / "manifest.json").unlink()
    outcome = adopt(ran, "task/domain", folder)
    assert outcome.status == 0, outcome.err
    assert "how it was trained is not known" in outcome.out
    assert read_manifest(result(ran, "domain")).adopted == {"key": None, "differs": None}


def test_a_composition_is_adopted_once_what_it_rests_on_is_there(ran: Path):
    few = result(ran, "few-shot", "composition")
    outcome = adopt(ran, "composition/few-shot", few)
    assert outcome.status == 2
    assert "it rests on task/intent, which has no result" in outcome.err
    assert "composer run home.yaml --only task/intent" in outcome.err
    for name in ("intent", "domain"):
        assert adopt(ran, f"task/{name}", result(ran, name)).status == 0
    outcome = adopt(ran, "composition/few-shot", few, "--json")
    assert outcome.status == 0, outcome.err
    assert "settings.training.learning_rate" in outcome.json["differs"]


def _nan(folder: Path) -> None:
    path = folder / "adapter.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-4] + struct.pack("<f", float("nan")))


def _changed(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    known = json.loads(path.read_bytes())
    path.write_text(json.dumps({**known, **values}, sort_keys=True, separators=(",", ":")))


HARMS = {
    "cut off": (
        lambda folder: os.truncate(folder / "adapter.safetensors", 100),
        "adapter.safetensors",
    ),
    "not finite": (_nan, "adapter.safetensors"),
    "another backbone": (
        lambda folder: _changed(folder, "adapter.json", body="0" * 64),
        "backbone",
    ),
    "another type": (
        lambda folder: _changed(folder, "head.json", type="multi-label-classification"),
        "head.json: type is 'multi-label-classification', the recipe says 'text-classification'",
    ),
    "another pooling": (
        lambda folder: _changed(folder, "head.json", pooling="first"),
        "head.json: pooling is 'first', the recipe says 'mean'",
    ),
    "a file too many": (
        lambda folder: (folder / "run.py").write_text("import os"),
        "run.py is nothing that task/intent makes",
    ),
    "a link": (
        lambda folder: (
            (folder / "head.json").unlink(),
            (folder / "head.json").symlink_to("/etc/passwd"),
        ),
        "head.json is a symbolic link",
    ),
    "a folder": (lambda folder: (folder / "more").mkdir(), "more is not a file"),
    "no training.json": (
        lambda folder: (folder / "training.json").unlink(),
        "training.json is missing",
    ),
    "another training.json": (
        lambda folder: (folder / "training.json").write_text("{}"),
        "training.json is not what a training writes",
    ),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), "pipe is not a file"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_not_what_the_recipe_says_is_refused_and_leaves_nothing(
    ran: Path, tmp_path: Path, harm: str
):
    folder = shutil.copytree(result(ran, "intent"), tmp_path / "theirs")
    (folder / "manifest.json").unlink()
    change, said = HARMS[harm]
    change(folder)
    before = sorted((ran / STORE / "objects").glob("*/*"))
    outcome = adopt(ran, "task/intent", folder)
    assert outcome.status in (1, 2)
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted((ran / STORE / "objects").glob("*/*")) == before
    assert not list((ran / STORE / "work").iterdir())


@pytest.mark.parametrize(
    ("stage", "source", "said"),
    [
        ("task/intend", "intent", "no stage is named 'task/intend'; did you mean 'task/intent'"),
        ("bundle/home", "intent", "scores and bundles are made, not adopted"),
        ("task/intent", "domain", "adapter.json: kind is 'madapter', the recipe says 'bottleneck'"),
        ("task/intent", "few-shot", "holds a result of kind 'composition', not 'task'"),
    ],
)
def test_another_stage_or_another_kind_is_refused(ran: Path, stage: str, source: str, said: str):
    kind = "composition" if source == "few-shot" else "task"
    outcome = adopt(ran, stage, result(ran, source, kind))
    assert outcome.status == 2
    assert said in outcome.err


def test_a_damaged_result_with_a_manifest_is_refused(ran: Path, tmp_path: Path):
    folder = shutil.copytree(result(ran, "intent"), tmp_path / "theirs")
    _changed(folder, "training.json", seed=99)
    outcome = adopt(ran, "task/intent", folder)
    assert outcome.status == 1
    assert "training.json" in outcome.err
    assert adopt(ran, "task/intent", tmp_path / "nothing").status == 2


def test_gc_shows_what_it_would_remove_and_removes_it_when_told_to(ran: Path):
    whole = well(ran, "gc", "--older-than", "0")
    assert whole.out == "nothing to remove\n"
    (ran / STORE / "refs" / "home" / "composition" / "mean.json").unlink(missing_ok=True)
    shutil.rmtree(ran / STORE / "refs" / "home" / "bundle")
    assert well(ran, "gc", "--older-than", "0").out == whole.out  # the lock file names it
    (ran / "home.lock").unlink()
    shown = well(ran, "gc", "--older-than", "0")
    assert "1 thing, " in shown.out
    assert "nothing was removed, add --yes to remove it" in shown.out
    assert well(ran, "gc").out == "nothing to remove\n"  # it is young
    values = well(ran, "gc", "--older-than", "0", "--json").json
    assert values["removed"] is False
    assert [one["kind"] for one in values["leftovers"]] == ["result"]
    gone = ran / STORE / values["leftovers"][0]["place"]
    assert gone.is_dir()
    assert "removed 1 thing" in well(ran, "gc", "--older-than", "0", "--yes").out
    assert not gone.exists()
    made = well(ran, "run", "home.yaml", "--json").json["made"]
    assert made == ["bundle/home"]


def test_an_age_that_is_none_is_refused(fresh: Path):
    outcome = composer(fresh, "gc", "--older-than", "soon")
    assert outcome.status == 2
    assert "'soon' is no age; write 30m, 12h, 7d, 2w or 0" in outcome.err


@pytest.mark.parametrize("command", [("plan", "home.yaml"), ("run", "home.yaml"), ("gc",)])
def test_a_store_that_cannot_be_is_told_by_every_command(fresh: Path, command: tuple[str, ...]):
    outcome = composer(fresh, *command, "--store", "s3n://bucket/x")
    assert outcome.status == 2
    assert "--store: no store can be kept on 's3n://'; did you mean 's3" in outcome.err
    outcome = composer(fresh, *command, "--store", "s3://me:hunter2@bucket/x")
    assert outcome.status == 2
    assert "a password in a URL" in outcome.err
    assert "hunter2" not in outcome.err + outcome.out
