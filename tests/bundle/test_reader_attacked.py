"""Bundles of an attacker who knows the format: every size, hash and digest is made to match."""

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composer.bundle.archive import write_archive
from composer.bundle.header import TensorType, header_bytes
from composer.bundle.jsontext import canonical_json
from composer.bundle.manifest import MANIFEST_LIMIT
from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.source import FolderSource
from composer.bundle.writer import pack_bundle
from composer.errors import BundleError
from tests.bundle.content import change_manifest, fusion, head, make_bundle, put_part, raw_tensors

ROOT = Path(__file__).parents[2]
FLIPS = 2000
LONGEST_MESSAGE = 20 * 700  # characters: twenty faults, each a line and its place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "home"
    make_bundle(folder)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "home"))


def zipped(folder: Path) -> Path:
    """Spell a folder as a zip, as composer would, without any check."""
    path = folder.with_name(f"{folder.name}.zip")
    with path.open("wb") as file:
        write_archive(file, FolderSource(folder))
    return path


def everything(folder: Path) -> dict[str, bytes | None]:
    """Give all that lies below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refused(path: Path, message: str) -> None:
    """Hold that a bundle is refused, that the message is fit to print, and nothing is written."""
    before = everything(path.parent)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(path)
    said = str(caught.value)
    assert len(said) < LONGEST_MESSAGE
    assert said.replace("\n", "").isprintable()
    assert everything(path.parent) == before


def answers(bundle: OpenedBundle) -> dict[str, bytes]:
    """Give every byte that a bundle hands out."""
    return {
        f"{part}/{name}": array.tobytes()
        for part in bundle.manifest.parts
        for name, array in bundle.read_part(part).items()
    }


def flipped(path: Path, count: int, seed: int) -> Iterator[bytes]:
    """Give a file with one byte changed, `count` times, at places spread over all of it."""
    chance, whole = random.Random(seed), path.read_bytes()
    for at in np.linspace(0, len(whole) - 1, count, dtype=int).tolist():
        data = bytearray(whole)
        data[at] ^= chance.randrange(1, 256)
        yield bytes(data)


def test_none_of_2000_changed_bytes_is_accepted_in_a_folder_and_in_a_zip(made: Path, home: Path):
    other = open_bundle(made)
    before, tried, accepted = answers(other), 0, []
    pack_bundle(home, home.parent / "home.zip")
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    share, more = divmod(FLIPS // 2, len(files))
    counts = {path: share + (number < more) for number, path in enumerate(files)}
    counts[home.parent / "home.zip"] = FLIPS // 2
    for path, count in counts.items():
        whole = path.read_bytes()
        opened = path if path.suffix == ".zip" else home
        for number, data in enumerate(flipped(path, count, seed=len(whole))):
            path.write_bytes(data)
            tried += 1
            try:
                open_bundle(opened)
            except BundleError:
                continue
            accepted.append((path.name, number))
        path.write_bytes(whole)
        open_bundle(opened)
    assert (tried, accepted) == (FLIPS, [])
    assert answers(other) == before


def put(*keys: object, value: object) -> Callable[[Path], None]:
    """Change one value of the manifest, and reseal it."""

    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return lambda home: change_manifest(home, change)


def config(part: str, **changes: object) -> Callable[[Path], None]:
    return lambda home: change_manifest(
        home, lambda values: values["parts"][part]["config"].update(changes)
    )


def composition(name: str, **changes: object) -> Callable[[Path], None]:
    return lambda home: change_manifest(
        home, lambda values: values["compositions"][name].update(changes)
    )


def put_tensors(part: str, tensors: dict[str, np.ndarray]) -> Callable[[Path], None]:
    """Give a part other weights, and say so wherever it is said."""
    types = {name: TensorType("F32", tensors[name].shape) for name in sorted(tensors)}
    body = b"".join(np.ascontiguousarray(tensors[name]).tobytes() for name in types)
    said = {name: str(type_) for name, type_ in types.items()}
    return lambda home: put_part(home, part, header_bytes(types) + body, said)


FUSION = fusion(units=5, members=2)
ELSEWHERE = {name.replace("1.output", "3.output"): one for name, one in FUSION.items()}
NORMS = {"norm_weight": np.ones(4, np.float32), "norm_bias": np.ones(4, np.float32)}


def share_fusion(home: Path) -> None:
    """Let a composition of one adapter own the fusion of another."""
    composition("intent", parts=["intent", "few-shot.fusion"])(home)


def own_twice(home: Path) -> None:
    """List a second part that says how members are mixed."""

    def change(values: dict[str, Any]) -> None:
        part = values["parts"]["few-shot.fusion"]
        values["parts"]["more"] = {**part, "file": "parts/more.safetensors"}
        shutil.copy(home / part["file"], home / "parts" / "more.safetensors")
        values["licences"]["part/more"] = "MIT"
        values["compositions"]["few-shot:de"]["parts"].append("more")

    change_manifest(home, change)


def pfeiffer_member(home: Path) -> None:
    """Take one member from half of the sites, honestly described, and not the other."""

    def change(values: dict[str, Any]) -> None:
        values["parts"]["domain"]["config"]["placement"] = "pfeiffer"

    rng = np.random.default_rng(0)
    shapes = {"down": (2, 4), "down_bias": (2,), "up": (4, 2), "up_bias": (4,)}
    low = {
        f"{layer}.output.{name}": rng.standard_normal(shape).astype(np.float32)
        for layer in range(2)
        for name, shape in shapes.items()
    }
    put_tensors("domain", low)(home)
    change_manifest(home, change)


DENSE = {"dense": np.ones((4, 4), np.float32), "dense_bias": np.ones(4, np.float32)}
SOME_BIAS = "tensor '0.attention.down_bias' is missing"
CONFIGS = {
    "nothing": (put("parts", "domain", "config", value={}), "discriminator 'kind'"),
    "kind of another": (config("domain", kind="madapter"), "kind: 'madapter', not 'bottleneck'"),
    "kind of none": (config("domain", kind="x\x1b[2J"), r"'x\\x1b\[2J'"),
    "kind of no part": (
        put("parts", "domain", "config", value={"kind": "adamix"}),
        "a part cannot be of the kind 'adamix'",
    ),
    "kind of other tensors": (
        put("parts", "domain", "config", value={"kind": "lora", "rank": 2}),
        "kind: 'lora', not 'bottleneck'",
    ),
    "unknown key": (config("domain", wide=2), "wide: Extra inputs"),
    "width": (config("domain", width=3), r"'0.attention.down' has the shape \[2, 4\], not \[3, 4"),
    "width of terabytes": (config("domain", width=2**40), "width: Input should be less than"),
    "negative width": (config("domain", width=-2), "width: Input should be greater than"),
    "no width left": (
        config("domain", width=None, reduction_factor=8.0),
        r"'0.attention.down' has the shape \[2, 4\], not \[0, 4\]",
    ),
    "a factor for each layer": (
        config("domain", width=None, reduction_factor={"0": 2.0}),
        r"'1.attention.down' has the shape \[2, 4\], not \[0, 4\]",
    ),
    "factors of no layer": (
        config("domain", width=None, reduction_factor={}),
        "reduction_factor: .*Input should be a valid number",
    ),
    "placement": (config("domain", placement="pfeiffer"), "tensor '0.attention.* is left over"),
    "middle layers": (config("intent", middle_layers=2), "'0.attention.middle.1' is missing"),
    "too many middle layers": (config("intent", middle_layers=4), "less than or equal to 3"),
    "norms": (config("domain", train_norm=True), "'0.attention.norm_weight' is missing"),
    "no norms": (config("intent", train_norm=False), "norm_(weight|bias)' is left over"),
    "no bias": (config("domain", bias=False), "_bias' is left over"),
    "left out": (config("domain", leave_out=[1]), "tensor '1.* is left over"),
    "non-linearity": (config("domain", non_linearity="exec"), "non_linearity: Input should be"),
    "learned scaling": (config("domain", scaling="learned"), "'0.attention.scaling' is missing"),
    "scaling that is a list": (config("domain", scaling=[1]), "scaling.*: Input should be"),
    "form": (config("domain", form="sideways"), "form: Input should be 'sequential' or 'parallel'"),
    "attention": (config("domain", placement="after-attention"), "tensor '0.output.* is left over"),
    "invertible": (config("domain", invertible=True), "tensor 'embeddings.f_down' is missing"),
    "sparse": (
        config("domain", sparsity={"method": "snip"}),
        "'0.attention.down' is dense, and the adapter is sparse",
    ),
    "sparse to nothing": (
        config("domain", sparsity={"method": "snip", "ratio": 1.0}),
        "sparsity: ratio: Input should be less than 1",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_its_tensors_do_not_keep_is_refused(
    change: Callable[[Path], None], message: str, home: Path
):
    change(home)
    refused(home, f"parts.(domain|intent): config: .*{message}")
    refused(zipped(home), message)


HEADS = {
    "a head of two layers": (
        config("intent.head", non_linearity="tanh"),
        "config: non_linearity: 'tanh', and the head has one layer",
    ),
    "a head of two layers that is not told": (
        put_tensors("intent.head", {**head(3), **DENSE}),
        "config: non_linearity: says none, and the head has two layers",
    ),
    "a dense layer of another size": (
        put_tensors("intent.head", {**head(3), **DENSE, "dense": np.ones((4, 5), np.float32)}),
        r"head: 'dense' has the shape \[4, 5\], not \[size 4, size 4\]",
    ),
    "no bias of a dense layer": (
        put_tensors("intent.head", {**head(3), "dense": DENSE["dense"]}),
        "head: 'dense_bias' is missing",
    ),
}


@pytest.mark.parametrize(("change", "message"), HEADS.values(), ids=HEADS)
def test_a_head_that_is_not_as_described_is_refused(
    change: Callable[[Path], None], message: str, home: Path
):
    change(home)
    refused(home, f"parts.intent.head: {message}")
    refused(zipped(home), message)


COMPOSITIONS = {
    "unknown name": (composition("intent", expression="intend"), "'intend' is not among its parts"),
    "another's adapter": (composition("intent", expression="domain"), "'domain' is not among its"),
    "unbound": (composition("intent", expression="$language > intent"), "not bound to a language"),
    "no expression": (composition("intent", expression=""), "expression: an empty composition"),
    "nested deep": (
        composition("intent", expression="(" * 5000 + "intent" + ")" * 4994),
        "expression: nested deeper than 20",
    ),
    "long": (composition("intent", expression="intent > " * 2000 + "intent"), "10000 characters"),
    "spelt otherwise": (composition("intent", expression="(intent)"), "must be written 'intent'"),
    "fusion of one": (composition("few-shot:de", expression="fuse(intent)"), "of one member"),
    "fusion of three": (
        composition("few-shot:de", expression="fuse(intent, domain, none)"),
        "the mixers fuse of 3, its parts of the kind fusion have fuse of 2",
    ),
    "gate": (
        composition("few-shot:de", expression="gate(intent, domain)"),
        "the mixers gate of 2, its parts of the kind fusion have fuse of 2",
    ),
    "two fusions": (
        composition("few-shot:de", expression="fuse(intent, domain) > fuse(domain, intent)"),
        "the mixers fuse of 2, fuse of 2, its parts",
    ),
    "members in another order": (
        # As many units in all: only the names tell which unit is whose.
        composition("few-shot:de", expression="fuse(domain > intent, none)"),
        None,
    ),
    "more units": (
        composition("few-shot:de", expression="fuse(intent, intent > domain)"),
        r"'0.attention.0.f_down' has the shape \[5, 4\], not \[8, 4\]",
    ),
    "fewer units": (
        put_tensors("few-shot.fusion", fusion(units=4, members=2)),
        r"'0.attention.0.f_down' has the shape \[4, 4\], not \[5, 4\]",
    ),
    "a site missing": (
        put_tensors(
            "few-shot.fusion", {n: one for n, one in FUSION.items() if "1.output" not in n}
        ),
        "tensor '1.output.0.f_down' is missing",
    ),
    "a layer beyond": (put_tensors("few-shot.fusion", ELSEWHERE), "has layers 0 to 1"),
    "norms at one site": (
        put_tensors(
            "few-shot.fusion", {**FUSION, **{f"0.output.{n}": one for n, one in NORMS.items()}}
        ),
        "tensor '0.attention.norm_weight' is missing",
    ),
    "a fusion of no use": (share_fusion, "it has the mixers none, its parts .* fuse of 2"),
    "two fusions owned": (own_twice, "2 parts of the role 'composition'; it may own one"),
    "two placements": (pfeiffer_member, "has members of the placements houlsby, pfeiffer"),
    "no head": (composition("intent", head="domain"), "the part 'domain' is no head"),
    "a head not there": (composition("intent", head="x"), "no part 'x'"),
    "another's head": (composition("intent", head="few-shot.head"), "a head of 3 rows, not 1"),
    "no labels": (composition("intent", labels=[]), "0 labels for a text-classification"),
    "a label more": (composition("intent", labels=["a", "b", "c", "d"]), "a head of 4 rows, not 3"),
    "a label twice": (composition("intent", labels=["a", "a", "b"]), "a label is there twice"),
    "an empty label": (composition("intent", labels=["a", "", "b"]), "at least 1 character"),
    "a hundred thousand labels": (
        composition("intent", labels=[f"label {n}" for n in range(100_000)]),
        "a head of 100000 rows, not 3",
    ),
    "a label of a megabyte": (composition("few-shot:de", labels=["x" * 2**20]), "1 labels for a"),
    "spans": (composition("intent", type="token-classification"), "a head of 7 rows, not 3"),
    "a type of none": (composition("intent", type="exec"), "type: Input should be 'text-class"),
    "pooling": (composition("intent", pooling="max"), "pooling: Input should be 'mean' or"),
    "a path as a language": (composition("intent", languages=["../x"]), "languages.0: String"),
    "a language of lines": (composition("intent", languages=["de\n"]), "languages.0: String"),
    "a path as a name": (
        lambda home: change_manifest(
            home, lambda v: v["compositions"].update({"../x": v["compositions"]["intent"]})
        ),
        r"compositions.\.\./x.\[key\]: String should match",
    ),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [one for one in COMPOSITIONS.values() if one[1]],
    ids=[name for name, one in COMPOSITIONS.items() if one[1]],
)
def test_a_composition_that_its_parts_do_not_keep_is_refused(
    change: Callable[[Path], None], message: str, home: Path
):
    change(home)
    refused(home, message)
    refused(zipped(home), message)


def test_another_expression_that_its_parts_do_keep_is_that_expression(home: Path):
    """Who may change a bundle may change what it means: hashes protect, they do not sign."""
    change, _ = COMPOSITIONS["members in another order"]
    change(home)
    bundle = open_bundle(home)
    assert bundle.manifest.compositions["few-shot:de"].expression == "fuse(domain > intent, none)"


NUMBERS = {
    "max_tokens": (put("backbone", "max_tokens", value=10**9), "max_tokens: Input should be less"),
    "no tokens": (put("backbone", "max_tokens", value=0), "max_tokens: Input should be greater"),
    "layers": (put("backbone", "layers", value=2**62), "layers: Input should be less"),
    "size": (put("backbone", "hidden_size", value=2**62), "hidden_size: Input should be less"),
    "more layers": (put("backbone", "layers", value=3), "tensor '2.attention.down' is missing"),
    "negative parameters": (put("parts", "domain", "parameters", value=-1), "greater than or"),
    "negative bytes": (put("parts", "domain", "bytes", value=-1), "greater than or equal to 1"),
    "a score of NaN": (put("scores", 0, "value", value="NaN"), "not in canonical form|finite"),
    "a score of 2": (put("scores", 0, "value", value=2.0), "less than or equal to 1"),
    "of no examples": (put("scores", 0, "n", value=0), "n: Input should be greater"),
    "of a language": (put("scores", 0, "language", value="../../x"), "language: String should"),
    "of a kind": (put("scores", 0, "score", value="best"), "score: Input should be"),
    "tolerance": (put("self_test", "tolerance", value=2.0), "tolerance: Input should be less"),
    "no rows": (put("self_test", "cases", 0, "expected", value=[]), "expected: Tuple should have"),
    "of words": (put("self_test", "cases", 0, "expected", value=[["a", "b", "c"]]), "valid number"),
    "a type of terabytes": (
        put("parts", "intent.head", "tensors", "bias", value="F32[2147483647,2147483647]"),
        "'bias' has the shape",
    ),
    "a type of many dimensions": (
        put("parts", "intent.head", "tensors", "bias", value=f"F32[{'9' * 9}{',999999999' * 300}]"),
        "is not a tensor's type",
    ),
    "a type in other digits": (
        put("parts", "intent.head", "tensors", "bias", value="F32[٣]"),
        "is not a tensor's type",
    ),
}


@pytest.mark.parametrize(("change", "message"), NUMBERS.values(), ids=NUMBERS)
def test_a_number_out_of_its_range_is_refused(
    change: Callable[[Path], None], message: str, home: Path
):
    change(home)
    refused(home, message)
    refused(zipped(home), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "sample", "name": "../x"}, r"backbone.name: '\.\./x' is not a name"),
        ({"source": "hub", "name": "a/b/c", "revision": "0" * 40}, "'a/b/c' is not a name"),
        ({"source": "hub", "name": "a\0b/c", "revision": "0" * 40}, r"'a\\x00b/c' is not a name"),
        ({"source": "hub", "name": "a/b", "revision": "main"}, "revision: 'main' is not a commit"),
        ({"source": "hub", "name": "a/b"}, "revision: None is not a commit"),
        ({"source": "url"}, "source: Input should be 'sample', 'hub' or 'folder'"),
    ],
)
def test_a_backbone_that_is_looked_up_has_a_name_and_nothing_else(
    changes: dict[str, str], message: str, home: Path
):
    change_manifest(home, lambda values: values["backbone"].update(changes))
    refused(home, message)


@pytest.mark.parametrize(
    "name", ["weights.bin", "model.pt", "run.py", "x.so", "x.pkl", "x", "x.h5"]
)
def test_a_file_that_might_be_run_is_refused_even_where_it_is_listed(name: str, home: Path):
    data = b"\x80\x04K\x01."
    (home / name).write_bytes(data)
    record = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    change_manifest(home, lambda values: values["files"].update({name: record}))
    refused(home, f"'{name}' cannot be the name of a file here")
    refused(zipped(home), f"'{name}' cannot be the name of a file here")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "parts/intent.bin", "parts/run.py", "x.pkl"])
def test_a_pickle_beside_is_refused(name: str, home: Path):
    (home / name).write_bytes(b"\x80\x04K\x01.")
    refused(home, f"'{name}' is in it, but not in its manifest")
    refused(zipped(home), f"'{name}' is in it, but not in its manifest")


@pytest.mark.parametrize(
    "data",
    [b"\x80\x04\x95" + bytes(100), b"PK\3\4" + bytes(100), b"\x93NUMPY" + bytes(100), b"[]" * 40],
    ids=["pickle", "torch zip", "numpy", "json"],
)
def test_another_format_in_the_place_of_weights_is_refused(data: bytes, home: Path):
    put_part(home, "intent", data)
    refused(home, "intent.safetensors: (cut short, or no safetensors file|no safetensors|a header)")
    refused(zipped(home), "intent.safetensors: ")


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "x" * 300, "ü", "a b", "", "1.²"])
def test_a_tensor_of_the_backbone_that_no_file_could_hold_is_refused(name: str, home: Path):
    data = canonical_json({"tensors": {name: "0" * 64}})
    (home / "backbone.json").write_bytes(data)
    record = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    change_manifest(home, lambda values: values["files"].update({"backbone.json": record}))
    refused(home, "backbone.json: tensors: '.*' is not the name of a tensor")


def link_to_itself(home: Path) -> Path:
    (home.parent / "loop").symlink_to(home.parent / "loop")
    return home.parent / "loop"


def pipe_home(home: Path) -> Path:
    os.mkfifo(home.parent / "home.zip")
    return home.parent / "home.zip"


def in_place(make: Callable[[Path], object], name: str) -> Callable[[Path], Path]:
    def change(home: Path) -> Path:
        (home / name).unlink()
        make(home / name)
        return home

    return change


def link_to_manifest(home: Path) -> Path:
    (home / "manifest.json").rename(home.parent / "manifest.json")
    (home / "manifest.json").symlink_to(home.parent / "manifest.json")
    return home


PLACES = {
    "link to itself": (link_to_itself, "does not exist, or cannot be read"),
    "pipe": (pipe_home, "home.zip is not a file"),
    "device": (lambda home: Path("/dev/zero"), "/dev/zero is not a file"),
    "link to the manifest": (link_to_manifest, "'manifest.json' is not a plain file"),
    "pipe for weights": (
        in_place(os.mkfifo, "parts/intent.safetensors"),
        "'intent.safetensors' is not a plain file",
    ),
    "pipe for the manifest": (
        in_place(os.mkfifo, "manifest.json"),
        "'manifest.json' is not a plain file",
    ),
    "folder for weights": (
        in_place(Path.mkdir, "parts/intent.safetensors"),
        "'intent.safetensors' does not belong there",
    ),
}


@pytest.mark.parametrize(("change", "message"), PLACES.values(), ids=PLACES)
def test_what_is_no_plain_file_is_refused_unread(
    change: Callable[[Path], Path], message: str, home: Path
):
    with pytest.raises(BundleError, match=message):
        open_bundle(change(home))


def test_a_link_that_takes_a_files_place_after_opening_is_refused(home: Path):
    bundle = open_bundle(home)
    (home / "parts" / "intent.safetensors").rename(home.parent / "same")
    (home / "parts" / "intent.safetensors").symlink_to(home.parent / "same")
    with pytest.raises(BundleError, match="is a symbolic link"):
        bundle.read_part("intent")


# Manifests, headers and archives that cost nothing to send and much to read.


def many(text: str, size: int) -> bytes:
    return ('{"recipe": [' + text * (size // len(text)) + "0]}").encode()


def hostile_manifest(data: bytes) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / "manifest.json").write_bytes(data)

    return change


def hostile_header(header: bytes, body: bytes = b"") -> Callable[[Path], None]:
    return lambda home: put_part(home, "intent", raw_tensors(header, body))


def sparse_part(home: Path) -> None:
    """Claim a quarter of a gigabyte, of which the disk holds none."""
    with (home / "parts" / "intent.safetensors").open("r+b") as file:
        file.truncate(2**28)
    put("parts", "intent", "bytes", value=2**28)(home)


def zip_bomb(home: Path) -> None:
    """Let a zip claim a file of four gigabytes, deflated."""
    path = zipped(home)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    struct.pack_into("<H", data, at + 10, 8)
    struct.pack_into("<L", data, at + 24, 2**32 - 1)
    path.write_bytes(data)
    shutil.rmtree(home)
    path.rename(home)


MIB = 2**20
MOST_MEMORY = 48 * MANIFEST_LIMIT  # what the text of a manifest or header may grow to
EXPENSIVE: dict[str, tuple[Callable[[Path], None], str]] = {
    "eight megabytes of lists": (hostile_manifest(many("[],", 8 * MIB - 99)), "than 1,048,576 v"),
    "of objects": (hostile_manifest(many('{"":0},', 8 * MIB - 99)), "more than 1,048,576 values"),
    "of brackets": (hostile_manifest(b'{"a":' + b"[" * MIB), "more than 64 deep|1,048,576 values"),
    "of one number": (hostile_manifest(b'{"a": ' + b"9" * (8 * MIB - 9) + b"}"), "digits"),
    "of one string": (hostile_manifest(b'{"a": "' + b"x" * (8 * MIB - 9) + b'"}'), "format None"),
    "of keys": (
        hostile_manifest(
            ("{" + ",".join(f'"{n:x}":0' for n in range(700_000)) + ',"format":3}').encode()
        ),
        "7..,... fields are wrong",
    ),
    "a future format, huge": (
        hostile_manifest(many('"",', MIB // 4)[:-1] + b', "format": 99}'),
        "format 99 was made by a later composer",
    ),
    "parts of nothing": (
        put("parts", value={f"part{n}": {"kind": "x"} for n in range(10_000)}),
        "70,000 fields are wrong",
    ),
    "a header of keys": (
        hostile_header(("{" + ",".join(f'"{n:x}":0' for n in range(600_000)) + "}").encode()),
        "must have dtype",
    ),
    "a header of eight megabytes": (hostile_header(b"{" + b" " * (8 * MIB) + b"}"), "a header of"),
    "a header's long name": (hostile_header(b'{"' + b"x" * (8 * MIB - 99) + b'":0}'), "name of 1"),
    "a shape of millions": (
        hostile_header(
            b'{"a":{"dtype":"F32","shape":[' + b"1," * 500_000 + b'1],"data_offsets":[0,4]}}',
            bytes(4),
        ),
        "has the shape",
    ),
    "terabytes": (
        hostile_header(
            b'{"a":{"dtype":"F32","shape":[1099511627,1024],"data_offsets":[0,4503599624192]}}'
        ),
        "are declared",
    ),
    "sparse": (sparse_part, "intent.safetensors is damaged"),
    "zip bomb": (zip_bomb, "is compressed; a bundle's files are stored as is"),
}
CHILD = """
import json, sys
from pathlib import Path
from composer.bundle.reader import open_bundle
from composer.errors import BundleError
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
open_bundle(sys.argv[1])
before = most()
for path in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")  # let the most begin anew
    try:
        open_bundle(path)
        said = "accepted"
    except BundleError as fault:
        said = str(fault)
    print(json.dumps([said[:2000], len(said), most() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in other units")
def test_what_costs_nothing_to_send_costs_little_to_refuse(made: Path, tmp_path: Path):
    """One process opens them all, so what it holds on to would add up."""
    paths = []
    for number, (change, _) in enumerate(EXPENSIVE.values()):
        paths.append(Path(shutil.copytree(made, tmp_path / f"bundle{number}")))
        change(paths[-1])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(made), *map(str, paths)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    for (name, (_, message)), (said, length, grown) in zip(EXPENSIVE.items(), lines, strict=True):
        assert re.search(message, said), (name, said[:500])
        assert length < LONGEST_MESSAGE, name
        assert grown < MOST_MEMORY, (name, grown // MIB)
