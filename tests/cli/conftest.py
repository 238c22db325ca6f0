import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.projects import COMMANDS, well, write_project
from tests.quick import quick


@pytest.fixture(scope="package", autouse=True)
def _quick() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="package")
def trained_project(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A project where two tasks and a fusion were trained by commands; not to be changed."""
    folder = write_project(tmp_path_factory.mktemp("commands") / "project", tiny_folder)
    for command in COMMANDS.values():
        well(folder, *command)
    return folder


@pytest.fixture(scope="package")
def run_project(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A project whose recipe was run; not to be changed."""
    folder = write_project(tmp_path_factory.mktemp("recipe") / "project", tiny_folder)
    well(folder, "run", "home.yaml")
    return folder


@pytest.fixture
def fresh(tmp_path: Path, tiny_folder: Path) -> Path:
    """A project that has made nothing yet."""
    return write_project(tmp_path / "project", tiny_folder)


@pytest.fixture
def project(tmp_path: Path, trained_project: Path) -> Path:
    """A project where two tasks and a fusion were trained by commands."""
    return shutil.copytree(trained_project, tmp_path / "project")


@pytest.fixture
def ran(tmp_path: Path, run_project: Path) -> Path:
    """A project whose recipe was run."""
    return shutil.copytree(run_project, tmp_path / "project")
