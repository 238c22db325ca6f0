import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import composer
from composer.errors import BundleError, DataError, RecipeError
from tests.tiny import SENTENCES


def on_tiny(tiny_folder: Path) -> str:
    return f"folder:{tiny_folder}"


def test_a_bundle_shows_what_it_holds(home: Path):
    bundle = composer.Bundle.open(home)
    assert bundle.compositions == ("fused", "many", "number", "one", "spans")
    assert bundle.labels("one") == ("label 0", "label 1", "label 2")
    assert repr(bundle).startswith(f"<Bundle {home}: fused, many, number, one, spans; any language")
    assert "<td>fuse(relu, mid2, none)</td>" in bundle._repr_html_()
    assert bundle.bytes == sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def test_a_name_in_a_bundle_is_escaped(home: Path, tmp_path: Path):
    place = shutil.copytree(home, tmp_path / "<script>")
    assert "<script>" not in composer.Bundle.open(place)._repr_html_()


@pytest.mark.parametrize("composition", ["one", "fused", "many", "number", "spans"])
def test_torch_and_onnx_runtime_answer_alike(
    home: Path, parts: Path, tiny_folder: Path, composition: str
):
    device = composer.Bundle.open(home, threads=1).predict(SENTENCES, composition=composition)
    given = on_tiny(tiny_folder)
    for place in (home, parts):
        bundle = composer.Bundle.open(place, backbone=given)
        for one, other in zip(
            device, bundle.predict(SENTENCES, composition=composition), strict=True
        ):
            assert one.value == pytest.approx(other.value, abs=1e-4) or one.value == other.value
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)


def test_probabilities_are_those_of_the_predictions(home: Path):
    bundle = composer.Bundle.open(home, threads=1)
    found = bundle.probabilities(SENTENCES, composition="one")
    assert found.shape == (len(SENTENCES), 3)
    assert found.sum(1) == pytest.approx(np.ones(len(SENTENCES)))
    for row, said in zip(found, bundle.predict(SENTENCES, composition="one"), strict=True):
        assert bundle.labels("one")[row.argmax()] == said.value
        assert row.max() == pytest.approx(said.confidence)
    several = bundle.probabilities(SENTENCES, composition="many")
    for row, said in zip(several, bundle.predict(SENTENCES, composition="many"), strict=True):
        assert tuple(np.array(bundle.labels("many"))[row > 0.5]) == said.value
    assert bundle.probabilities([], composition="one").shape == (0, 3)


def test_only_labels_have_probabilities(home: Path):
    with pytest.raises(RecipeError, match="'number' is a regression"):
        composer.Bundle.open(home).probabilities(["x"], composition="number")


def test_faults_name_what_was_asked(home: Path, parts: Path):
    bundle = composer.Bundle.open(home, threads=1)
    with pytest.raises(RecipeError, match="^composition: the bundle holds .* say which"):
        bundle.predict(["lamp"])
    with pytest.raises(BundleError, match="no composition 'won'; did you mean 'one'"):
        bundle.predict(["lamp"], composition="won")
    with pytest.raises(DataError, match="^texts: one text"):
        bundle.predict("lamp", composition="one")
    with pytest.raises(RecipeError, match='^backbone: .*backbone="folder:PATH"'):
        composer.Bundle.open(parts).predict(["lamp"], composition="one")


def test_verify_reads_every_byte_again(home: Path, tmp_path: Path):
    place = shutil.copytree(home, tmp_path / "home")
    bundle = composer.Bundle.open(place, threads=1)
    assert bundle.verify() < 1e-4
    part = next((place / "parts").iterdir())
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    with pytest.raises(BundleError, match="is damaged"):
        bundle.verify()


def test_another_bundle_at_the_place_is_refused(home: Path, parts: Path, tmp_path: Path):
    place = shutil.copytree(home, tmp_path / "home")
    bundle = composer.Bundle.open(place, threads=1)
    shutil.rmtree(place)
    shutil.copytree(parts, place)
    with pytest.raises(BundleError, match="another bundle than was opened"):
        bundle.verify()


def test_threads_share_a_bundle(home: Path):
    bundle = composer.Bundle.open(home, threads=1)

    def ask(_: int) -> list[composer.Prediction]:
        return bundle.predict(SENTENCES, composition="fused")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert all(one == answers[0] for one in answers)
