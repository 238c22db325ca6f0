"""Folders from elsewhere are read where they cannot lead astray."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from composer.errors import InterchangeError
from composer.model.interchange import foreign, unpickling, unpickling_process
from composer.model.interchange.foreign import foreign_config, foreign_weights, inner_folder

BIN, SAFE = "pytorch_adapter.bin", "adapter.safetensors"
NAMES = (SAFE, BIN)


def test_every_floating_type_is_read_in_float32(tmp_path: Path):
    values = torch.tensor([1.5, -2.0, 3.25])
    types = {"a": torch.float64, "b": torch.float32, "c": torch.float16, "d": torch.bfloat16}
    save_file({name: values.to(one) for name, one in types.items()}, tmp_path / SAFE)
    found = foreign_weights(tmp_path, NAMES)
    assert {name: one.tolist() for name, one in found.items()} == dict.fromkeys(
        types, values.tolist()
    )
    assert all(one.dtype == np.float32 for one in found.values())


@pytest.mark.parametrize("odd", [torch.tensor([1]), torch.tensor([float("nan")])])
def test_numbers_that_are_no_weights_are_refused(tmp_path: Path, odd: torch.Tensor):
    save_file({"a": odd}, tmp_path / SAFE)
    with pytest.raises(InterchangeError, match="weights are F64|not finite"):
        foreign_weights(tmp_path, NAMES)


def test_files_that_are_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(foreign, "WEIGHTS_LIMIT", 10)
    for name in NAMES:
        (tmp_path / name).write_bytes(bytes(11))
        with pytest.raises(InterchangeError, match="11 bytes; at most 10 are read"):
            foreign_weights(tmp_path, [name])
    (tmp_path / "adapter_config.json").write_bytes(b" " * (foreign.CONFIG_LIMIT + 1))
    with pytest.raises(InterchangeError, match="at most 1,048,576 are read"):
        foreign_config(tmp_path, "adapter_config.json")


def test_what_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(InterchangeError, match="adapter.safetensors or pytorch_adapter.bin"):
        foreign_weights(tmp_path, NAMES)
    with pytest.raises(InterchangeError, match="cannot be read"):
        foreign_config(tmp_path, "adapter_config.json")


def test_a_link_leads_to_the_blobs_of_a_cache_and_nowhere_else(tmp_path: Path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"a": 1}')
    folder = tmp_path / "models--x" / "snapshots" / "0a41"
    blobs = tmp_path / "models--x" / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "5f1c").write_text('{"b": 2}')
    (folder / "adapter_config.json").symlink_to("../../blobs/5f1c")
    (folder / "head_config.json").symlink_to(secret)
    assert foreign_config(folder, "adapter_config.json") == {"b": 2}
    with pytest.raises(InterchangeError, match="leads out of the folder"):
        foreign_config(folder, "head_config.json")
    (folder / "a").mkdir()
    (folder / "b").symlink_to(tmp_path)
    (folder / "a" / "adapter_config.json").symlink_to("../../../blobs/5f1c")
    assert foreign_config(inner_folder(folder, "a"), "adapter_config.json") == {"b": 2}
    with pytest.raises(InterchangeError, match="it is no folder"):
        inner_folder(folder, "b")


class _Ran:
    """What a pickle from a stranger may be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (f"touch {self.path}",))


def test_a_pickle_that_is_a_program_is_not_run(tmp_path: Path):
    torch.save({"a": _Ran(tmp_path / "ran")}, tmp_path / BIN)
    with pytest.raises(InterchangeError, match="no PyTorch file of weights.*safetensors"):
        foreign_weights(tmp_path, [BIN])
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"a": torch.zeros(1).expand(2**40)}, "its tensors take"),
        ({"a": {"b": torch.zeros(1)}}, "'a' in it is a dict"),
        ([torch.zeros(1)], "no dictionary of weights"),
        ({"a": torch.zeros(2).long()}, "torch.int64"),
    ],
)
def test_a_pickle_that_holds_more_than_weights_is_refused(
    tmp_path: Path, held: object, message: str
):
    torch.save(held, tmp_path / BIN)
    with pytest.raises(InterchangeError, match=message):
        foreign_weights(tmp_path, [BIN])


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_weights_is_read_as_it_is(tmp_path: Path, zipped: bool):
    held = {"a": torch.randn(3, 4), "b": torch.randn(5).half(), "c": torch.zeros(())}
    torch.save(held, tmp_path / BIN, _use_new_zipfile_serialization=zipped)
    found = foreign_weights(tmp_path, [BIN])
    assert {name: one.tolist() for name, one in found.items()} == {
        name: one.float().tolist() for name, one in held.items()
    }


def test_a_reader_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpickling, "SECONDS", 0.01)
    (tmp_path / BIN).write_bytes(pickle.dumps({}))
    with pytest.raises(InterchangeError, match="more than 0.01 seconds"):
        foreign_weights(tmp_path, [BIN])


ATTEMPTS = {
    "open('/etc/hostname')": "it tried open",
    "__import__('socket').socket()": "it tried",
    "os.system('true')": "it tried os.system",
    "os.fork()": "it tried os.fork",
}


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_process_ends_when_it_reaches_out(attempt: str):
    folder = str(Path(unpickling_process.__file__).parent)
    code = (
        f"import sys, os, socket; sys.path.insert(0, {folder!r})\n"
        f"import unpickling_process as one\none._confine(2**20)\n{attempt}\nprint('reached')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert ATTEMPTS[attempt] in done.stderr
    assert not done.stdout
