import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from composer.data.samples.assistant import OWN_NAMES
from composer.data.samples.backbones import SAMPLE_BACKBONES, sample_backbone
from composer.data.samples.corpus import Corpus, build


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all workers of the session, so that each backbone is made once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sample-cache"


@pytest.fixture(scope="session", params=SAMPLE_BACKBONES)
def backbone(request: pytest.FixtureRequest, sample_cache: Path) -> tuple[str, Path]:
    """Each sample backbone whose package is installed: its name and its folder."""
    return request.param, made(request.param, sample_cache)


@pytest.fixture(scope="session")
def e5(sample_cache: Path) -> Path:
    return made("multilingual-e5-small", sample_cache)


@pytest.fixture(scope="session")
def corpora() -> dict[str, Corpus]:
    return {language: build(language) for language in OWN_NAMES}


def made(name: str, cache: Path) -> Path:
    info = SAMPLE_BACKBONES[name]
    if find_spec(info.module) is None:
        pytest.skip(f"{info.package} is not installed; {info.install}")
    return sample_backbone(name, cache=cache)
