"""What docs/device.md promises of the runtime and of the graph is so."""

import re
from pathlib import Path

import pytest

from composer.bundle.graphs import TOKEN_INPUTS, Signature, Slot, adapter_inputs
from composer.bundle.writer import pack_bundle
from composer.model.backbone import Backbone
from composer.recipe.reading.reader import read_recipe
from tests.device.homes import Task, write_home

PAGE = Path(__file__).parents[2] / "docs" / "device.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TASKS = {
    "intent": Task("relu"),
    "few-shot": Task("fuse(relu, mid2, none)"),
    "slots": Task("mid3", "token-classification"),
}
LOWER = Slot(placement="houlsby", non_linearities=("relu",))
UPPER = Slot(placement="houlsby", non_linearities=("relu", "tanh"), middle_layers=1)
WIDEST = Signature(lower=LOWER, upper=UPPER, mixing=True, norms=True, heads=("relu", "tanh"))
LENGTHS, SITES = {"size": 384}, 24


@pytest.fixture(scope="module")
def place(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    write_home(folder / "home", backbone, tiny_folder, tasks=TASKS)
    for name in ("home.zip", "assistant.zip"):
        pack_bundle(folder / "home", folder / name)
    return folder


def test_there_is_something_to_check():
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_on_the_page_runs(place: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    monkeypatch.chdir(place)
    exec(compile(BLOCKS[number], "device.md", "exec"), {})


def test_the_recipe_on_the_page_is_without_faults(tmp_path: Path):
    recipe, *_ = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "home.yaml").write_text(recipe, encoding="utf-8")
    assert read_recipe(tmp_path / "home.yaml").recipe.bundles["device"].precision == "int8"


def test_the_table_of_inputs_is_the_graphs():
    rows = re.findall(r'^\| `([\w.]+)` \| ((?:"?\w+"?(?:, )?)+) \|', TEXT, re.MULTILINE)
    told = {
        name: tuple(
            one.strip('"') if one.startswith('"') else LENGTHS[one] for one in shape.split(", ")
        )
        for name, shape in rows
    }
    expected = dict.fromkeys(TOKEN_INPUTS, ("batch", "tokens"))
    expected |= adapter_inputs(WIDEST, size=384, layers=12)
    expected |= adapter_inputs(Signature(upper=UPPER), size=384, layers=12)
    numbered = {
        name.replace(".n", f".{number}"): shape
        for name, shape in told.items()
        for number in range(SITES)
    }
    assert numbered == expected
