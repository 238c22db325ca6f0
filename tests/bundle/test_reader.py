import os
import shutil
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composer.bundle.fingerprint import fingerprints_of
from composer.bundle.header import HEADER_LIMIT
from composer.bundle.jsontext import canonical_json
from composer.bundle.reader import open_bundle
from composer.bundle.writer import pack_bundle
from composer.errors import BundleError
from tests.bundle.content import (
    BACKBONE_TENSORS,
    TOKENIZER,
    change_manifest,
    content,
    make_bundle,
    put_part,
    raw_tensors,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "home"
    make_bundle(folder)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A bundle that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_what_is_written_reads_back(zipped: bool, home: Path, tmp_path: Path):
    if zipped:
        pack_bundle(home, tmp_path / "home.zip")
        shutil.rmtree(home)
    bundle = open_bundle(tmp_path / "home.zip" if zipped else home)
    given = content()
    assert sorted(bundle.manifest.parts) == sorted(given["parts"])
    for name, part in given["parts"].items():
        read = bundle.read_part(name)
        assert list(read) == sorted(part.tensors)
        for tensor, array in part.tensors.items():
            np.testing.assert_array_equal(read[tensor], array)
    assert bundle.manifest.compositions == given["compositions"]
    assert bundle.manifest.self_test == given["self_test"]
    assert bundle.manifest.recipe == {"composer": 1, "members": ["en", "de"]}
    assert bundle.manifest.languages == ("de", "en")
    assert bundle.read_tokenizer() == TOKENIZER
    assert bundle.backbone_tensors == BACKBONE_TENSORS


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json", "parts/intent.safetensors"])
def test_a_missing_file_is_refused(name: str, home: Path):
    (home / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(home)


def add_pipe(home: Path) -> None:
    os.mkfifo(home / "pipe")


def add_link(home: Path) -> None:
    (home / "tokenizer.json").rename(home.parent / "elsewhere")
    (home / "tokenizer.json").symlink_to(home.parent / "elsewhere")


def link_parts(home: Path) -> None:
    (home / "parts").rename(home.parent / "parts")
    (home / "parts").symlink_to(home.parent / "parts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda home: (home / "run.py").write_text(""), "'run.py' is in it, but not in its mani"),
        (lambda home: (home / "parts" / "x").write_text(""), "'parts/x' is in it, but not"),
        (lambda home: (home / "more").mkdir(), "the folder 'more' does not belong there"),
        (lambda home: (home / "parts" / "parts").mkdir(), "'parts' does not belong there"),
        (add_pipe, "'pipe' is not a plain file"),
        (add_link, "'tokenizer.json' is not a plain file"),
        (link_parts, "'parts' is not a plain file"),
    ],
    ids=["file", "part", "folder", "inner folder", "pipe", "link", "linked folder"],
)
def test_what_the_manifest_does_not_list_is_refused(
    change: Callable[[Path], object], message: str, home: Path
):
    change(home)
    with pytest.raises(BundleError, match=message):
        open_bundle(home)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["empty folder", "empty file"])
def test_what_is_no_bundle_says_so(make: Callable[[Path], None], tmp_path: Path):
    make(tmp_path / "x")
    with pytest.raises(BundleError, match="no bundle"):
        open_bundle(tmp_path / "x")


def test_a_path_that_does_not_exist_says_so(tmp_path: Path):
    with pytest.raises(BundleError, match="home does not exist"):
        open_bundle(tmp_path / "home")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (4, "format 4 was made by a later composer; this one reads format 3: upgrade"),
        (1, "format 1 was made by an earlier composer; this one reads format 3: export it again"),
        (0, "format 0 is unknown"),
        ("1", "format '1' is unknown"),
        (True, "format True is unknown"),
        (3.0, "format 3.0 is unknown"),
        (None, "format None is unknown"),
    ],
)
def test_another_format_is_refused(number: object, message: str, home: Path):
    change_manifest(home, lambda values: values.update(format=number, new_in_that_format=1))
    with pytest.raises(BundleError, match=message):
        open_bundle(home)


def respell(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(home: Path) -> None:
        path = home / "manifest.json"
        path.write_bytes(change(path.read_bytes()))

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (respell(lambda data: data + b"\n"), "not in canonical form"),
        (respell(lambda data: data.replace(b'"n": 400', b'"n": 4e2')), "not in canonical form"),
        (respell(lambda data: data.replace(b'"n": 400', b'"n": 401')), "digest does not match"),
        (respell(lambda data: data.replace(b'{\n  "b', b'{\n  "x": 1,\n  "b', 1)), "x: Extra inp"),
        (
            respell(lambda data: data.replace(b'"format": 3', b'"format": 3,\n  "format": 2')),
            "the key 'format' is there twice",
        ),
        (respell(lambda data: data.replace(b"0.75", b"NaN")), "NaN is not a finite number"),
        (respell(lambda data: b"[" * 10_000 + b"]" * 10_000), "nested more than 64 deep"),
        (respell(lambda data: b" " * (8 * 2**20) + data), "at most 8,388,608 are read"),
        (respell(lambda data: b"\x80\x04K\x01."), "not UTF-8"),
    ],
    ids=["space", "number", "value", "key", "twice", "nan", "deep", "large", "pickle"],
)
def test_a_manifest_that_is_not_as_written_is_refused(
    change: Callable[[Path], None], message: str, home: Path
):
    change(home)
    with pytest.raises(BundleError, match=message):
        open_bundle(home)


