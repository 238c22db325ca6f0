"""Weights that processes share: the same numbers, one file, and one copy in memory."""

import multiprocessing
import re
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from torch import nn

from composer.bundle.fingerprint import Fingerprints, fingerprint_folder
from composer.errors import BackboneError, StoreError
from composer.model import mapped
from composer.model.mapped import mapped_weights, side_by_side
from composer.model.weights import load_weights

_SPAWN = multiprocessing.get_context("spawn")
_ROWS = 4096  # 16 MiB in float32
_NOTHING = Fingerprints(body="0" * 64, vocabulary="1" * 64)


def meta(rows: int = 6, size: int = 5) -> nn.Module:
    """A module without memory; its sizes are no multiples of anything."""
    with torch.device("meta"):
        return nn.ModuleDict({"word_embeddings": nn.Embedding(rows, size), "b": nn.Linear(size, 3)})


def write_folder(folder: Path, module: nn.Module, *, value: float | None = None) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    numbers = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(one.shape, generator=numbers) for name, one in module.state_dict().items()
    }
    if value is not None:
        tensors["b.bias"][1] = value
    save_file(tensors, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def weights(folder: Path, cache: Path, *, narrow: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    prints = fingerprint_folder(folder)
    return mapped_weights(meta(), folder, narrow=narrow, fingerprints=prints, cache=cache)


def test_mapped_weights_are_those_of_the_folder(tmp_path: Path):
    folder = write_folder(tmp_path / "backbone", meta())
    module = meta()
    load_weights(module, folder)
    found = weights(folder, tmp_path / "cache", narrow=("b.weight",))
    assert found.keys() == module.state_dict().keys()
    for name, expected in module.state_dict().items():
        type_ = torch.bfloat16 if name == "b.weight" else torch.float32
        assert found[name].dtype == type_
        assert torch.equal(found[name], expected.to(type_))
        assert found[name].data_ptr() % 64 == 0


def test_each_precision_and_each_backbone_has_one_file_of_its_own(tmp_path: Path):
    folder, cache = write_folder(tmp_path / "backbone", meta()), tmp_path / "cache"
    for _ in range(2):
        weights(folder, cache)
        weights(folder, cache, narrow=("b.weight",))
    assert len(list(cache.glob("*.weights"))) == 2
    other = write_folder(tmp_path / "other", meta(), value=7.0)
    assert weights(other, cache)["b.bias"][1] == 7.0
    assert len(list(cache.glob("*.weights"))) == 3
    before = {path.name: path.read_bytes() for path in cache.glob("*.weights")}
    for path in cache.glob("*.weights"):
        path.unlink()
    weights(folder, cache)
    (again,) = cache.glob("*.weights")
    assert again.read_bytes() == before[again.name]


def test_a_file_that_is_whole_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, cache = write_folder(tmp_path / "backbone", meta()), tmp_path / "cache"
    weights(folder, cache)
    monkeypatch.setattr(mapped, "write_hashed", lambda *_: pytest.fail("written again"))
    weights(folder, cache)


@pytest.mark.parametrize("position", [3, 70, -1])
def test_a_damaged_file_is_told_and_made_again(
    tmp_path: Path, position: int, caplog: pytest.LogCaptureFixture
):
    folder, cache = write_folder(tmp_path / "backbone", meta()), tmp_path / "cache"
    expected = {name: one.clone() for name, one in weights(folder, cache).items()}
    (path,) = cache.glob("*.weights")
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data[: len(data) if position == 3 else None])
    found = weights(folder, cache)
    assert "is damaged; it is made again" in caplog.text
    assert all(torch.equal(found[name], one) for name, one in expected.items())


def test_a_number_that_is_not_finite_is_refused_and_nothing_is_left(tmp_path: Path):
    folder = write_folder(tmp_path / "backbone", meta(), value=float("nan"))
    with pytest.raises(BackboneError, match=r"b.bias in model.safetensors holds a number"):
        weights(folder, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] in ([], [".lock"])


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match="cache.* cannot be written"):
        weights(write_folder(tmp_path / "backbone", meta()), tmp_path / "cache")


def test_a_write_stays_with_who_made_it(tmp_path: Path):
    folder, cache = write_folder(tmp_path / "backbone", meta()), tmp_path / "cache"
    first, second = weights(folder, cache), weights(folder, cache)
    with torch.no_grad():
        first["b.bias"].zero_()
    assert not torch.equal(first["b.bias"], second["b.bias"])


def test_weights_that_lie_together_are_one_view(tmp_path: Path):
    with torch.device("meta"):
        module = nn.ModuleDict({name: nn.Linear(16, 16) for name in ("key", "query", "value")})
        module["word_embeddings"] = nn.Embedding(4, 16)
    folder = write_folder(tmp_path / "backbone", module)
    together = [[f"{name}.weight" for name in ("query", "key", "value")]]
    for groups, shared in ((together, True), ((), False)):
        found = mapped_weights(
            module,
            folder,
            narrow=together[0],
            fingerprints=_NOTHING,
            cache=tmp_path / "cache",
            together=groups,
        )
        parts = [found[name] for name in together[0]]
        joined = side_by_side(parts)
        assert torch.equal(joined, torch.cat(parts))
        assert (joined.data_ptr() == parts[0].data_ptr()) is shared


def proportional_bytes() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE)[0])


def _map_and_tell(folder: Path, cache: Path, pipe: Connection) -> None:
    """Map the weights, use them all, and tell what that added once the other has done so too."""
    torch.set_num_threads(1)
    module = meta(_ROWS, 1024)
    float(torch.ones(9).sum())  # libraries are there when counting begins
    pipe.send("ready")
    pipe.recv()
    before = proportional_bytes()
    found = mapped_weights(module, folder, narrow=(), fingerprints=_NOTHING, cache=cache)
    total = float(sum(one.sum() for one in found.values()))
    pipe.send(total)
    pipe.recv()
    pipe.send(proportional_bytes() - before)
    pipe.recv()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells it only")
def test_two_processes_hold_one_copy_of_the_weights(tmp_path: Path):
    folder = write_folder(tmp_path / "backbone", meta(_ROWS, 1024))
    size = (folder / "model.safetensors").stat().st_size
    assert size > 2**24
    pipes, processes = [], []
    for _ in range(2):
        ours, theirs = _SPAWN.Pipe()
        arguments = (folder, tmp_path / "cache", theirs)
        processes.append(_SPAWN.Process(target=_map_and_tell, args=arguments))
        processes[-1].start()
        pipes.append(ours)
    try:
        answers = []
        for _ in range(3):
            answers.append([pipe.recv() for pipe in pipes])
            for pipe in pipes:
                pipe.send("go on")
    finally:
        for process in processes:
            process.join(30)
    assert answers[1][0] == answers[1][1]
    held = sum(answers[2])
    assert 0.9 * size < held < 1.3 * size, f"{held:,} bytes for weights of {size:,}"
