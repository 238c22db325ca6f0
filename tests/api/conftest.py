from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import composer
from composer.model.backbone import Backbone, open_backbone
from tests.cli.projects import write_project
from tests.device.homes import Task, write_home
from tests.quick import quick

SHORT = {
    "training.epochs": 4,
    "training.learning_rate": 1e-2,
    "training.threads": 1,
    "training.batch_tokens": 256,
}
TASKS = {
    "one": Task("relu"),
    "fused": Task("fuse(relu, mid2, none)"),
    "many": Task("mid2", "multi-label-classification"),
    "number": Task("gate(relu, mid3)", "regression", 1),
    "spans": Task("mid3", "token-classification"),
}
ONE_EPOCH = {"training.epochs": 1}
INTENT = {"text": "utterance", "label": "intent"}


@dataclass(frozen=True)
class Ran:
    """A recipe that was run.

    Attributes:
        folder: Of the project.
        recipe: As it was run.
        run: What came of it.
        events: That were told.
    """

    folder: Path
    recipe: composer.Recipe
    run: composer.Run
    events: list[composer.Event]


@pytest.fixture(scope="package", autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A project where two tasks and a fusion were trained from Python; not to be changed."""
    folder = write_project(tmp_path_factory.mktemp("python") / "project", tiny_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, column in (("intent", "intent"), ("domain", "domain")):
            composer.train_task(
                name,
                data="train.csv",
                columns={"text": "utterance", "label": column},
                backbone="folder:tiny",
                changes=SHORT,
            )
        composer.fuse(["intent", "domain"], task="intent", name="few", changes=SHORT)
    return folder


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, as the working folder; tests write only what no other reads."""
    monkeypatch.chdir(made)
    return made


@pytest.fixture(scope="package")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Ran:
    """A project whose recipe was run from Python, its results in `store`; for reading only."""
    folder = write_project(tmp_path_factory.mktemp("ran") / "project", tiny_folder)
    events: list[composer.Event] = []
    recipe = composer.load_recipe(folder / "home.yaml", changes=ONE_EPOCH)
    run = composer.run_recipe(recipe, store=folder / "store", on_event=events.append)
    return Ran(folder=folder, recipe=recipe, run=run, events=events)


@pytest.fixture(scope="package")
def backbone(tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision="float32")


@pytest.fixture(scope="package")
def home(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every type of task, with its backbone; for reading only."""
    return write_home(tmp_path_factory.mktemp("home") / "home", backbone, tiny_folder, tasks=TASKS)


@pytest.fixture(scope="package")
def parts(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without its backbone."""
    target = tmp_path_factory.mktemp("parts") / "parts"
    return write_home(target, backbone, tiny_folder, tasks=TASKS, precision=None)
