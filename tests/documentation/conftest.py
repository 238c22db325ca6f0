"""The shell that blocks of pages are run in, and the folders that pages begin in."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.documentation.stand_in import use_stand_ins, write_stand_ins
from tests.documentation.warm_shell import WarmShell


def _quick() -> None:
    """Wait neither for the disk, as no test here cuts the power, nor for a second thread."""
    import torch

    os.fsync = lambda handle: None  # type: ignore[assignment]
    torch.set_num_threads = lambda number: None  # type: ignore[assignment]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with tiny backbones in the places of the samples."""
    cache = tmp_path_factory.mktemp("cache")
    write_stand_ins(cache)
    return cache


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory, stand_ins: Path) -> Iterator[WarmShell]:
    """A shell whose sample backbones are the tiny ones."""
    before = (_quick, partial(use_stand_ins, stand_ins))
    with WarmShell(tmp_path_factory.mktemp("shell"), before) as warm:
        yield warm
