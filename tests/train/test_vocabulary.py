"""A bundle with a trimmed vocabulary answers as the whole one does, where its pieces are kept."""

import hashlib
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from composer.bundle.editing import publish, with_compositions
from composer.bundle.fingerprint import Fingerprints, fingerprint_folder
from composer.bundle.jsontext import canonical_json
from composer.bundle.reader import open_bundle
from composer.data.batches import collate
from composer.data.examples import Example
from composer.data.tokenizer import read_tokenizer
from composer.device import adding
from composer.device.bundle import Bundle
from composer.errors import BackboneError, BundleError
from composer.model.backbone import Backbone, open_backbone
from composer.model.bundled import check_backbone
from composer.model.screening import screen_folder
from composer.model.trimming import rows_in_use, trim_folder
from composer.recipe.expansion.stages import DataUse
from composer.recipe.grammar.data import FileData
from composer.train.setup import encoder_for
from composer.train.vocabulary import texts_of, trim_backbone
from tests.bundle.content import change_manifest
from tests.tiny import SENTENCES, write_tiny_backbone, write_tiny_family, write_tiny_roberta
from tests.train.conftest import evaluation_stage
from tests.train.test_exporting import CASES, Bench, Shelf, bench, export_stage, shelf

__all__ = ["bench", "shelf"]  # fixtures

WRITERS = {
    "bert": write_tiny_backbone,
    "roberta": write_tiny_roberta,
    "distilbert": lambda folder: write_tiny_family(folder, "distilbert"),
}
TEXT = DataUse(source=FileData(source="files", path="text.$language.txt"), languages=("en",))