def put(*keys: object, value: object) -> Callable[[dict[str, Any]], None]:
    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("parts", "intent.head", "parameters", value=16), "16 parameters are stated, its"),
        (put("parts", "intent.head", "tensors", "bias", value="F32[2]"), "'weight' has the shape"),
        (put("parts", "intent.head", "tensors", "bias", value="F32[02]"), "is not a tensor's type"),
        (put("backbone", "layers", value=1), "the backbone has layers 0 to 0"),
        (put("backbone", "hidden_size", value=8), "not .width 2, size 8."),
        (put("languages", value=["de"]), "must be those of the compositions: de, en"),
        (put("scores", 0, "composition", value="x"), r"scores\[0\]: no composition 'x'"),
        (put("self_test", "cases", 0, "composition", value="x"), r"cases\[0\]: no composition 'x'"),
        (put("self_test", "cases", 0, "expected", value=[[1.0]]), "outputs must have 3 numbers"),
    ],
    ids=range(9),
)
def test_a_manifest_that_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any]], None], message: str, home: Path
):
    change_manifest(home, change)
    with pytest.raises(BundleError, match=message):
        open_bundle(home)


BIAS = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
WEIGHT = {"dtype": "F32", "shape": [3, 4], "data_offsets": [12, 60]}
NAN = struct.pack("<15f", *[1.0] * 14, float("nan"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (raw_tensors({"bias": BIAS}, bytes(12)), "tensor 'weight' .F32.3,4.. is missing"),
        (
            raw_tensors(
                {
                    "bias": BIAS,
                    "weight": WEIGHT,
                    "x": {"dtype": "U8", "shape": [1], "data_offsets": [60, 61]},
                },
                bytes(61),
            ),
            "tensor 'x' .U8.1.. is not expected",
        ),
        (
            raw_tensors({"bias": BIAS, "weight": {**WEIGHT, "shape": [4, 3]}}, bytes(60)),
            "tensor 'weight' is F32.4,3., not F32.3,4.",
        ),
        (
            raw_tensors({"bias": {**BIAS, "dtype": "I32"}, "weight": WEIGHT}, bytes(60)),
            "tensor 'bias' is I32.3., not F32.3.",
        ),
        (raw_tensors({"bias": BIAS, "weight": WEIGHT}, NAN), "'weight' holds a number that is not"),
        (
            raw_tensors({"bias": BIAS, "weight": {**WEIGHT, "data_offsets": [4, 52]}}, bytes(52)),
            "'weight' overlaps",
        ),
        (raw_tensors(b'{"bias":{},"bias":{}}'), "the key 'bias' is there twice"),
        (raw_tensors(b"{" + b" " * HEADER_LIMIT + b"}"), "a header of"),
        (struct.pack("<Q", 2**63) + b"{}", "cut short"),
        (b"\x80\x04\x95" + bytes(100), "cut short"),  # a pickle
        (b"PK\3\4" + bytes(100), "cut short"),  # a zip, as torch saves
    ],
    ids=range(11),
)
def test_weights_that_are_not_as_promised_are_refused(data: bytes, message: str, home: Path):
    put_part(home, "intent.head", data)
    with pytest.raises(BundleError, match=f"intent.head.safetensors: .*{message}"):
        open_bundle(home)


def test_a_shape_of_terabytes_is_refused_without_memory_for_it(home: Path):
    large = {"dtype": "F32", "shape": [2**30, 2**10], "data_offsets": [0, 2**42]}
    put_part(home, "intent.head", raw_tensors({"weight": large}, bytes(60)))
    with pytest.raises(BundleError, match="4,398,046,511,104 bytes are declared; 60 are there"):
        open_bundle(home)


