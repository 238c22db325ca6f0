import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from composer.bundle.fingerprint import Fingerprints, fingerprint_folder, tensor_digests
from composer.errors import BackboneError

NUMBERS = np.random.default_rng(0)
ENCODER = {
    "embeddings.word_embeddings.weight": NUMBERS.standard_normal((7, 4)).astype(np.float32),
    "embeddings.LayerNorm.weight": np.ones(4, np.float32),
    "encoder.layer.0.output.dense.weight": NUMBERS.standard_normal((4, 4)).astype(np.float32),
    "encoder.layer.1.output.dense.weight": NUMBERS.standard_normal((4, 4)).astype(np.float32),
}
HEADS = {
    "cls.predictions.bias": np.ones(7, np.float32),
    "classifier.weight": np.ones((2, 4), np.float32),
    "bert.pooler.dense.weight": np.ones((4, 4), np.float32),
    "bert.embeddings.position_ids": np.arange(9)[None],
}


def backbone(folder: Path, tensors: dict[str, np.ndarray], *, tokenizer: str = "{}") -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(tokenizer)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return backbone(tmp_path / "bare", ENCODER)


@pytest.mark.parametrize("prefix", ["bert.", "roberta.", "distilbert.", "xlm_roberta.", "model."])
def test_prefix_heads_and_buffers_make_no_difference(prefix: str, bare: Path, tmp_path: Path):
    heads = {name.replace("bert.", prefix): array for name, array in HEADS.items()}
    named = {f"{prefix}{name}": array for name, array in ENCODER.items()}
    other = backbone(tmp_path / "other", {**named, **heads})
    assert fingerprint_folder(other) == fingerprint_folder(bare)


def test_early_names_of_norms_make_no_difference(bare: Path, tmp_path: Path):
    early = {name.replace("Norm.weight", "Norm.gamma"): array for name, array in ENCODER.items()}
    assert fingerprint_folder(backbone(tmp_path / "b", early)) == fingerprint_folder(bare)


def shard(folder: Path) -> Path:
    """Spread the encoder over two files, as `transformers` does."""
    folder.mkdir()
    files = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(ENCODER)}
    for file in sorted(set(files.values())):
        tensors = {name: ENCODER[name] for name in ENCODER if files[name] == file}
        save_file(tensors, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_shards_make_no_difference(bare: Path, tmp_path: Path):
    assert fingerprint_folder(shard(tmp_path / "shards")) == fingerprint_folder(bare)


def test_links_of_a_hub_cache_are_followed(bare: Path, tmp_path: Path):
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for path in bare.iterdir():
        (linked / path.name).symlink_to(path)
    assert fingerprint_folder(linked) == fingerprint_folder(bare)


def changed(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    return {**ENCODER, name: array}


DENSE = "encoder.layer.0.output.dense.weight"
WORDS = "embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    ("tensors", "tokenizer", "body", "vocabulary"),
    [
        (changed(DENSE, ENCODER[DENSE] * np.float32(1 + 2**-20)), "{}", True, False),
        (changed(DENSE, ENCODER[DENSE].reshape(2, 8)), "{}", True, False),
        (changed(DENSE, ENCODER[DENSE].view(np.int32)), "{}", True, False),
        (changed("encoder.layer.2.output.dense.weight", ENCODER[DENSE]), "{}", True, False),
        (changed(WORDS, ENCODER[WORDS][:6]), "{}", False, True),
        (ENCODER, "{ }", False, True),
    ],
    ids=["a bit", "shape", "dtype", "one more", "rows", "tokenizer"],
)
def test_each_change_shows_in_its_fingerprint(
    tensors: dict[str, np.ndarray],
    tokenizer: str,
    body: bool,
    vocabulary: bool,
    bare: Path,
    tmp_path: Path,
):
    before = fingerprint_folder(bare)
    after = fingerprint_folder(backbone(tmp_path / "b", tensors, tokenizer=tokenizer))
    assert (before.body != after.body) == body
    assert (before.vocabulary != after.vocabulary) == vocabulary


def test_digests_name_the_tensor_that_differs(bare: Path, tmp_path: Path):
    other = backbone(tmp_path / "b", changed(DENSE, ENCODER[DENSE] * 2))
    one, two = tensor_digests(bare), tensor_digests(other)
    assert list(one) == sorted(ENCODER)
    assert [name for name in one if one[name] != two[name]] == [DENSE]


def test_bfloat16_is_hashed_though_numpy_has_no_such_type(bare: Path, tmp_path: Path):
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in ENCODER.items()}
    folder = backbone(tmp_path / "b", half)
    assert fingerprint_folder(folder).body != fingerprint_folder(bare).body


