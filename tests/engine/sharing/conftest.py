import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle.content import make_bundle
from tests.hub import Hub, hub_here


@pytest.fixture(scope="package", autouse=True)
def _quick() -> Iterator[None]:
    """Do not wait for the disk, as no test here cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_here() as hub:
        yield hub


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle of parts alone, to be changed."""
    make_bundle(tmp_path / "made" / "home")
    return tmp_path / "made" / "home"
