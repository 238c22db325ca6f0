"""Manifests, headers and zips changed at random, every hash made to match."""

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from composer.bundle.archive import write_archive
from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.source import FolderSource
from composer.errors import BundleError
from tests.bundle.content import change_manifest, make_bundle, put_part
from tests.bundle.mutations import mutated, mutated_bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "home"
    make_bundle(folder)
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


def opened(path: Path) -> OpenedBundle | None:
    """Open a bundle; None where it is refused, as nothing but a `BundleError` may say."""
    try:
        bundle = open_bundle(path)
    except BundleError:
        return None
    for name, part in bundle.manifest.parts.items():  # it answers as its manifest says
        read = bundle.read_part(name)
        assert {key: (*array.shape,) for key, array in read.items()} == {
            key: type_.shape for key, type_ in part.types.items()
        }
    return bundle


def fuzz_manifests(home: Path, count: int) -> Counter[str]:
    path, original = home / "manifest.json", (home / "manifest.json").read_bytes()
    seen: Counter[str] = Counter()
    for seed in range(count):
        values = mutated(json.loads(original), random.Random(seed))
        path.write_bytes(original)
        change_manifest(home, lambda old, new=values: (old.clear(), old.update(new)))
        bundle = opened(home)
        seen["refused" if bundle is None else "accepted"] += 1
        assert bundle is None or bundle.manifest.to_bytes() == path.read_bytes()
    return seen


def test_a_changed_manifest_is_refused_or_is_what_it_says(home: Path):
    seen = fuzz_manifests(home, 400)
    assert seen["refused"] > 200
    assert seen["accepted"] > 10  # a licence, a parent, a language: it says something else then


@pytest.mark.slow
def test_three_thousand_changed_manifests_are_refused_or_are_what_they_say(home: Path):
    assert fuzz_manifests(home, 3_000).total() == 3_000


def fuzz_weights(home: Path, count: int) -> int:
    path = home / "parts" / "few-shot.fusion.safetensors"
    whole, accepted = path.read_bytes(), 0
    length = 8 + int.from_bytes(whole[:8], "little")
    for seed in range(count):
        chance = random.Random(seed)
        head = whole[8:length]
        for _ in range(chance.choice((1, 1, 2, 3))):
            head = mutated_bytes(head, chance)
        size = len(head) if chance.random() < 0.8 else chance.choice((0, 2**63, len(head) + 9))
        put_part(home, "few-shot.fusion", size.to_bytes(8, "little") + head + whole[length:])
        accepted += opened(home) is not None
    return accepted


def test_a_changed_header_of_weights_is_refused_or_says_the_same(home: Path):
    assert fuzz_weights(home, 250) < 80  # spaces, and what is no change


@pytest.mark.slow
def test_three_thousand_changed_headers_are_refused_or_say_the_same(home: Path):
    assert fuzz_weights(home, 3_000) < 1_000


def test_a_zip_with_a_stretch_changed_is_refused(home: Path):
    path = home.with_suffix(".zip")
    with path.open("wb") as file:
        write_archive(file, FolderSource(home))
    whole, accepted = path.read_bytes(), []
    for seed in range(400):
        data = mutated_bytes(whole, random.Random(seed))
        path.write_bytes(data)
        if data != whole and opened(path) is not None:
            accepted.append(seed)
    assert accepted == []