def test_the_fingerprints_are_what_the_docstring_says(bare: Path):
    def sha256(text: bytes) -> str:
        return hashlib.sha256(text).hexdigest()

    tokenizer = sha256(b"{}")
    lines = {}
    for name, array in ENCODER.items():
        shape = ",".join(map(str, array.shape))
        digest = sha256(f"F32[{shape}]\n".encode() + array.tobytes())
        lines[name] = f"{name} {digest}\n"
    body = "".join(lines[name] for name in sorted(lines) if name != WORDS)
    vocabulary = f"{lines[WORDS]}tokenizer.json {tokenizer}\n"
    assert fingerprint_folder(bare) == Fingerprints(
        body=sha256(body.encode()), vocabulary=sha256(vocabulary.encode())
    )


def name_a_shard(index: Path, name: object) -> None:
    index.write_text(json.dumps({"weight_map": {"a": name}}))


@pytest.mark.parametrize(
    ("shard_name", "message"),
    [
        ("../model.safetensors", "has a part '..'"),
        ("/etc/passwd", "is absolute"),
        ("inner/model.safetensors", "is not the name of a file"),
        (3, "is not the name of a file"),
        ("missing.safetensors", "cannot be read: No such file"),
    ],
)
def test_a_shard_elsewhere_is_refused(shard_name: object, message: str, tmp_path: Path):
    folder = shard(tmp_path / "b")
    name_a_shard(folder / "model.safetensors.index.json", shard_name)
    with pytest.raises(BackboneError, match=message):
        tensor_digests(folder)


@pytest.mark.parametrize("name", ["model-0.safetensors", "tokenizer.json"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str):
    folder = shard(tmp_path / "b")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BackboneError, match=f"{name} is no plain file"):
        fingerprint_folder(folder)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path):
    folder = shard(tmp_path / "b")
    save_file(ENCODER, folder / "model-0.safetensors")
    with pytest.raises(BackboneError, match="is there twice"):
        tensor_digests(folder)


def test_a_tensor_with_and_without_prefix_is_refused(tmp_path: Path):
    folder = backbone(tmp_path / "b", {**ENCODER, f"bert.{DENSE}": ENCODER[DENSE]})
    with pytest.raises(BackboneError, match=f"the tensor '{DENSE}' is there twice"):
        tensor_digests(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("model.safetensors", "no model.safetensors and no "), ("tokenizer.json", "cannot be read")],
)
def test_a_backbone_without_weights_or_tokenizer_is_refused(missing: str, message: str, bare: Path):
    (bare / missing).unlink()
    with pytest.raises(BackboneError, match=message):
        fingerprint_folder(bare)


def test_a_backbone_without_token_embeddings_is_refused(tmp_path: Path):
    folder = backbone(tmp_path / "b", {DENSE: ENCODER[DENSE]})
    with pytest.raises(BackboneError, match="no token embeddings among 1 tensors"):
        fingerprint_folder(folder)


def test_a_cut_file_is_refused(bare: Path):
    weights = bare / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BackboneError, match="are declared"):
        fingerprint_folder(bare)


def test_nothing_of_the_training_stack_is_imported():
    code = (
        "import sys, pkgutil, importlib, composer.bundle as bundle\n"
        "for found in pkgutil.iter_modules(bundle.__path__, 'composer.bundle.'):\n"
        "    importlib.import_module(found.name)\n"
        "print(sorted({'torch', 'transformers', 'adapters', 'datasets'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
