import os
from pathlib import Path

import pytest
from hypothesis import settings

# Generated tests draw the same each time, so that a change is judged by what it changed;
# `make slow` draws anew.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT in it."""
    from tests.tiny import write_tiny_backbone

    return write_tiny_backbone(tmp_path_factory.mktemp("tiny"))
