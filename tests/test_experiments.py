"""The recipes of the MAdapter paper's experiment: sound, and counted, without a hub."""

import json
import shutil
from pathlib import Path

import pytest

from composer.recipe.grammar.backbones import HubBackbone
from composer.recipe.reading.reader import read_recipe
from tests.cli.terminal import composer

FOLDER = Path(__file__).parent.parent / "recipes"
GLUE, OFFLINE = FOLDER / "madapter" / "glue.yaml", FOLDER / "madapter" / "offline.yaml"
PER_LABEL = FOLDER / "assistant" / "per-label.yaml"
POINT = "batch_examples=8,learning_rate=1e-05"
FULL = {"bert": 108_891_648, "roberta": 124_055_040}  # without the pooler, which nothing trains

Trained = dict[str, dict[str, int]]


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMPOSER_CACHE", str(tmp_path / "cache"))


def planned(tmp_path: Path, recipe: Path, *arguments: str) -> dict[str, dict[str, object]]:
    outcome = composer(tmp_path, "plan", str(recipe), "--json", *arguments)
    assert outcome.status == 0, outcome.err
    return {stage["name"]: stage for stage in json.loads(outcome.out)["stages"]}


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        (GLUE, ()),
        (GLUE, ("--profile", "roberta")),
        (OFFLINE, ()),
        (OFFLINE, ("--profile", "smoke")),
        (PER_LABEL, ()),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else " ".join(value),
)
def test_the_recipe_is_sound_where_no_hub_is_reached(
    tmp_path: Path, recipe: Path, arguments: tuple[str, ...]
):
    outcome = composer(tmp_path, "check", str(recipe), *arguments)
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("backbone", ["bert", "roberta"])
def test_parameters_are_counted_before_the_hub_is_reached(tmp_path: Path, backbone: str):
    profile = ("--profile", "roberta") if backbone == "roberta" else ()
    stages = planned(tmp_path, GLUE, *profile)
    trained = {
        method: stages[f"trial/methods/{method}/cola/{POINT}"]["trained"]
        for method in ("adapter", "madapter", "sparse", "full")
    }
    head = 2 * 769
    assert trained == {
        "adapter": {"adapter": 2_379_264, "norms": 36_864, "head": head},
        "madapter": {"adapter": 1_224_192, "norms": 36_864, "head": head},
        "sparse": {"adapter": 1_435_546, "norms": 36_864, "head": head},
        "full": {"adapter": FULL[backbone], "norms": 0, "head": head},
    }
    of_regression = stages[f"trial/methods/adapter/stsb/{POINT}"]["trained"]
    assert of_regression == trained["adapter"] | {"head": 769}
    assert {stage["key"] for stage in stages.values()} == {None}
    assert {stage["seconds"] for stage in stages.values()} == {None}


def test_shares_of_the_backbone_are_the_papers():
    recipe = read_recipe(GLUE).recipe
    assert isinstance(recipe.backbone, HubBackbone)
    shape = recipe.backbone.shape
    assert shape is not None
    assert shape.parameters is not None
    assert round(100 * 2_379_264 / shape.parameters, 2) == 2.17
    assert round(100 * 1_224_192 / shape.parameters, 2) == 1.12


def test_the_protocol_is_the_papers():
    recipe = read_recipe(GLUE).recipe
    assert {name: task.score for name, task in recipe.tasks.items()} == {
        "cola": "matthews",
        "mrpc": "accuracy",
        "rte": "accuracy",
        "stsb": "pearson",
    }
    assert (recipe.training.epochs, recipe.training.patience) == (20, 5)
    assert recipe.training.head_learning_rate == "same"
    for source in recipe.data.values():
        assert source.splits.model_dump() == {  # type: ignore[union-attr]
            "train": "train",
            "validation": 0.1,
            "test": "validation",
        }
    for block in recipe.compare.values():
        assert block.grid.learning_rate == (1e-5, 5e-5, 1e-4, 5e-4)
        assert block.grid.batch_examples == (8, 16)
        assert len(block.seeds) == 3
        assert set(block.tasks) == set(recipe.tasks)


def test_what_is_stated_of_a_backbone_is_checked_before_it_is_fetched(tmp_path: Path):
    outcome = composer(tmp_path, "check", str(GLUE), "--set", "adapters.adapter.width=900")
    assert outcome.status == 2
    assert "must be at most 768, the backbone's hidden size, not 900" in outcome.err


def test_what_is_stated_of_a_backbone_must_be_so_once_it_is_fetched(
    tmp_path: Path, tiny_folder: Path
):
    backbone = read_recipe(GLUE).recipe.backbone
    assert isinstance(backbone, HubBackbone)
    fetched = tmp_path / "cache" / "hub" / backbone.name.replace("/", "--") / backbone.revision
    shutil.copytree(tiny_folder, fetched)
    config = json.loads((fetched / "config.json").read_text())
    outcome = composer(tmp_path, "check", str(GLUE))
    assert outcome.status == 2
    size, layers = config["hidden_size"], config["num_hidden_layers"]
    assert f"shape.hidden_size: 768 is stated, and the backbone's is {size}" in outcome.err
    assert f"shape.layers: 12 is stated, and the backbone's is {layers}" in outcome.err


def test_a_share_of_all_leaves_nothing_to_train_on(tmp_path: Path):
    splits = "data.cola.splits={validation: 0.5, test: 0.5}"
    outcome = composer(tmp_path, "check", str(GLUE), "--set", splits)
    assert outcome.status == 2
    assert "the shares that are held out leave nothing to train on" in outcome.err


@pytest.mark.slow
def test_the_offline_comparison_runs_in_small(tmp_path: Path):
    store = ("--store", str(tmp_path / "store"), "--lock", str(tmp_path / "lock"))
    outcome = composer(tmp_path, "run", str(OFFLINE), "--profile", "smoke", *store)
    assert outcome.status == 0, outcome.err
    for method in ("adapter", "madapter", "sparse", "full"):
        assert f"\n{method} " in outcome.out
