"""Real results of every kind of stage, changed, torn, and on disks that are full."""

import json
import random
import resource
import shutil
from functools import partial
from pathlib import Path

import pytest

from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.errors import BackboneError, DataError
from composer.recipe.reading.reader import read_recipe
from tests.cli.projects import COMMANDS, STAGES, STORE, well
from tests.cli.terminal import composer, published
from tests.engine.disks import small_disk
from tests.warm import begin

PLACES = 24  # of one file where a byte is changed, beside the first and the last


def results(project: Path) -> dict[str, Path]:
    """Stage -> folder of its result."""
    store = project / STORE
    refs = store / "refs" / "home"
    keys = {
        path.relative_to(refs).with_suffix("").as_posix(): json.loads(path.read_bytes())["key"]
        for path in refs.rglob("*.json")
    }
    assert sorted(keys) == sorted(STAGES)
    return {stage: store / "objects" / key[:2] / key for stage, key in keys.items()}


def changed(file: Path, place: int) -> bytes:
    """Change one byte of a file; give what was in it."""
    whole = file.read_bytes()
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    return whole


def test_one_byte_changed_in_any_file_of_any_kind_of_stage_is_never_used(
    ran: Path, caplog: pytest.LogCaptureFixture
):
    store, numbers, tried = Store(ran / STORE), random.Random(1), 0
    for folder in results(ran).values():
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            size = file.stat().st_size
            for place in {0, size - 1, *(numbers.randrange(size) for _ in range(PLACES))}:
                whole = changed(file, place)
                assert store.open(folder.name) is None, (file, place)
                file.write_bytes(whole)
                tried += 1
        assert store.open(folder.name) is not None
        caplog.clear()
    assert tried > 1000


def test_results_of_every_stage_are_made_again_to_the_same_bytes(ran: Path):
    before = published(ran / STORE)
    for number, folder in enumerate(results(ran).values()):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        file = files[number % len(files)]
        changed(file, file.stat().st_size // 2)
    outcome = well(ran, "run", "home.yaml")
    assert f"{len(STAGES)} stages: {len(STAGES)} made now" in outcome.out
    assert outcome.err.count("this result is not used") == len(STAGES)
    assert published(ran / STORE) == before
    assert len(list((ran / STORE / "damaged").iterdir())) == len(STAGES)
    assert well(ran, "run", "home.yaml", "--json").json["made"] == []


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "intent", "--data", "test.csv", "--text", "utterance", "--label", "intent"),
        ("export", "intent", "--to", "box"),
        ("predict", "intent", "turn on the lamp"),
        COMMANDS["few"],
    ],
    ids=lambda command: command[0],
)
def test_no_command_uses_a_damaged_part(project: Path, command: tuple[str, ...]):
    ref = project / STORE / "refs/command-line/task/intent.json"
    key = json.loads(ref.read_bytes())["key"]
    changed(project / STORE / "objects" / key[:2] / key / "adapter.safetensors", -9)
    before = published(project / STORE)
    outcome = composer(project, *command)
    assert outcome.status == 2
    assert "adapter.safetensors is damaged: its SHA-256 is another" in outcome.err
    assert "intent: its result is gone from .composer or damaged; make it again" in outcome.err
    assert published(project / STORE) == before
    assert not (project / "box").exists()
    well(project, *COMMANDS["intent"])
    well(project, *command)


def test_one_command_begun_twice_trains_once(fresh: Path):
    commands = []
    for name in ("one", "two"):
        (fresh / name).mkdir()
        for file in ("tiny", "train.csv"):
            (fresh / name / file).symlink_to(fresh / file)
        store = ("--store", str(fresh / STORE), "--json")
        commands.append(begin(fresh / name, *COMMANDS["intent"], *store))
    assert [command.wait() for command in commands] == [0, 0], [one.err for one in commands]
    assert commands[0].out == commands[1].out
    assert sum("task/intent: made in " in command.err for command in commands) == 1
    assert len((fresh / STORE / "timings.jsonl").read_text().splitlines()) == 1
    assert len(list((fresh / STORE).glob("objects/*/*"))) == 1
    assert not list((fresh / STORE / "work").iterdir())


