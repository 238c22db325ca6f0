"""A store in which something was changed by hand, by another program or by a power cut."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from composer.bundle.files import read_json
from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.storage.manifest import MANIFEST, write_sealed
from composer.engine.storage.refs import get_ref
from composer.engine.storage.store import Store
from composer.errors import DataError
from composer.recipe.expansion.stages import Stage
from composer.recipe.reading.reader import read_recipe
from composer.train.context import StageContext
from tests.engine.attempts import attempt, check_done
from tests.engine.fakes import RECIPE, write_backbone
from tests.engine.planning.test_plan import ALL

LABEL = "refs/home/task/intent.json"
PRECIOUS = {"out/mine": "1", "checkpoint/mine": "2", "mine": "3"}

Harm = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that was run, with its store and its lock file; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    write_backbone(folder / "backbone")
    (folder / "text").mkdir()
    for language in ("en", "de"):
        (folder / "text" / f"{language}.txt").write_text(f"a line of {language}\n")
    for task in ("intent", "domain"):
        (folder / f"{task}.csv").write_text(f"text,label\nlights on,{task}\nstop,other\n")
    (folder / "home.yaml").write_text(RECIPE)
    assert attempt(folder, folder / "store") == (ALL, "")
    return folder


@pytest.fixture
def at(whole: Path, tmp_path: Path) -> Iterator[Path]:
    """The store, to be changed, beside files of the user's that nothing may touch."""
    folder = shutil.copytree(whole, tmp_path / "project")
    for name, text in PRECIOUS.items():
        path = folder / "precious" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield folder / "store"
    found = {
        path.relative_to(folder / "precious").as_posix(): path.read_text()
        for path in (folder / "precious").rglob("*")
        if path.is_file()
    }
    assert found == PRECIOUS


def key_of(store: Path, stage: str = "task/intent") -> str:
    ref = get_ref(Store(store), "home", stage)
    assert ref is not None
    return ref.key


def result(store: Path, stage: str = "task/intent") -> Path:
    key = key_of(store, stage)
    return store / "objects" / key[:2] / key


def work(store: Path) -> Path:
    """Where the stage works, once its result is gone."""
    at = result(store)
    shutil.rmtree(at)
    (store / "work").mkdir(exist_ok=True)
    return store / "work" / at.name


def precious(store: Path) -> Path:
    return store.parent / "precious"


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replaced(path: Path, by: Callable[[Path], object]) -> None:
    """Put something else where a file or folder is."""
    remove(path)
    by(path)


def moved_and_linked(path: Path) -> None:
    """Move a file or folder out of the store and leave a link to it."""
    store = next(folder for folder in path.parents if folder.name == "store")
    away = store.with_name(f"away-{path.name}")
    shutil.move(path, away)
    path.symlink_to(away)


def resealed(path: Path, **values: object) -> None:
    """Change what a sealed file says, and seal it again."""
    before = read_json(path)
    before.pop("digest")
    write_sealed(path, {**before, **values})


def forget_a_file(folder: Path) -> None:
    """Take a file out of a result and out of its manifest's list of sizes only."""
    sizes = read_json(folder / MANIFEST)["sizes"]
    resealed(folder / MANIFEST, sizes={**sizes, "../../outside": 1})


def swap(one: Path, other: Path) -> None:
    shutil.rmtree(one)
    shutil.copytree(other, one)


