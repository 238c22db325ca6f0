import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from composer.engine.commands.single import (
    Command,
    DataOptions,
    backbone_values,
    data_values,
    evaluate_stage,
    export_stage,
    fuse_stage,
    train_language_stage,
    train_task_stage,
)
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import Wanted
from composer.engine.running.events import RunOptions, RunResult
from composer.engine.running.run import run_stages
from composer.engine.storage.store import Store
from composer.errors import RecipeError
from composer.recipe.expansion.stages import Evaluate, Export, TrainComposition, TrainTask
from composer.recipe.grammar.data import FileData
from tests.engine.fakes import FakeRunners, write_backbone

DATA = DataOptions(data="intent.csv")


@pytest.fixture
def command(folder: Path, store: Store) -> Command:
    return Command(
        store=store,
        folder=folder,
        backbone="folder:backbone",
        changes=("backbone.precision=float32", "training.epochs=1"),
    )


@pytest.fixture
def stored(command: Command) -> Command:
    """The same, with the backbone as the stored results say."""
    return replace(command, backbone=None, changes=())


@pytest.fixture
def carry_out(store: Store, runners: FakeRunners) -> Callable[[Wanted], RunResult]:
    def run(wanted: Wanted) -> RunResult:
        return run_stages(make_plan(wanted, store), store, RunOptions(runners=runners))

    return run


@pytest.fixture
def tasks(command: Command, carry_out: Callable[[Wanted], RunResult]) -> None:
    """Two stored tasks."""
    small = replace(command, changes=(*command.changes, "adapters.task.width=4"))
    for name in ("intent", "domain"):
        data = DataOptions(data=f"{name}.csv")
        carry_out(train_task_stage(small, name, data=data, adapter="madapter"))


@pytest.fixture
def home(plan_of: Callable[..., Plan], store: Store, runners: FakeRunners) -> RunResult:
    """The whole recipe, carried out."""
    result = run_stages(plan_of(), store, RunOptions(runners=runners))
    runners.calls.clear()
    return result


def test_one_task_is_one_stage(
    command: Command, carry_out: Callable[[Wanted], RunResult], runners: FakeRunners
):
    changes = (*command.changes, "adapters.task.width=4")
    wanted = train_task_stage(replace(command, changes=changes), "intent", data=DATA)
    (stage,) = wanted.stages
    assert isinstance(stage, TrainTask)
    assert stage.shape.width == 4
    assert stage.training.epochs == 1
    assert wanted.outside
    carry_out(wanted)
    carry_out(wanted)
    assert runners.calls == ["task/intent"]


def test_a_command_finds_what_a_recipe_made(
    home: RunResult, command: Command, carry_out: Callable[[Wanted], RunResult]
):
    changes = (*command.changes, "adapters.task.width=4", "training.learning_rate=1.0e-3")
    wanted = train_task_stage(
        replace(command, changes=changes), "intent", data=DATA, adapter="madapter"
    )
    result = carry_out(wanted)
    assert result.made == ()
    assert result.results["task/intent"].key == home.results["task/intent"].key


@pytest.mark.parametrize(
    ("head", "made"),
    [("shared", ("language-head/shared", "language/de")), ("own", ("language/de",))],
)
def test_a_language_is_one_stage_after_the_head_that_it_needs(
    command: Command,
    carry_out: Callable[[Wanted], RunResult],
    head: str,
    made: tuple[str, ...],
):
    changes = (*command.changes, "adapters.language.width=2", f"languages.head={head}")
    wanted = train_language_stage(
        replace(command, changes=changes), "de", data=DataOptions(data="text/de.txt")
    )
    assert carry_out(wanted).made == made


def test_a_task_on_stored_language_adapters(home: RunResult, stored: Command):
    changes = ("adapters.task.width=4",)
    wanted = train_task_stage(
        replace(stored, changes=changes), "place", data=DATA, over=["en", "de"]
    )
    (stage,) = wanted.stages
    assert isinstance(stage, TrainTask)
    assert stage.over == {"en": "language/en"}
    assert wanted.stored["language/en"] == home.results["language/en"].key