def test_data_and_backbone_that_vanish_after_planning_are_told_and_publish_nothing(fresh: Path):
    store = Store(fresh / STORE)
    for name, error, said in (("en.csv", DataError, r"en\.csv"), ("tiny", BackboneError, "tiny")):
        plan = make_plan(wanted_of(read_recipe(fresh / "home.yaml")), store)
        shutil.move(fresh / name, fresh / "away")
        with pytest.raises(error, match=said):
            run_stages(plan, store, RunOptions())
        shutil.move(fresh / "away", fresh / name)
        assert not list(store.folder.glob("objects/*/*"))
        assert not list(store.folder.glob("refs/**/*.json"))
    assert well(fresh, "run", "home.yaml", "--json").json["made"] == STAGES


def _on_small_disks(project: Path, sizes: list[int]) -> None:
    """Run on disks of these sizes in KiB and again when there is room, all in this process."""
    for size in sizes:
        disk = project / str(size)
        disk.mkdir()
        small_disk(disk, f"size={size}k")
        run = ("run", "home.yaml", "--store", disk / "store")
        outcome = composer(project, *run)
        assert outcome.status == 1
        last = outcome.err.splitlines()[-1]
        assert last.startswith("composer: ")
        assert f"{disk}" in last
        assert "No space left on device; free some space and run the same command again" in last
        store = Store(disk / "store")
        assert all(store.open(path.name) for path in store.folder.glob("objects/*/*"))
        small_disk(disk, "size=20m")
        well(project, *run)
        assert well(project, *run, "--json").json["made"] == []
        assert not list((disk / "store" / "work").iterdir())
        assert not list(disk.rglob("*.part"))


@pytest.mark.parametrize(
    "sizes", [[200], pytest.param([4, 40, 100, 150, 250, 350], marks=pytest.mark.slow)]
)
def test_real_stages_on_a_full_disk_end_with_what_to_do_and_go_on_when_there_is_room(
    fresh: Path, sizes: list[int]
):
    ended = begin(fresh, "--version", before=[partial(_on_small_disks, fresh, sizes)])
    if ended.wait() and "CannotError" in ended.err:
        pytest.skip(ended.err.splitlines()[-1])
    assert ended.process.exitcode == 0, ended.err


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_real_stages_that_may_write_no_large_file_say_so_and_go_on_when_they_may(fresh: Path):
    ended = begin(fresh, "run", "home.yaml", before=[partial(_limit_files, 60_000)])
    assert ended.wait() == 1
    assert "composition/few-shot: started" in ended.err
    last = ended.err.splitlines()[-1]
    assert "File too large; no file may be that large there (see ulimit -f); give another" in last
    done = ["task/intent", "task/domain"]
    assert len(list((fresh / STORE).glob("objects/*/*"))) == len(done)
    again = well(fresh, "run", "home.yaml", "--json")
    assert again.json["made"] == [stage for stage in STAGES if stage not in done]
    assert not list((fresh / STORE / "work").iterdir())


@pytest.mark.parametrize("name", ["training.json", "head.json", "adapter.json"])
def test_a_torn_file_that_a_plan_reads_does_not_keep_a_stage_from_being_made_again(
    project: Path, name: str
):
    ref = project / STORE / "refs/command-line/task/intent.json"
    key = json.loads(ref.read_bytes())["key"]
    (project / STORE / "objects" / key[:2] / key / name).write_bytes(b"{")
    assert " (done before)" not in well(project, *COMMANDS["intent"]).out


@pytest.mark.parametrize("name", ["manifest.json", "scores.json"])
def test_damaged_scores_are_left_out_of_a_bundle_and_named(project: Path, name: str):
    test = ("--data", "test.csv", "--text", "utterance", "--label", "intent")
    well(project, "evaluate", "intent", *test)
    ref = project / STORE / "refs/command-line/evaluation/command/intent/en.json"
    key = json.loads(ref.read_bytes())["key"]
    changed(project / STORE / "objects" / key[:2] / key / name, 60)
    outcome = well(project, "export", "intent", "--to", "box")
    assert f"{name} is damaged" in outcome.err
    assert "this result is not used" in outcome.err
