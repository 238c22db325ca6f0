import shutil
from pathlib import Path

import pytest

from composer.bundle.writer import pack_bundle
from composer.device.bundle import Bundle
from composer.model.backbone import Backbone, open_backbone
from tests.device.homes import Task, write_home


@pytest.fixture(scope="session")
def backbone(tiny_folder: Path) -> Backbone:
    return open_backbone(tiny_folder, precision="float32")


@pytest.fixture(scope="session")
def home(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with every kind of composition; for reading only."""
    return write_home(tmp_path_factory.mktemp("home") / "home", backbone, tiny_folder)


@pytest.fixture(scope="session")
def opened(home: Path) -> Bundle:
    return Bundle.open(home, threads=1)


@pytest.fixture(scope="session")
def home_zip(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "home.zip"
    pack_bundle(home, path)
    return path


@pytest.fixture(scope="session")
def small(backbone: Backbone, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one composition; for reading only."""
    target = tmp_path_factory.mktemp("small") / "home"
    return write_home(target, backbone, tiny_folder, tasks={"one": Task("relu")})


@pytest.fixture
def attacked(small: Path, tmp_path: Path) -> Path:
    """A bundle of one composition that a test may change."""
    return Path(shutil.copytree(small, tmp_path / "home"))