@pytest.mark.usefixtures("tasks")
def test_two_stored_tasks_are_fused_and_nothing_else_is_trained(
    stored: Command, carry_out: Callable[[Wanted], RunResult], runners: FakeRunners
):
    runners.calls.clear()
    data = DataOptions(data="domain.csv")
    wanted = fuse_stage(
        replace(stored, changes=("training.epochs=3",)),
        ["intent", "domain", "none"],
        name="few-shot",
        task="intent",
        data=data,
    )
    (stage,) = wanted.stages
    assert isinstance(stage, TrainComposition)
    assert str(stage.composition) == "fuse(intent, domain, none)"
    assert stage.task.labels == ("intent", "other")  # of the stored head, in its order
    assert isinstance(stage.data.source, FileData)
    assert stage.data.source.path == "domain.csv"
    assert stage.training.epochs == 3
    assert carry_out(wanted).made == ("composition/few-shot",)
    assert runners.calls == ["composition/few-shot"]


@pytest.mark.usefixtures("home")
def test_a_fusion_of_a_task_over_languages_is_over_them_too(stored: Command):
    wanted = fuse_stage(stored, ["domain", "intent"], name="mix", task="domain", how="gate")
    (stage,) = wanted.stages
    assert isinstance(stage, TrainComposition)
    assert str(stage.composition) == "$language > gate(domain, intent)"
    assert set(stage.parts) == {"domain", "intent", "en"}