MADE_AGAIN: dict[str, Harm] = {
    "a link to the result": lambda at: moved_and_linked(result(at)),
    "a link to nowhere": lambda at: replaced(result(at), lambda it: it.symlink_to("none")),
    "a link to itself": lambda at: replaced(result(at), lambda it: it.symlink_to(it)),
    "a link to the user's files": lambda at: replaced(
        result(at), lambda it: it.symlink_to(precious(at))
    ),
    "a file for the result": lambda at: replaced(result(at), Path.touch),
    "an empty result": lambda at: replaced(result(at), Path.mkdir),
    "a linked file": lambda at: moved_and_linked(result(at) / "head.json"),
    "a linked manifest": lambda at: moved_and_linked(result(at) / MANIFEST),
    "a pipe for a file": lambda at: replaced(result(at) / "head.json", os.mkfifo),
    "a pipe for a manifest": lambda at: replaced(result(at) / MANIFEST, os.mkfifo),
    "a folder for a file": lambda at: replaced(result(at) / "head.json", Path.mkdir),
    "a folder for a manifest": lambda at: replaced(result(at) / MANIFEST, Path.mkdir),
    "no manifest": lambda at: (result(at) / MANIFEST).unlink(),
    "an extra file": lambda at: (result(at) / "extra.py").write_text("1"),
    "an extra file below": lambda at: (
        replaced(result(at) / "more", Path.mkdir) or (result(at) / "more" / "extra").touch()
    ),
    "an extra link": lambda at: (result(at) / "more").symlink_to(precious(at)),
    "another key's result": lambda at: swap(result(at), result(at, "task/domain")),
    "another key's file": lambda at: shutil.copy(
        result(at, "task/domain") / "result.json", result(at) / "result.json"
    ),
    "sizes of files outside": lambda at: forget_a_file(result(at)),
    "a manifest of no files": lambda at: resealed(result(at) / MANIFEST, files={}, sizes={}),
    "a manifest with more in it": lambda at: resealed(result(at) / MANIFEST, more=1),
}
WORK_MADE_AGAIN: dict[str, Harm] = {
    "work is a link": lambda at: work(at).symlink_to(precious(at)),
    "work is a file": lambda at: work(at).touch(),
    "out is a link": lambda at: _inside(work(at), "out-00").symlink_to(precious(at)),
    "out was left": lambda at: _inside(work(at), "out-00").mkdir(),
    "the checkpoint is a link": lambda at: _inside(work(at), "checkpoint").symlink_to(precious(at)),
    "the checkpoint is a file": lambda at: _inside(work(at), "checkpoint").touch(),
}
NO_HARM: dict[str, Harm] = {
    "a file that a desktop left": lambda at: (result(at) / ".DS_Store").touch(),
    "results on another disk": lambda at: moved_and_linked(at / "objects"),
    "labels on another disk": lambda at: moved_and_linked(at / "refs"),
    "no labels": lambda at: shutil.rmtree(at / "refs"),
    "no times": lambda at: (at / "timings.jsonl").unlink(),
    "a pipe for a label": lambda at: replaced(at / LABEL, os.mkfifo),
    "a label of no key": lambda at: resealed(at / LABEL, key="../../../etc/passwd"),
    "a label of an unknown key": lambda at: resealed(at / LABEL, key="0" * 64),
    "a label that says nothing": lambda at: resealed(at / LABEL, about=3),
    "a label without its seal": lambda at: (at / LABEL).write_text('{"format": 1}'),
    "labels whose names lead out": lambda at: [
        (at / "refs" / "home" / name).write_text("{}") for name in ("...json", "..json", "a:b.json")
    ],
    "a label outside of recipes": lambda at: (at / "refs" / "x.json").write_text("{}"),
}
# harm, what is said, what to remove then
REFUSED: dict[str, tuple[Harm, str, str]] = {
    "a file for the store": (
        lambda at: replaced(at, Path.touch),
        "Not a directory; a folder must be there; give another place with --store FOLDER",
        "",
    ),
    "a file for all results": (
        lambda at: replaced(at / "objects", Path.touch),
        "a folder must be there; give another place with --store FOLDER",
        "objects",
    ),
    "a file for damaged results": (
        lambda at: [(result(at) / "head.json").unlink(), (at / "damaged").touch()],
        "a folder must be there; give another place with --store FOLDER",
        "damaged",
    ),
    "a folder for a label": (
        lambda at: replaced(at / LABEL, Path.mkdir),
        "a plain file must be there; move away what is, and run the same command again",
        LABEL,
    ),
    "a link for a label": (
        lambda at: moved_and_linked(at / LABEL),
        "intent.json is a symbolic link",
        LABEL,
    ),
    "a link for times": (
        lambda at: replaced(at / "timings.jsonl", lambda it: it.symlink_to(precious(at) / "mine")),
        "timings.jsonl is a symbolic link",
        "timings.jsonl",
    ),
    "a link for a lock": (
        lambda at: replaced(
            at / "locks" / f"{work(at).name}.lock",
            lambda it: it.symlink_to(precious(at) / "mine"),
        ),
        "a plain file must be there; move away what is, and run the same command again",
        "locks",
    ),
    "a result of a later composer": (
        lambda at: resealed(result(at) / MANIFEST, format=2, more=1),
        "format 2, this composer reads 1; use the composer that wrote it, or give another place",
        "objects",
    ),
    "a label of a later composer": (
        lambda at: resealed(at / LABEL, format=2, more=1),
        "format 2, this composer reads 1; use the composer that wrote it, or give another place",
        LABEL,
    ),
}


def _inside(folder: Path, name: str) -> Path:
    folder.mkdir()
    return folder / name


@pytest.mark.parametrize("harm", MADE_AGAIN.values(), ids=MADE_AGAIN)
def test_a_result_that_is_not_what_was_published_is_made_again_and_nothing_else(
    at: Path, harm: Harm
):
    expected = {path.name: path.read_bytes() for path in result(at).iterdir()}
    harm(at)
    assert attempt(at.parent, at) == (["task/intent"], "")
    found = result(at)
    assert not found.is_symlink()
    assert {path.name: path.read_bytes() for path in found.iterdir()} == expected
    check_done(at.parent, at, damaged=1)


@pytest.mark.parametrize("harm", WORK_MADE_AGAIN.values(), ids=WORK_MADE_AGAIN)
def test_whatever_is_in_the_place_of_work_is_removed_and_no_link_followed(at: Path, harm: Harm):
    harm(at)
    assert attempt(at.parent, at) == (["task/intent"], "")
    check_done(at.parent, at)


