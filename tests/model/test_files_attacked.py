"""Adapters, fusions and heads from elsewhere: files that disagree, claim too much, or are none."""

import json
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from composer.bundle.jsontext import canonical_json
from composer.bundle.tensors import read_tensors, write_tensors
from composer.errors import AdapterError
from composer.model.backbone import Backbone, open_backbone
from composer.model.files import (
    CompositionFile,
    HeadFile,
    read_adapter,
    read_head,
    read_owned,
    write_adapter,
    write_head,
    write_owned,
)
from composer.model.parts import Part, new_head
from composer.recipe.grammar.composition import parse_composition
from tests.bundle.content import raw_tensors
from tests.bundle.mutations import mutated, mutated_bytes
from tests.model.conftest import adapter, owned_for
from tests.tiny import write_tiny_backbone

KINDS = ("adapter", "composition", "head")
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def stored(tmp_path: Path, backbone: Backbone) -> Path:
    """A folder with an adapter, what a composition owns, and a head."""
    folder = tmp_path / "stored"
    folder.mkdir()
    write_adapter(folder, adapter(backbone, "mid2"), backbone)
    about = CompositionFile(
        size=backbone.size,
        body=backbone.fingerprints.body,
        mixers=(("fuse", 2), ("gate", 2)),
        train_norm=True,
        placement="houlsby",
    )
    expression = parse_composition("fuse(relu, mid2) > gate(relu, gelu)")
    write_owned(folder, owned_for(expression, backbone, train_norm=True), about)
    head = new_head(classes=3, size=backbone.size, generator=torch.Generator())
    labels = ("on", "off", "up")
    write_head(
        folder,
        head,
        HeadFile(size=backbone.size, type="text-classification", labels=labels, pooling="mean"),
    )
    return folder


def read_all(folder: Path, backbone: Backbone) -> dict[str, Part]:
    owned = read_owned(folder, backbone)
    assert owned is not None
    return {
        "adapter": read_adapter(folder, backbone),
        "composition": owned,
        "head": read_head(folder, backbone).head,
    }


def bits(parts: dict[str, Part]) -> dict[str, bytes]:
    return {
        f"{kind}/{name}": tensor.numpy().tobytes()
        for kind, part in parts.items()
        for name, tensor in part.tensors().items()
    }


def change(folder: Path, kind: str, how: Change) -> None:
    path = folder / f"{kind}.json"
    values = json.loads(path.read_text())
    how(values)
    path.write_bytes(canonical_json(values))


def refused(folder: Path, backbone: Backbone, message: str) -> None:
    """Hold that it is refused, and that no memory is taken for what is only claimed."""
    tracemalloc.start()
    with pytest.raises(AdapterError, match=message):
        read_all(folder, backbone)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 64 * 2**20


def test_what_is_written_reads_back(stored: Path, backbone: Backbone):
    for kind, part in read_all(stored, backbone).items():
        arrays = read_tensors(stored / f"{kind}.safetensors")
        assert sorted(arrays) == list(part.names)
        for name, array in arrays.items():
            np.testing.assert_array_equal(part[name].detach().numpy(), array)
        assert not any(one.requires_grad for one in part.parameters())


def set_to(*keys: str, value: object) -> Change:
    def how(values: dict[str, Any]) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return how


