import hashlib
import io
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from composer.bundle.header import ITEM_BYTES, read_header
from composer.errors import StoppedError, StoreError
from composer.train.checkpoint import Checkpoint, Trained, read_checkpoint, write_checkpoint
from tests.train.conftest import Workshop, bytes_of, task_stage

CHECKPOINT = Checkpoint(
    epoch=1,
    batch=2,
    stale_epochs=1,
    losses=[0.5, 0.25],
    trained=Trained(steps=7, epochs=1, best_epoch=1, best_score=0.5, history=[{"loss": 1.0}]),
    weights={"adapter:down.0": torch.arange(6.0).reshape(2, 3)},
    best={"adapter:down.0": torch.ones(2, 3, dtype=torch.bfloat16)},
    moments={"adapter:down.0:step": torch.tensor(7.0)},
    random={"cpu": torch.arange(9, dtype=torch.uint8)},
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoint" / "training.state"
    write_checkpoint(file, CHECKPOINT)
    return file


def test_a_checkpoint_is_read_as_it_was_written(written: Path, caplog: pytest.LogCaptureFixture):
    found = read_checkpoint(written)
    assert found is not None
    assert repr(found) == repr(CHECKPOINT)
    assert not caplog.records
    again = written.with_name("again")
    write_checkpoint(again, found)
    assert again.read_bytes() == written.read_bytes()


def test_what_is_written_is_safetensors_whose_tensors_are_aligned(written: Path):
    digest, _, data = written.read_bytes().partition(b"\n")
    assert digest == hashlib.sha256(data).hexdigest().encode()
    assert set(load(data)) == {
        "weight:adapter:down.0", "best:adapter:down.0", "moment:adapter:down.0:step",
        "random:cpu", "numbers",
    }  # fmt: skip
    for entry in read_header(io.BytesIO(data), len(data), place="").values():
        assert entry.start % ITEM_BYTES[entry.type.dtype] == 0


def test_no_tensor_is_copied_to_be_written(tmp_path: Path):
    weight = torch.zeros(2**20)
    large = replace(CHECKPOINT, weights={"adapter:down.0": weight})
    tracemalloc.start()
    write_checkpoint(tmp_path / "training.state", large)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < weight.nbytes / 4


def test_where_none_was_written_there_is_none(tmp_path: Path):
    assert read_checkpoint(tmp_path / "training.state") is None


def test_a_checkpoint_with_any_byte_changed_is_told_and_not_used(
    written: Path, caplog: pytest.LogCaptureFixture
):
    data = written.read_bytes()
    for at in range(len(data)):
        written.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        assert read_checkpoint(written) is None
    assert len(caplog.records) == len(data)
    assert {one.getMessage() for one in caplog.records} == {
        f"{written} is damaged; it is not used, and this stage starts anew"
    }


def test_a_checkpoint_cut_anywhere_is_not_used(written: Path):
    data = written.read_bytes()
    for size in range(len(data)):
        written.write_bytes(data[:size])
        assert read_checkpoint(written) is None
    written.write_bytes(data + b"\0")
    assert read_checkpoint(written) is None


def test_a_checkpoint_that_is_there_and_cannot_be_read_is_a_fault_of_the_store(tmp_path: Path):
    folder = tmp_path / "training.state"
    folder.mkdir()
    with pytest.raises(StoreError, match=r"training\.state: the checkpoint cannot be read: Is a"):
        read_checkpoint(folder)


def _flip(data: bytes) -> bytes:
    at = random.Random(0).randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "one bit": _flip,
    "half": lambda data: data[: len(data) // 2],
    "nothing left": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "another file": lambda data: b'{"format": 1}\n',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_training_whose_checkpoint_is_damaged_starts_anew_to_the_same_bytes(
    workshop: Workshop, damage: str, caplog: pytest.LogCaptureFixture
):
    expected = bytes_of(workshop.run(task_stage(), run="whole"))
    workshop.progress.clear()

    def stop_there(_: object) -> None:
        workshop.stop.requested = len(workshop.progress) == 4

    workshop.on_progress = stop_there
    with pytest.raises(StoppedError):
        workshop.run(task_stage(), run="stopped")
    workshop.on_progress, workshop.stop.requested = lambda _: None, False
    file = workshop.context("task/intent", run="stopped").checkpoint / "training.state"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    workshop.progress.clear()
    assert bytes_of(workshop.run(task_stage(), run="stopped")) == expected
    assert workshop.progress[0].done == 1
    assert f"{file} is damaged; it is not used" in caplog.text