@pytest.mark.usefixtures("tasks")
def test_a_fusion_without_the_targets_own_adapter_is_worth_a_warning(
    stored: Command, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    fuse_stage(stored, ["intent", "domain"], name="x", task="intent")
    assert not caplog.records
    fuse_stage(stored, ["domain", "none"], name="x", task="intent")
    assert "intent itself is not fused" in caplog.text


@pytest.mark.usefixtures("tasks")
def test_all_names_that_stand_for_nothing_are_told_at_once(stored: Command):
    with pytest.raises(RecipeError) as caught:
        fuse_stage(stored, ["intnt", "domian", "domain"], name="x", task="intent")
    assert [fault.message.rpartition("; ")[2] for fault in caught.value.faults] == [
        "did you mean 'intent'?",
        "did you mean 'domain'?",
    ]


@pytest.mark.usefixtures("tasks", "home")
def test_a_name_of_two_recipes_must_say_which(stored: Command):
    with pytest.raises(RecipeError, match="say which: command-line/task/domain, home/task/domain"):
        fuse_stage(stored, ["domain", "none"], name="x", task="domain")
    wanted = fuse_stage(
        stored,
        ["command-line/domain", "home/domain"],
        name="x",
        task="home/domain",
    )
    (stage,) = wanted.stages
    assert isinstance(stage, TrainComposition)
    assert set(stage.parts) == {"domain", "home-domain", "en"}


def test_parts_of_two_backbones_are_refused(
    command: Command,
    stored: Command,
    carry_out: Callable[[Wanted], RunResult],
    folder: Path,
):
    write_backbone(folder / "other", seed=1)
    for name, backbone in (("intent", "backbone"), ("domain", "other")):
        one = replace(command, backbone=f"folder:{backbone}", changes=("adapters.task.width=4",))
        carry_out(train_task_stage(one, name, data=DATA))
    with pytest.raises(RecipeError, match=r"domain was trained on .*, intent on .* one backbone"):
        fuse_stage(stored, ["intent", "domain"], name="x", task="intent")


@pytest.mark.usefixtures("tasks")
def test_mixed_placements_are_refused_as_in_a_recipe(
    command: Command, stored: Command, carry_out: Callable[[Wanted], RunResult]
):
    changes = ("adapters.task.width=4", "adapters.task.placement=pfeiffer")
    carry_out(train_task_stage(replace(command, changes=changes), "third", data=DATA))
    with pytest.raises(RecipeError, match="placement"):
        fuse_stage(stored, ["intent", "third"], name="x", task="intent")


@pytest.mark.usefixtures("home")
def test_a_stored_composition_is_scored_in_a_language_with_its_own_data(stored: Command):
    wanted = evaluate_stage(stored, "few-shot", languages=["en", "de"])
    assert [stage.name for stage in wanted.stages] == [
        "evaluation/command/few-shot/en",
        "evaluation/command/few-shot/de",
    ]
    stage = wanted.stages[1]
    assert isinstance(stage, Evaluate)
    assert str(stage.composition) == "de > fuse(intent, domain)"
    assert stage.owner == "composition/few-shot"


def test_scores_that_a_recipe_made_are_found(
    home: RunResult, stored: Command, carry_out: Callable[[Wanted], RunResult]
):
    result = carry_out(evaluate_stage(stored, "few-shot", languages=["de"]))
    assert result.made == ()
    key = result.results["evaluation/command/few-shot/de"].key
    assert key == home.results["evaluation/far/few-shot/de"].key


@pytest.mark.usefixtures("home")
def test_scores_on_other_data(stored: Command, carry_out: Callable[[Wanted], RunResult]):
    data = DataOptions(data="domain.csv")
    wanted = evaluate_stage(stored, "intent", languages=["en"], data=data, split="validation")
    assert carry_out(wanted).made == ("evaluation/command/intent/en",)


@pytest.mark.usefixtures("home")
def test_a_language_that_has_no_adapter_is_refused(stored: Command):
    with pytest.raises(RecipeError, match="is called 'fr'"):
        evaluate_stage(stored, "few-shot", languages=["fr"])


def test_a_bundle_takes_the_scores_that_the_store_has(home: RunResult, stored: Command):
    wanted = export_stage(stored, ["few-shot", "intent"], bundle="mine", languages=["de"])
    (stage,) = wanted.stages
    assert isinstance(stage, Export)
    assert [(one.name, str(one.composition)) for one in stage.compositions] == [
        ("few-shot:de", "de > fuse(intent, domain)"),
        ("intent", "intent"),
    ]
    (score,) = stage.compositions[0].evaluations
    assert wanted.stored[score] == home.results["evaluation/far/few-shot/de"].key
    assert stage.compositions[1].evaluations == ()


@pytest.mark.usefixtures("home")
def test_a_bundle_is_made_of_stored_parts_only(
    stored: Command, carry_out: Callable[[Wanted], RunResult], runners: FakeRunners
):
    result = carry_out(export_stage(stored, ["few-shot"], bundle="mine", languages=["de"]))
    assert runners.calls == ["bundle/mine"]
    assert (result.results["bundle/mine"].folder / "bundle" / "manifest.json").exists()


def test_paths_of_stored_parts_are_seen_from_the_working_folder(
    home: RunResult, store: Store, tmp_path: Path, carry_out: Callable[[Wanted], RunResult]
):
    (tmp_path / "elsewhere").mkdir()
    command = Command(store=store, folder=tmp_path / "elsewhere")
    wanted = evaluate_stage(command, "intent", languages=["en"])
    assert wanted.backbone.model_dump()["path"] == "../project/backbone"
    assert carry_out(wanted).made == ("evaluation/command/intent/en",)


def test_a_part_that_is_gone_inside_a_composition_is_told(home: RunResult, stored: Command):
    shutil.rmtree(home.results["task/domain"].folder)
    with pytest.raises(RecipeError, match="domain: its result is gone"):
        evaluate_stage(stored, "few-shot", languages=["en"])


def test_a_command_that_trains_from_nothing_needs_a_backbone(stored: Command):
    with pytest.raises(RecipeError, match="give the backbone, for example --backbone sample:"):
        train_task_stage(stored, "intent", data=DATA)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("training.epoch=1", r"training\.epoch: unknown key; did you mean 'epochs'"),
        ("training.epochs", "--set training.epochs: write key=value"),
        ("training.epochs=[", "--set training.epochs"),
        ("training.epochs=0", r"training\.epochs: must be at least 1"),
    ],
)
def test_a_wrong_change_is_refused(command: Command, change: str, fault: str):
    with pytest.raises(RecipeError, match=fault):
        train_task_stage(replace(command, changes=(change,)), "intent", data=DATA)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            DataOptions(data="hub:owner/name@0a0a"),
            {
                "source": "hub",
                "name": "owner/name",
                "revision": "0a0a",
                "columns": {},
                "truncate": False,
            },
        ),
        (
            DataOptions(data="a.csv", test="b.csv", columns={"label": "intent"}, truncate=True),
            {
                "source": "files",
                "path": {"train": "a.csv", "validation": None, "test": "b.csv"},
                "columns": {"label": "intent"},
                "truncate": True,
            },
        ),
    ],
)
def test_data_is_written_as_in_a_recipe(data: DataOptions, expected: dict[str, object]):
    assert data_values(data) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sample:multilingual-e5-small", {"source": "sample", "name": "multilingual-e5-small"}),
        ("hub:o/n@0a", {"source": "hub", "name": "o/n", "revision": "0a"}),
    ],
)
def test_a_backbone_is_written_as_in_a_recipe(text: str, expected: dict[str, object]):
    assert backbone_values(text) == expected


def test_what_is_no_backbone_is_refused():
    with pytest.raises(RecipeError, match="'bert-base' is no backbone; write sample:NAME"):
        backbone_values("bert-base")