DESCRIPTIONS: dict[str, tuple[str, Change, str]] = {
    "future": ("adapter", set_to("format", value=2), "format 2, this composer reads 1"),
    "format of another type": ("head", set_to("format", value=True), "format True, this comp"),
    "no format": ("composition", lambda values: values.pop("format"), "format None, this comp"),
    "another body": ("adapter", set_to("body", value="0" * 64), "trained on a backbone whose body"),
    "a fusion's body": ("composition", set_to("body", value="\x1b[2J"), r"body is '\\x1b\[2J'"),
    "size": ("adapter", set_to("size", value=64), "adapter.json: size: 64, and the backbone's"),
    "a fusion's size": ("composition", set_to("size", value=64), "composition.json: size: 64"),
    "a head's size": ("head", set_to("size", value=64), "head.json: size: 64, and the backbone's"),
    "size as text": ("head", set_to("size", value="32"), "size: Input should be a valid integer"),
    "a key more": ("adapter", set_to("code", value="x.py"), "code: Extra inputs are not permitted"),
    "width": ("adapter", set_to("shape", "width", value=5), r"F32\[4,32\], not F32\[5,32\]"),
    "width of terabytes": (
        "adapter",
        set_to("shape", "width", value=10**12),
        "width: Input should be less than or equal to 65536",
    ),
    "no width": (
        "adapter",
        lambda values: values["shape"].update(width=None, reduction_factor=1000.0),
        r"not F32\[0,32\]",
    ),
    "middle layers": ("adapter", set_to("shape", "middle_layers", value=3), "'.*middle.2' .*missi"),
    "placement": ("adapter", set_to("shape", "placement", value="pfeiffer"), "is not expected"),
    "layers left out": ("adapter", set_to("shape", "leave_out", value=[0]), "is not expected"),
    "kind": ("adapter", set_to("shape", "kind", value="lora"), "shape.lora.bias: Extra"),
    "learned": ("adapter", set_to("shape", "scaling", value="learned"), "scaling' .*is missing"),
    "attention": (
        "adapter",
        set_to("shape", "placement", value="after-attention"),
        "'0.output.down' .*is not expected",
    ),
    "form": ("adapter", set_to("shape", "form", value="sideways"), "should be 'sequential' or"),
    "sparse": (
        "adapter",
        set_to("shape", "sparsity", value={"method": "snip", "ratio": 0.4}),
        "'0.attention.down' is dense, and the adapter is sparse",
    ),
    "factors": (
        "adapter",
        lambda values: values["shape"].update(width=None, reduction_factor={"0": 2.0}),
        r"not F32\[16,32\]",
    ),
    "mixers fewer": ("composition", set_to("mixers", value=[["fuse", 2]]), "is not expected"),
    "mixers more": ("composition", lambda v: v["mixers"].append(["fuse", 2]), "is missing"),
    "a mixer's form": (
        "composition",
        set_to("mixers", value=[["exec", 2]]),
        "should match pattern",
    ),
    "a mixer of none": ("composition", set_to("mixers", value=[["gate", -1]]), "greater than or"),
    "members of terabytes": (
        "composition",
        set_to("mixers", value=[["fuse", 2], ["gate", 10**12]]),
        r"is F32\[2,32\], not F32\[1000000000000,32\]",
    ),
    "two thousand mixers": (
        "composition",
        set_to("mixers", value=[["gate", 2]] * 2000),
        "at most 1000 items",
    ),
    "half of the sites": ("composition", set_to("placement", value="pfeiffer"), "not expected"),
    "no norms": ("composition", set_to("train_norm", value=False), "is not expected"),
    "labels": ("head", set_to("labels", value=["on", "off"]), r"F32\[3\], not F32\[2\]"),
    "no labels": ("head", set_to("labels", value=[]), "0 labels for a text-classification"),
    "a label twice": ("head", set_to("labels", value=["a", "a", "b"]), "a label is there twice"),
    "pooling": ("head", set_to("pooling", value="max"), "pooling: String should match"),
    "no pooling": ("head", set_to("pooling", value="none"), "pooling 'none' for a text-class"),
    "type": ("head", set_to("type", value="regression"), "3 labels for a regression"),
    "two layers": (
        "head",
        set_to("non_linearity", value="tanh"),
        r"'dense' \(F32\[32,32\]\) is missing",
    ),
    "what is between": (
        "head",
        set_to("non_linearity", value="exec"),
        "non_linearity: Input should be 'relu', 'gelu', 'swish' or 'tanh'",
    ),
}


