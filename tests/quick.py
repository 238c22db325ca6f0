"""What tests that run commands in this process leave out to be quick."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


@contextmanager
def quick() -> Iterator[None]:
    """Wait neither for the disk, as no test here cuts the power, nor for a second thread."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(torch, "set_num_threads", lambda number: None)
        patch.delenv("COMPOSER_STORE", raising=False)
        yield
