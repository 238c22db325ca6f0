import errno
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from composer.engine.planning.choice import choose_stages
from composer.engine.planning.lock import lock_path, read_lock
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted, wanted_of
from composer.engine.running.events import Event, RunOptions
from composer.engine.running.run import run_stages
from composer.engine.storage.refs import all_refs
from composer.engine.storage.store import Store
from composer.errors import RecipeError, StoppedError, StoreError
from composer.recipe.expansion.stages import Stage
from composer.recipe.reading.reader import read_recipe
from composer.train.context import StageContext
from tests.engine.fakes import FakeRunners
from tests.engine.planning.test_plan import ALL

PlanOf = Callable[..., Plan]


def outputs(store: Store, plan: Plan) -> dict[str, str]:
    """The digest of what each stage made."""
    found = {one.stage.name: store.open(one.key or "") for one in plan.stages}
    return {name: result.manifest.output_digest for name, result in found.items() if result}


def test_stages_are_carried_out_in_order_and_never_again(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    first = run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == ALL
    assert list(first.made) == list(first.results) == ALL
    again = run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == ALL
    assert again.made == ()
    assert list(again.results) == ALL


def test_a_stage_is_given_what_it_needs(plan_of: PlanOf, store: Store, runners: FakeRunners):
    seen: dict[str, StageContext] = {}
    runners.during = lambda stage, context: seen.update({stage.name: context})
    plan = plan_of()
    run_stages(plan, store, RunOptions(runners=runners))
    keys = {one.stage.name: one.key for one in plan.stages}
    context = seen["composition/few-shot"]
    needs = {"task/intent", "task/domain", "language/en"}
    assert context.needs.keys() == context.inputs.keys() == needs
    for name in needs:
        assert context.needs[name] == keys[name]
        assert (context.inputs[name] / "result.json").exists()
    assert context.key == keys["composition/few-shot"]
    assert plan.facts is not None
    assert context.fingerprints == plan.facts.fingerprints
    assert context.precision == "float32"
    assert (context.backbone_folder() / "model.safetensors").exists()
    assert not context.outside
    assert context.recipe == context.lock == {}  # an export's alone: it is as long as a recipe
    assert seen["bundle/home"].recipe["name"] == "home"


def test_the_backbone_is_looked_for_once_a_run_and_only_if_it_is_needed(
    plan_of: PlanOf, store: Store, runners: FakeRunners, monkeypatch: pytest.MonkeyPatch
):
    looked: list[int] = []

    def look(*args: object, **options: object) -> Path:
        looked.append(1)
        return Path("somewhere")

    monkeypatch.setattr("composer.engine.running.making.backbone_folder", look)
    run_stages(plan_of(), store, RunOptions(runners=runners, only=("language/en",)))
    assert looked == []
    runners.during = lambda stage, context: context.backbone_folder()
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert looked == [1]


def test_an_export_is_given_the_lock_of_what_it_rests_on(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    plan = plan_of()
    result = run_stages(plan, store, RunOptions(runners=runners))
    folder = result.results["bundle/home"].folder
    lock = json.loads((folder / "bundle" / "manifest.json").read_text())["lock"]
    assert lock["stages"].keys() == {*ALL} - {"bundle/home", "evaluation/far/few-shot/en"}
    intent = result.results["task/intent"]
    assert lock["stages"]["task/intent"]["outputs"] == intent.manifest.output_digest
    assert lock["versions"] == dict(plan.versions)


def test_what_happens_is_told(plan_of: PlanOf, store: Store, runners: FakeRunners):
    told: list[Event] = []
    run_stages(plan_of(), store, RunOptions(runners=runners, on_event=told.append))
    assert [(one.kind, one.stage, one.number, one.total) for one in told[:4]] == [
        ("started", "language/en", 1, 8),
        ("progress", "language/en", 1, 8),
        ("made", "language/en", 1, 8),
        ("started", "language/de", 2, 8),
    ]
    assert told[1].progress is not None
    assert told[1].progress.loss == 0.5
    assert told[2].seconds is not None
    told.clear()
    run_stages(plan_of(), store, RunOptions(runners=runners, on_event=told.append))
    assert {one.kind for one in told} == {"found"}


def test_only_a_stage_and_what_it_needs_is_carried_out(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    run_stages(plan_of(), store, RunOptions(runners=runners, only=("task/domain",)))
    assert runners.calls == ["language/en", "task/domain"]


def test_a_beginning_of_names_chooses_all_of_them(plan_of: PlanOf):
    chosen = choose_stages(plan_of(), ["evaluation/far", "task/intent"])
    assert [one.stage.name for one in chosen] == ALL[:-1]


def test_names_that_no_stage_has_are_all_refused(plan_of: PlanOf):
    with pytest.raises(RecipeError) as caught:
        choose_stages(plan_of(), ["task/intnt", "task", "nothing", "tas"])
    assert str(caught.value).splitlines() == [
        "--only: no stage is named 'task/intnt'; did you mean 'task/intent'?",
        f"--only: no stage is named 'nothing'; known: {', '.join(sorted(ALL))}",
        f"--only: no stage is named 'tas'; known: {', '.join(sorted(ALL))}",
    ]


def test_a_damaged_result_is_made_again_and_nothing_else(
    plan_of: PlanOf, store: Store, runners: FakeRunners, caplog: pytest.LogCaptureFixture
):
    plan = plan_of()
    before = run_stages(plan, store, RunOptions(runners=runners)).results
    digests = outputs(store, plan)
    path = before["task/intent"].folder / "result.json"
    path.write_bytes(path.read_bytes().replace(b"{", b"["))
    runners.calls.clear()
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == ["task/intent"]
    assert "result.json is damaged" in caplog.text
    assert outputs(store, plan) == digests


def test_two_stages_of_one_key_are_carried_out_once(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    twice = {
        "  domain:\n    {": "  again: {type: text-classification, data: intent, "
        "languages: [en], adapter: task}\n  domain:\n    {"
    }
    plan = plan_of(replaced=twice)
    result = run_stages(plan, store, RunOptions(runners=runners))
    assert "task/again" not in runners.calls
    assert result.results["task/again"].key == result.results["task/intent"].key


def test_a_fault_in_a_stage_leaves_what_was_made_and_publishes_nothing_of_it(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    runners.during = _once_at("task/domain", lambda context: _raise(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        run_stages(plan_of(), store, RunOptions(runners=runners))
    assert [one.state for one in plan_of().stages] == ["done"] * 3 + ["run"] * 5
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == [*ALL[:4], *ALL[3:]]


def _raise(error: BaseException) -> None:
    raise error


def _once_at(
    name: str, action: Callable[[StageContext], object]
) -> Callable[[Stage, StageContext], None]:
    left = [name]

    def during(stage: Stage, context: StageContext) -> None:
        if stage.name in left:
            left.remove(stage.name)
            action(context)

    return during


def test_a_stage_that_was_stopped_goes_on_from_its_checkpoint(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    def stop(context: StageContext) -> None:
        (context.checkpoint / "state").write_text("step 7")
        raise StoppedError("stopped at step 7 of 9; a checkpoint is written")

    runners.during = _once_at("task/intent", stop)
    with pytest.raises(StoppedError, match=r"step 7 of 9.*the same command.*\(2 of 8 stages"):
        run_stages(plan_of(), store, RunOptions(runners=runners))
    read: list[str] = []
    told: list[Event] = []
    runners.during = _once_at(
        "task/intent", lambda context: read.append((context.checkpoint / "state").read_text())
    )
    run_stages(plan_of(), store, RunOptions(runners=runners, on_event=told.append))
    assert read == ["step 7"]
    assert [one.stage for one in told if one.resumed] == ["task/intent"]
    assert not list((store.folder / "work").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_stage_wherever_it_is_and_says_how_to_go_on(
    plan_of: PlanOf, store: Store, runners: FakeRunners, number: signal.Signals
):
    def interrupt(context: StageContext) -> None:
        os.kill(os.getpid(), number)
        time.sleep(1)
        pytest.fail("went on")

    before = signal.getsignal(number)
    runners.during = _once_at("task/intent", interrupt)
    with pytest.raises(
        StoppedError, match=r"stopped in task/intent; run the same command .*\(2 of 8"
    ) as caught:
        run_stages(plan_of(), store, RunOptions(runners=runners))
    assert caught.value.exit_status == 130
    assert signal.getsignal(number) is before
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == [*ALL[:3], *ALL[2:]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_that_has_something_to_save_is_stopped_when_it_has(
    plan_of: PlanOf, store: Store, runners: FakeRunners, number: signal.Signals
):
    requested: list[bool] = []

    def interrupt(context: StageContext) -> None:
        with context.stop.held():
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            requested.append(context.stop.requested)
        pytest.fail("went on")

    runners.during = _once_at("task/intent", interrupt)
    with pytest.raises(
        StoppedError, match=r"stopped in task/intent; run the same command .*\(2 of 8"
    ):
        run_stages(plan_of(), store, RunOptions(runners=runners))
    assert requested == [True]


def test_a_stop_that_is_asked_for_and_not_signalled_is_heeded_between_stages(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    def ask(context: StageContext) -> None:
        context.stop.requested = True

    runners.during = _once_at("task/intent", ask)
    with pytest.raises(
        StoppedError, match=r"stopped before task/domain; run the same command .*\(3 of 8"
    ):
        run_stages(plan_of(), store, RunOptions(runners=runners))
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == ALL


def test_what_a_library_makes_of_a_stop_is_a_stop(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    def interrupt(context: StageContext) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt as stop:
            raise RuntimeError("half imported") from stop

    runners.during = _once_at("task/intent", interrupt)
    with pytest.raises(StoppedError, match=r"stopped in task/intent.*\(2 of 8") as caught:
        run_stages(plan_of(), store, RunOptions(runners=runners))
    assert str(caught.value.__cause__) == "half imported"


def test_a_fault_of_the_store_after_a_stop_is_told(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    def stop_and_fail(context: StageContext) -> None:
        context.stop.requested = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    runners.during = _once_at("task/intent", stop_and_fail)
    with pytest.raises(StoreError, match="free some space"):
        run_stages(plan_of(), store, RunOptions(runners=runners))


def test_a_second_signal_stops_at_once(plan_of: PlanOf, store: Store, runners: FakeRunners):
    def interrupt_twice(context: StageContext) -> None:
        with context.stop.held():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            pytest.fail("went on")

    runners.during = _once_at("task/intent", interrupt_twice)
    with pytest.raises(StoppedError, match=r"stopped in task/intent.*\(2 of 8"):
        run_stages(plan_of(), store, RunOptions(runners=runners))
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert runners.calls == [*ALL[:3], *ALL[2:]]


def test_another_thread_can_run(plan_of: PlanOf, store: Store, runners: FakeRunners):
    plan = plan_of()
    thread = threading.Thread(target=lambda: run_stages(plan, store, RunOptions(runners=runners)))
    thread.start()
    thread.join()
    assert runners.calls == ALL


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_in_a_stage_is_a_fault_of_the_store(
    plan_of: PlanOf, store: Store, runners: FakeRunners, number: int
):
    runners.during = _once_at(
        "task/intent", lambda context: _raise(OSError(number, os.strerror(number)))
    )
    with pytest.raises(StoreError, match=os.strerror(number)) as caught:
        run_stages(plan_of(), store, RunOptions(runners=runners))
    assert str(store.folder) in str(caught.value)
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert {one.state for one in plan_of().stages} == {"done"}


def test_a_file_that_a_stage_misses_elsewhere_is_no_fault_of_the_store(
    plan_of: PlanOf, store: Store, runners: FakeRunners, folder: Path
):
    runners.during = lambda stage, context: (folder / "none.csv").read_text()
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        run_stages(plan_of(), store, RunOptions(runners=runners))


def test_a_store_that_vanishes_under_a_stage_is_told(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    runners.during = _once_at("task/intent", lambda context: shutil.rmtree(store.folder))
    with pytest.raises(StoreError, match="vanished while it was in use; run the same command"):
        run_stages(plan_of(), store, RunOptions(runners=runners))
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert {one.state for one in plan_of().stages} == {"done"}


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def test_killed_anywhere_a_run_goes_on_to_the_same_bytes(
    wanted: Wanted, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Kill every run after some writes, start it again, and so on until it ends."""
    whole = Store(folder / "whole")
    plan = make_plan(wanted, whole)
    run_stages(plan, whole, RunOptions(runners=FakeRunners()))
    expected = outputs(whole, plan)
    store, runners, kills = Store(folder / "killed"), FakeRunners(), 0
    for patience in range(3, 100):
        try:
            with monkeypatch.context() as patch:
                _kill_after(patch, patience)
                plan = make_plan(wanted, store)
                options = RunOptions(runners=runners, lock_file=folder / "home.lock")
                run_stages(plan, store, options)
                break
        except Killed:
            kills += 1
            for key in {one.key for one in plan.stages if store.find(one.key or "")}:
                assert store.open(key or "") is not None
    assert kills >= 5
    assert outputs(store, plan) == expected
    assert not list((store.folder / "work").iterdir())
    for name in ALL:
        key = next(one.key for one in plan.stages if one.stage.name == name) or ""
        paths = [at.folder / "objects" / key[:2] / key / "manifest.json" for at in (store, whole)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def _kill_after(patch: pytest.MonkeyPatch, calls: int) -> None:
    left = [calls]

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return original(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "rename"):
        patch.setattr(os, name, counted(getattr(os, name)))


def _run_slowly(folder: Path, log: Path, start: object) -> None:
    runners = FakeRunners()

    def during(stage: Stage, context: StageContext) -> None:
        time.sleep(0.05)
        with log.open("a") as file:
            file.write(f"{stage.name}\n")

    runners.during = during
    store = Store(folder / ".composer")
    plan = make_plan(wanted_of(read_recipe(folder / "home.yaml")), store)
    start.wait()  # type: ignore[attr-defined]
    run_stages(plan, store, RunOptions(runners=runners, lock_file=folder / "home.lock"))


def test_two_runs_at_once_make_each_stage_once(folder: Path, store: Store, plan_of: PlanOf):
    spawn = multiprocessing.get_context("spawn")
    start, log = spawn.Barrier(2), folder / "log"
    processes = [spawn.Process(target=_run_slowly, args=(folder, log, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(log.read_text().splitlines()) == sorted(ALL)
    assert {one.state for one in plan_of().stages} == {"done"}
    lock = read_lock(folder / "home.lock")
    assert lock is not None
    assert all(stage.outputs for stage in lock.stages.values())


def test_what_is_left_after_a_publication_is_removed_by_the_next_run(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    plan = plan_of()
    run_stages(plan, store, RunOptions(runners=runners))
    left = store.folder / "work" / (plan.stages[0].key or "") / "checkpoint"
    left.mkdir(parents=True)
    run_stages(plan_of(), store, RunOptions(runners=runners))
    assert not left.parent.exists()


def test_results_are_labelled_with_the_command_that_makes_them(
    plan_of: PlanOf, store: Store, runners: FakeRunners
):
    run_stages(plan_of(), store, RunOptions(runners=runners, command="composer run home.yaml"))
    refs = all_refs(store)
    assert sorted(ref.stage for ref in refs) == sorted(ALL)
    assert {ref.about["command"] for ref in refs} == {"composer run home.yaml"}
    assert {ref.about["folder"] for ref in refs} == {".."}


def test_when_everything_is_done_nothing_is_written(
    plan_of: PlanOf,
    store: Store,
    runners: FakeRunners,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    options = RunOptions(runners=runners, lock_file=folder / "home.lock")
    run_stages(plan_of(), store, options)
    plan = plan_of()
    for name in ("mkdir", "replace", "rename", "fsync", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, lambda *args, **kwargs: pytest.fail("wrote"))
    assert run_stages(plan, store, options).made == ()


def test_a_stored_need_that_is_gone_is_told(plan_of: PlanOf, store: Store, runners: FakeRunners):
    plan = plan_of()
    run_stages(plan, store, RunOptions(runners=runners))
    keys = {one.stage.name: one.key or "" for one in plan.stages}
    stage = next(one.stage for one in plan.stages if one.stage.name == "task/domain")
    alone = replace(plan.wanted, stages=(stage,), stored={"language/en": keys["language/en"]})
    assert run_stages(make_plan(alone, store), store, RunOptions(runners=runners)).made == ()
    path = store.folder / "objects" / keys["language/en"][:2] / keys["language/en"]
    (path / "result.json").write_text("")
    (store.folder / "objects" / keys["task/domain"][:2] / keys["task/domain"]).rename(
        store.folder / "away"
    )
    with pytest.raises(StoreError, match=r"language/en: its result .* is damaged or gone"):
        run_stages(make_plan(alone, store), store, RunOptions(runners=runners))


def test_the_lock_says_what_was_made(
    plan_of: PlanOf,
    store: Store,
    runners: FakeRunners,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("composer.engine.running.run._LOCK_SECONDS", 0.0)
    path = lock_path(folder / "home.yaml")
    plan = plan_of()
    seen: list[dict[str, bool]] = []

    def during(stage: Stage, context: StageContext) -> None:
        lock = read_lock(path)
        assert lock is not None
        seen.append({name: bool(one.outputs) for name, one in lock.stages.items()})

    runners.during = during
    result = run_stages(plan, store, RunOptions(runners=runners, lock_file=path))
    assert not any(seen[0].values())
    assert sum(seen[-1].values()) == 7
    lock = read_lock(path)
    assert lock is not None
    assert {name: one.key for name, one in lock.stages.items()} == {
        one.stage.name: one.key for one in plan.stages
    }
    for name, one in lock.stages.items():
        assert one.outputs == result.results[name].manifest.output_digest
        assert one.threads == 2
    assert lock.precision == "float32"
    assert str(folder) not in path.read_text()


def test_the_lock_is_the_same_bytes_every_time(
    plan_of: PlanOf, store: Store, folder: Path, runners: FakeRunners
):
    for name in ("a", "b"):
        run_stages(
            plan_of(),
            Store(folder / name),
            RunOptions(runners=runners, lock_file=folder / f"{name}.lock"),
        )
    assert (folder / "a.lock").read_bytes() == (folder / "b.lock").read_bytes()


def test_the_same_key_with_other_bytes_is_a_loud_warning(
    plan_of: PlanOf, folder: Path, runners: FakeRunners, caplog: pytest.LogCaptureFixture
):
    path = folder / "home.lock"
    run_stages(plan_of(), Store(folder / "a"), RunOptions(runners=runners, lock_file=path))
    assert not caplog.records
    runners.during = _once_at(
        "task/intent", lambda context: (context.out / "extra").write_text("other")
    )
    run_stages(plan_of(), Store(folder / "b"), RunOptions(runners=runners, lock_file=path))
    assert "home.lock: same key, other bytes: task/intent has outputs" in caplog.text


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "line 1"),
        ('{"format": 2}', "format 2, this composer reads 1"),
        ('{"format": 1}', "recipe: Field required"),
    ],
)
def test_a_file_that_is_no_lock_is_refused_before_anything_is_run(
    plan_of: PlanOf, store: Store, folder: Path, runners: FakeRunners, content: str, fault: str
):
    path = folder / "home.lock"
    path.write_text(content)
    with pytest.raises(StoreError, match=fault):
        run_stages(plan_of(), store, RunOptions(runners=runners, lock_file=path))
    assert runners.calls == []


def test_a_recipe_in_a_read_only_folder_says_where_else_the_lock_can_be(
    plan_of: PlanOf,
    store: Store,
    folder: Path,
    runners: FakeRunners,
    monkeypatch: pytest.MonkeyPatch,
):
    plan = plan_of()

    def refuse(*args: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match="give another place with --lock PATH"):
        run_stages(plan, store, RunOptions(runners=runners, lock_file=folder / "home.lock"))
    assert runners.calls == []