@pytest.mark.parametrize(("kind", "how", "message"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_that_the_weights_do_not_keep_is_refused(
    kind: str, how: Change, message: str, stored: Path, backbone: Backbone
):
    before = read_all(stored, backbone)
    kept = bits(before)
    change(stored, kind, how)
    refused(stored, backbone, message)
    assert bits(before) == kept


def test_a_head_of_terabytes_is_refused_by_what_is_there(stored: Path):
    change(stored, "head", set_to("size", value=10**15))
    with pytest.raises(AdapterError, match=r"F32\[3,32\], not F32\[3,1000000000000000\]"):
        read_head(stored)


def rename(tensors: dict[str, np.ndarray]) -> None:
    first = min(tensors)
    tensors[f"{first}x"] = tensors.pop(first)


def drop(tensors: dict[str, np.ndarray]) -> None:
    tensors.pop(max(tensors))


def add(tensors: dict[str, np.ndarray]) -> None:
    tensors["9.output.down"] = np.zeros(3, np.float32)


def turn(tensors: dict[str, np.ndarray]) -> None:
    name = max(tensors, key=lambda one: tensors[one].ndim)
    tensors[name] = np.zeros((7, 3), np.float32)


def narrow(tensors: dict[str, np.ndarray]) -> None:
    tensors.update({name: one.astype(np.float16) for name, one in tensors.items()})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("how", "message"),
    [
        (rename, "is not expected; did you mean"),
        (drop, "is missing"),
        (add, "'9.output.down' .* is not expected"),
        (turn, r"is F32\[7,3\], not"),
        (narrow, "is F16.*, not F32"),
    ],
)
def test_weights_that_are_not_as_described_are_refused(
    how: Callable[[dict[str, np.ndarray]], None],
    message: str,
    kind: str,
    stored: Path,
    backbone: Backbone,
):
    path = stored / f"{kind}.safetensors"
    tensors = read_tensors(path)
    how(tensors)
    write_tensors(path, tensors)
    refused(stored, backbone, f"{kind}.safetensors: .*{message}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04\x95" + bytes(99), "no safetensors file"),
        (b"PK\3\4" + bytes(99), "no safetensors file"),
        (b"\xff" * 8, "no safetensors file"),
        (raw_tensors(b'{"a":0,"a":0}'), "the key 'a' is there twice"),
        (raw_tensors(b"{" + b"[" * 200), "column"),
        (
            raw_tensors(
                {"a": {"dtype": "F32", "shape": [0, *[2**31 - 1] * 7], "data_offsets": [0, 0]}}
            ),
            "has the shape",
        ),
    ],
    ids=["pickle", "zip", "length", "twice", "deep", "no bytes of much"],
)
def test_what_is_no_weights_is_refused(
    data: bytes, message: str, kind: str, stored: Path, backbone: Backbone
):
    (stored / f"{kind}.safetensors").write_bytes(data)
    refused(stored, backbone, message)


def as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["json", "safetensors"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        (as_link, "is a symbolic link"),
        (as_pipe, "is not a file"),
        (as_folder, "is not a file"),
        (Path.unlink, "cannot be read: No such file"),
    ],
)
def test_what_is_no_plain_file_is_refused(
    how: Callable[[Path], None],
    message: str,
    ending: str,
    kind: str,
    stored: Path,
    backbone: Backbone,
):
    how(stored / f"{kind}.{ending}")
    refused(stored, backbone, f"{kind}.{ending} {message}")


def test_parts_for_another_backbone_are_refused(stored: Path, tmp_path: Path):
    write_tiny_backbone(tmp_path / "other", seed=1)
    other = open_backbone(tmp_path / "other", precision="float32")
    for read in (read_adapter, read_owned):
        with pytest.raises(AdapterError, match="trained on a backbone whose body is"):
            read(stored, other)


@pytest.mark.parametrize("kind", KINDS)
def test_no_changed_description_or_header_raises_anything_but_our_error(
    kind: str, stored: Path, backbone: Backbone
):
    kept = bits(read_all(stored, backbone))
    refusals = 0
    for ending in ("json", "safetensors"):
        path = stored / f"{kind}.{ending}"
        whole = path.read_bytes()
        for seed in range(60):
            chance = random.Random(seed)
            if ending == "json":
                new = canonical_json(mutated(json.loads(whole), chance))
            else:
                length = 8 + int.from_bytes(whole[:8], "little")
                head = mutated_bytes(whole[8:length], chance)
                new = len(head).to_bytes(8, "little") + head + whole[length:]
            path.write_bytes(new)
            try:
                read_all(stored, backbone)
            except AdapterError:
                refusals += 1
        path.write_bytes(whole)
    assert refusals > 60
    assert bits(read_all(stored, backbone)) == kept
