import logging
import multiprocessing
from pathlib import Path

import pytest

import composer
from composer.errors import DataError, RecipeError, RunError
from tests.api.conftest import ONE_EPOCH, Ran
from tests.cli.projects import STAGES

VALUES = {
    "composer": 1,
    "name": "dict",
    "backbone": {"source": "folder", "path": "tiny"},
    "adapters": {"wide": {"kind": "bottleneck", "width": 8}},
    "data": {
        "intent": {
            "source": "files",
            "path": "train.csv",
            "columns": {"text": "utterance", "label": "intent"},
        }
    },
    "tasks": {
        "intent": {
            "type": "text-classification",
            "data": "intent",
            "languages": ["en"],
            "adapter": "wide",
        }
    },
}


def test_a_recipe_tells_its_stages(project: Path):
    recipe = composer.load_recipe("home.yaml", changes=ONE_EPOCH)
    assert recipe.stages == tuple(STAGES)
    assert repr(recipe) == "recipe home: 10 stages"
    assert "<td>intent, domain</td>" in recipe._repr_html_()


def test_a_recipe_may_be_a_dictionary(project: Path):
    recipe = composer.load_recipe(VALUES, changes={"tasks.intent.languages": ["de"]})
    assert composer.check(recipe).stages == ("task/intent",)
    assert recipe.loaded.recipe.tasks["intent"].languages == ("de",)
    assert recipe.lock_file is None


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        ("home.yaml", {"changes": {"training.epoch": 1}}, "^changes training.epoch=1: .*'epochs'"),
        ("home.yaml", {"profile": "smok"}, "^profile smok: .*did you mean 'smoke'"),
        ("hom.yaml", {}, "hom.yaml"),
        ({**VALUES, "taks": {}}, {}, "^recipe: taks: unknown key; did you mean 'tasks'"),
        ({**VALUES, "include": ["x"]}, {}, "include"),
    ],
)
def test_a_fault_of_a_recipe_names_its_place(
    project: Path, recipe: object, more: dict[str, object], message: str
):
    with pytest.raises(RecipeError, match=message):
        composer.load_recipe(recipe, **more)


def test_check_finds_data_that_is_missing(project: Path):
    missing = {"data.intent.path": "nowhere.csv"}
    with pytest.raises(DataError, match="nowhere.csv"):
        composer.check(composer.load_recipe("home.yaml", changes=missing))


def test_a_plan_is_a_table_of_what_a_run_would_do(project: Path):
    plan = composer.plan_recipe("home.yaml", store="nothing-yet")
    assert plan.stages == plan.left == tuple(STAGES)
    assert plan.records()[0]["state"] == "run"
    assert repr(plan).splitlines()[1].split()[:2] == ["task/intent", "run"]
    assert "<td>task/intent</td><td>run</td>" in plan._repr_html_()
    assert plan.mermaid().startswith("flowchart")
    assert not Path("nothing-yet").exists()


def test_a_run_tells_what_it_reached(ran: Ran):
    run = ran.run
    assert run.made == tuple(run.stages) == tuple(STAGES)
    assert [one.stage for one in ran.events if one.kind == "made"] == STAGES
    assert [(one.composition, one.language) for one in run.scores][:2] == [
        ("intent", "en"),
        ("intent", "de"),
    ]
    assert run.scores[1].unseen
    assert run.values()["made"] == list(STAGES)
    assert "few-shot" in repr(run)
    assert "<td>task/intent</td>" in run._repr_html_()
    assert (ran.folder / "home.lock").exists()


def test_what_is_done_is_not_done_again(ran: Ran):
    assert composer.plan_recipe(ran.recipe, store=ran.folder / "store").left == ()
    again = composer.run_recipe(ran.recipe, store=ran.folder / "store")
    assert again.made == ()


def test_a_bundle_of_a_run_answers_on_the_recipes_backbone(ran: Ran):
    bundle = ran.run.bundle("home")
    (said,) = bundle.predict(["turn on the lamp"], composition="intent")
    assert said.value in ("on", "off", "up")
    with pytest.raises(RecipeError, match="no bundle 'hom' was made; did you mean 'home'"):
        ran.run.bundle("hom")


def test_progress_goes_to_the_log_and_nothing_is_printed(
    project: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    caplog.set_level(logging.INFO, "composer")
    composer.run_recipe(composer.load_recipe(VALUES, changes=ONE_EPOCH), store=tmp_path)
    assert "[1/1] task/intent: started" in caplog.messages
    assert capsys.readouterr() == ("", "")


def test_the_stores_place_comes_from_the_environment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COMPOSER_STORE", str(tmp_path / "elsewhere"))
    with pytest.raises(RecipeError, match="elsewhere"):
        composer.evaluate("intent")


def test_a_script_that_a_worker_reads_again_is_told_what_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(RunError, match='if __name__ == "__main__":'):
        composer.run_recipe("home.yaml")