@pytest.fixture(scope="module")
def home(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a fusion, with what the English text needs of the vocabulary."""
    return trimmed_bundle(shelf, tmp_path_factory.mktemp("trimmed"))


def trimmed_bundle(shelf: Shelf, folder: Path) -> Path:
    case = CASES["fusion"]
    workshop = replace(shelf.workshop, folder=folder, inputs=shelf.train(case))
    scored = evaluation_stage("fuse(intent, domain)", "composition/few")
    workshop.run(scored)
    return workshop.run(export_stage(case, scored.name, precision="float32", data=TEXT)) / "bundle"


@pytest.mark.parametrize("family", WRITERS)
def test_a_trimmed_backbone_gives_the_same_numbers(family: str, tmp_path: Path) -> None:
    whole, part = WRITERS[family](tmp_path / "whole"), tmp_path / "part"
    part.mkdir()
    _, config = screen_folder(whole)
    tokenizer = read_tokenizer(whole, rows=config.vocab_size, types=config.type_vocab_size)
    used = {one for text in SENTENCES[:3] for one in tokenizer.encode(text).ids}
    parent = fingerprint_folder(whole)
    rows = rows_in_use(whole, used)
    trim_folder(whole, part, rows)
    one, other = (open_backbone(folder, precision="float32") for folder in (whole, part))
    assert len(rows) == len(other.word_embeddings.weight) < len(one.word_embeddings.weight)
    assert other.fingerprints.body == one.fingerprints.body == parent.body
    assert other.fingerprints.vocabulary != parent.vocabulary
    for text in SENTENCES[:3]:
        outputs = [run(backbone, text) for backbone in (one, other)]
        assert np.array_equal(*outputs)


def run(backbone: Backbone, text: str) -> np.ndarray:
    (row,) = encoder_for(backbone).encode([Example(text=text)])
    arrays = collate([row], pad_id=backbone.pad_id)
    with torch.no_grad():
        return backbone.encode({n: torch.from_numpy(a) for n, a in arrays.items()}).numpy()


def test_a_trimmed_bundle_answers_what_the_whole_one_answers(bench: Bench, home: Path) -> None:
    workshop, case = bench("fusion")
    whole = Bundle.open(workshop.run(export_stage(case, precision="float32")) / "bundle")
    part = Bundle.open(home)
    texts = ["turn on the lamp in the kitchen 1", "turn up the light in the living room 17"]
    one, other = (
        np.array(device.use("it").logits(device.encode(read(texts), truncate=False, offsets=False)))
        for device in (whole, part)
    )
    assert np.array_equal(one, other)
    assert part.self_test() <= 1e-4


def read(texts: list[str]) -> list[Example]:
    return [Example(text=text) for text in texts]


def test_a_trimmed_bundle_says_of_what_and_how_many_texts_change(bench: Bench, home: Path) -> None:
    workshop, _ = bench("fusion")
    manifest = open_bundle(home).manifest
    whole = fingerprint_folder(workshop.backbone_folder)
    backbone, trimmed = manifest.backbone, manifest.backbone.trimmed
    assert trimmed is not None
    assert (backbone.body, trimmed.parent) == (whole.body, whole.vocabulary)
    assert backbone.token_parameters == trimmed.kept * backbone.hidden_size
    assert trimmed.kept < trimmed.rows
    (changed,) = trimmed.changed
    assert (changed.language, changed.changed) == ("en", 0)  # of texts like those that chose
    assert changed.texts > 0
    assert {one.variant for one in manifest.scores} == {"float32", "float32, trimmed"}


def test_texts_that_are_cut_otherwise_are_counted(bench: Bench) -> None:
    workshop, case = bench("fusion")
    words = " ".join(SENTENCES).split()
    for split, lines in (("train", words[:4]), ("test", ["turn on", "cuisine", "küche"])):
        (workshop.data_folder / f"few.{split}.txt").write_text("\n".join(lines))
    paths = {split: f"few.{split}.txt" for split in ("train", "test")}
    source = FileData.model_validate(
        {"source": "files", "path": {**paths, "validation": paths["train"]}}
    )
    data = replace(TEXT, source=source)
    out = workshop.run(export_stage(case, precision="float32", data=data), run="few")
    trimmed = open_bundle(out / "bundle").manifest.backbone.trimmed
    assert trimmed is not None
    assert [(one.texts, one.changed) for one in trimmed.changed] == [(3, 2)]


def test_the_same_texts_give_the_same_bytes(shelf: Shelf, home: Path, tmp_path: Path) -> None:
    again = trimmed_bundle(shelf, tmp_path)
    names = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [digest(again / name) for name in names] == [digest(home / name) for name in names]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_trimmed_bundle_is_told_from_its_whole_backbone(bench: Bench, home: Path) -> None:
    workshop, _ = bench("fusion")
    opened = open_bundle(home)
    backbone = open_backbone(workshop.backbone_folder, precision="float32")
    with pytest.raises(BundleError, match="token embeddings of this backbone, and answers by its"):
        check_backbone(opened, workshop.backbone_folder, backbone)
    assert not opened.is_trimmed_of(Fingerprints(body="0" * 64, vocabulary="0" * 64))


@pytest.mark.parametrize(
    "rows", [None, [0, 1], [1, 0], [0, 0], [0, 10**9], [-1, 0], "012", [0, True]]
)
def test_rows_that_cannot_be_are_refused(rows: object, home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    values = json.loads((copy / "backbone.json").read_bytes())
    del values["rows"]
    data = canonical_json(values if rows is None else {**values, "rows": rows})
    (copy / "backbone.json").write_bytes(data)

    def change(manifest: dict[str, Any]) -> None:
        record = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest["files"]["backbone.json"] = record
        if isinstance(rows, list):
            manifest["backbone"]["trimmed"]["kept"] = len(rows) + (rows == [0, 1])

    change_manifest(copy, change)
    with pytest.raises(BundleError, match=r"rows: must be|must have `rows`, `tensors`"):
        open_bundle(copy)


def test_a_bundle_of_a_trimmed_copy_says_so_too(shelf: Shelf, home: Path, tmp_path: Path) -> None:
    """Adapters that were trained on the whole backbone run on the copy: they know the body."""
    case, folder = CASES["fusion"], tmp_path / "copy"
    folder.mkdir()
    texts = partial(texts_of, TEXT, where={"folder": shelf.workshop.data_folder, "outside": True})
    trim_backbone(shelf.workshop.backbone_folder, folder, ("en",), texts)
    workshop = replace(
        shelf.workshop, backbone_folder=folder, folder=tmp_path, inputs=shelf.train(case)
    )
    bundle = workshop.run(export_stage(case, precision="float32")) / "bundle"
    one, other = (open_bundle(place).manifest.backbone for place in (bundle, home))
    assert one.trimmed == other.trimmed
    assert (one.body, one.vocabulary) == (other.body, other.vocabulary)
    with pytest.raises(BackboneError, match="is a trimmed copy already"):
        workshop.run(export_stage(case, precision="float32", data=TEXT), run="twice")


def test_parts_for_the_whole_backbone_come_into_a_trimmed_bundle(
    shelf: Shelf, home: Path, tmp_path: Path
) -> None:
    case = CASES["fusion"]
    workshop = replace(shelf.workshop, folder=tmp_path, inputs=shelf.train(case))
    stage = export_stage(case)
    more = replace(stage, compositions=(replace(stage.compositions[0], name="more"),))
    other = open_bundle(workshop.run(more) / "bundle")
    edit, off = adding.tested(with_compositions(open_bundle(home), other))
    publish(edit, shutil.copytree(home, tmp_path / "wider"))
    assert off["more"] <= 1e-4
    assert set(Bundle.open(tmp_path / "wider").compositions) == {"it", "more"}
    with pytest.raises(BundleError, match="answers by its own graph only"):
        with_compositions(other, open_bundle(home))  # the whole one has no use for a part of it