@pytest.mark.parametrize("harm", NO_HARM.values(), ids=NO_HARM)
def test_what_decides_no_result_makes_nothing_anew(at: Path, harm: Harm):
    harm(at)
    assert attempt(at.parent, at) == ([], "")
    for name in ("home/...json", "home/..json", "home/a:b.json"):
        (at / "refs" / name).unlink(missing_ok=True)
    for path in at.parent.glob("away-*"):
        replaced(at / path.name.removeprefix("away-"), lambda it, path=path: shutil.move(path, it))
    check_done(at.parent, at)


@pytest.mark.parametrize(("harm", "said", "name"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_for_composer_to_mend_is_told_and_left(
    at: Path, harm: Harm, said: str, name: str
):
    harm(at)
    made, fault = attempt(at.parent, at)
    assert made == []
    assert said in fault
    assert str(at) in fault
    assert attempt(at.parent, at) == ([], fault)
    remove(at / name)
    check_done(at.parent, at, damaged=name == "damaged")


def _torn(data: bytes) -> Iterator[bytes]:
    yield from (b"", data[: len(data) // 2], data[:-1], b"\0" * len(data))


@pytest.mark.parametrize("stage", ALL)
def test_a_file_of_any_stage_that_is_torn_is_made_again(at: Path, stage: str):
    names = sorted(path.relative_to(at) for path in result(at, stage).rglob("*") if path.is_file())
    assert len(names) >= 2
    moved = 0
    for name in names:
        whole = (at / name).read_bytes()
        for torn in _torn(whole):
            (at / name).write_bytes(torn)
            assert Store(at).open(key_of(at, stage)) is None
        assert attempt(at.parent, at) == ([stage], "")
        assert (at / name).read_bytes() == whole
        moved += 1
    check_done(at.parent, at, damaged=moved)


def test_a_label_with_any_byte_changed_is_not_used_and_written_again(
    at: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR)
    whole = (at / LABEL).read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        (at / LABEL).write_bytes(changed)
        assert get_ref(Store(at), "home", "task/intent") is None
    for torn in _torn(whole):
        (at / LABEL).write_bytes(torn)
        assert get_ref(Store(at), "home", "task/intent") is None
    check_done(at.parent, at)
    assert (at / LABEL).read_bytes() == whole


@pytest.mark.parametrize("kind", [0, 1, 3])
def test_a_torn_lock_file_is_refused_with_a_remedy_and_never_replaced(at: Path, kind: int):
    path = at.parent / "home.lock"
    torn = list(_torn(path.read_bytes()))[kind]
    path.write_bytes(torn)
    made, fault = attempt(at.parent, at)
    assert made == []
    assert fault.startswith(f"{path}: ")
    assert fault.endswith("; take it back from version control, or delete it")
    assert path.read_bytes() == torn
    path.unlink()
    check_done(at.parent, at)
    assert all(one["outputs"] for one in json.loads(path.read_bytes())["stages"].values())


def test_a_lock_file_in_no_folder_is_told_before_anything_is_run(at: Path):
    shutil.move(at, at.parent / "precious" / "store")
    made, fault = attempt(at.parent, at.parent / "none" / "store")
    assert made == []
    assert "none is not a folder; make it, or give another place with --lock PATH" in fault
    assert not (at.parent / "none").exists()
    shutil.move(at.parent / "precious" / "store", at)


def test_a_result_that_is_damaged_under_a_run_is_not_used_by_a_later_stage(at: Path):
    for stage in ("task/domain", "composition/few-shot"):
        shutil.rmtree(result(at, stage))

    def harm(stage: Stage, context: StageContext) -> None:
        (result(at, "task/intent") / "head.json").write_text("{}")

    made, fault = attempt(at.parent, at, harm)
    assert made == ["task/domain"]
    assert "task/intent: its result was damaged or removed while this run was on; run" in fault
    check_done(at.parent, at, damaged=1)


def test_data_that_is_changed_under_a_run_is_not_published_under_the_key_of_the_old(at: Path):
    data = at.parent / "intent.csv"
    before = data.read_bytes()
    shutil.rmtree(result(at, "task/intent"))

    def change(stage: Stage, context: StageContext) -> None:
        data.write_bytes(before + b"more,other\n")

    with pytest.raises(DataError, match="task/intent: its data was changed while this run was on"):
        attempt(at.parent, at, change)
    data.write_bytes(before)
    assert not list((at / "work").iterdir())
    check_done(at.parent, at)


@pytest.mark.parametrize("name", ["result.json", "head.json", MANIFEST])
def test_a_plan_says_of_small_files_that_they_are_damaged(at: Path, name: str):
    (result(at) / name).write_bytes(b"{")
    plan = make_plan(wanted_of(read_recipe(at.parent / "home.yaml")), Store(at))
    state = {one.stage.name: (one.state, one.reasons) for one in plan.stages}["task/intent"]
    assert state[0] == "run"
    assert name in str(state[1][0])