def test_a_size_of_terabytes_is_refused(home: Path):
    change_manifest(home, lambda values: values["parts"]["intent"].update(bytes=2**42))
    with pytest.raises(BundleError, match=r"parts\.intent\.bytes: Input should be less than"):
        open_bundle(home)


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "parts/../../x", "C:\\x", "parts\\x", "a/b", ".hidden", "a\nb"],
)
def test_a_path_that_leaves_the_folder_is_refused(name: str, home: Path):
    (home.parent / "secret").write_text("secret")
    change_manifest(home, lambda values: values["parts"]["intent"].update(file=name))
    with pytest.raises(BundleError, match="parts.intent: its file must be 'parts/intent.safe"):
        open_bundle(home)
    record = {"sha256": "0" * 64, "bytes": 6}
    change_manifest(home, lambda values: values["files"].update({name: record}))
    with pytest.raises(BundleError, match="cannot be the name of a file here"):
        open_bundle(home)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "must have `tensors` and nothing else"),
        ({"tensors": {}}, "must have `tensors` and nothing else"),
        ({"tensors": BACKBONE_TENSORS, "x": 1}, "must have `tensors` and nothing else"),
        ({"tensors": {**BACKBONE_TENSORS, "x": "g" * 64}}, "tensors.x: not a digest"),
        ({"tensors": {**BACKBONE_TENSORS, "x": "3" * 64}}, "does not agree with the fingerprints"),
        ({"tensors": {"x": "3" * 64}}, "no token embeddings"),
    ],
)
def test_digests_of_the_backbone_must_make_its_fingerprints(
    tensors: object, message: str, home: Path
):
    def change(values: dict[str, Any]) -> None:
        data = canonical_json(tensors)
        (home / "backbone.json").write_bytes(data)
        record = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
        values["files"]["backbone.json"] = record

    change_manifest(home, change)
    with pytest.raises(BundleError, match=message):
        open_bundle(home)


SECOND = "encoder.layer.2.output.dense.weight"
TENTH = "encoder.layer.10.output.dense.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({TENTH: "9" * 64, SECOND: "9" * 64}, f"the tensor '{SECOND}' differs"),
        ({TENTH: "9" * 64}, f"the tensor '{TENTH}' differs"),
        ({TENTH: None}, f"this one has no tensor '{TENTH}'"),
        ({"encoder.layer.11.x": "9" * 64}, "this one has a tensor 'encoder.layer.11.x' more"),
        ({"embeddings.word_embeddings.weight": "9" * 64}, "word_embeddings.weight' differs"),
    ],
)
def test_another_backbone_is_refused_by_the_first_tensor_that_differs(
    change: dict[str, str | None], message: str, made: Path
):
    bundle = open_bundle(made)
    merged = {**BACKBONE_TENSORS, **change}
    tensors = {name: digest for name, digest in merged.items() if digest is not None}
    prints = fingerprints_of(tensors, tokenizer=bundle.manifest.backbone.tokenizer)
    with pytest.raises(BundleError, match=f"another backbone .tiny, folder, .*{message}"):
        bundle.check_backbone(prints, tensors)


def test_another_tokenizer_is_refused(made: Path):
    bundle = open_bundle(made)
    with pytest.raises(BundleError, match="its weights are the same, its tokenizer differs"):
        bundle.check_backbone(
            fingerprints_of(BACKBONE_TENSORS, tokenizer="0" * 64), BACKBONE_TENSORS
        )


def test_the_backbone_it_was_made_for_is_accepted(made: Path):
    bundle = open_bundle(made)
    prints = fingerprints_of(BACKBONE_TENSORS, tokenizer=bundle.manifest.backbone.tokenizer)
    bundle.check_backbone(prints, BACKBONE_TENSORS)


def test_a_part_that_changed_after_opening_is_refused(home: Path):
    bundle = open_bundle(home)
    path = home / "parts" / "intent.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match="parts/intent.safetensors is damaged"):
        bundle.read_part("intent")


def test_an_unknown_part_names_the_nearest(made: Path):
    with pytest.raises(BundleError, match="no part 'intend'; did you mean 'intent'?"):
        open_bundle(made).read_part("intend")


def test_parts_are_read_anew_so_that_no_caller_changes_anothers(made: Path):
    bundle = open_bundle(made)
    first = bundle.read_part("intent")["0.output.up"]
    first[:] = 0
    assert bundle.read_part("intent")["0.output.up"].any()


def test_no_file_stays_open(made: Path, tmp_path: Path):
    pack_bundle(made, tmp_path / "home.zip")
    before = len(os.listdir("/proc/self/fd"))
    kept = [open_bundle(path) for path in (made, tmp_path / "home.zip") * 5]
    assert [bundle.read_part("intent") for bundle in kept]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_to_a_bundle_is_followed_once(home: Path):
    """As `current -> v3` is used; links inside a bundle are refused."""
    zipped = home.with_name("v3.zip")
    pack_bundle(home, zipped)
    for target in (home, zipped):
        link = home.with_name(f"current{target.suffix}")
        link.symlink_to(target.name)
        opened = open_bundle(link)
        assert opened.path == target
        link.unlink()
        assert opened.read_part("intent")  # the link was read when the bundle was opened
