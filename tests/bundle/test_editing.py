"""Compositions come into a bundle and go out again; what stays does not change by a byte."""

from pathlib import Path

import numpy as np
import pytest

from composer.bundle.editing import publish, with_compositions, without_compositions
from composer.bundle.files import write_bytes
from composer.bundle.reader import open_bundle
from composer.bundle.records import CompositionRecord, SelfTest, SelfTestCase
from composer.bundle.sizes import weight_report
from composer.bundle.writer import pack_bundle
from composer.errors import BundleError
from tests.bundle.content import (
    BACKBONE_TENSORS,
    adapter,
    change_manifest,
    content,
    head,
    make_bundle,
    part,
)

PARTS = {
    "weather": part(
        "bottleneck", adapter(3), config={"kind": "bottleneck", "width": 3}, licence="MIT"
    ),
    "domain": part("bottleneck", adapter(2), config={"kind": "bottleneck", "width": 2}),
    "weather.head": part("head", head(2)),
}


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def other_bundle(folder: Path, **changes: object) -> Path:
    """Write a bundle of the same backbone with one more adapter, and one that home has too."""
    record = CompositionRecord(
        expression="average(weather, domain)",
        parts=("weather", "domain"),
        head="weather.head",
        type="text-classification",
        labels=("rain", "sun"),
        languages=("fi",),
    )
    scores = [one.model_copy(update={"composition": "weather"}) for one in content()["scores"]]  # type: ignore[attr-defined]
    case = SelfTestCase(
        composition="weather", text="sataako", expected=((1, 2),), by_graph=((1, 2.5),)
    )
    values = {
        "parts": PARTS,
        "compositions": {"weather": record},
        "scores": [*scores, scores[0].model_copy(update={"precision": "int8"})],
        "licences": {"backbone": "MIT"},
        "self_test": SelfTest(cases=(case,)),
        **changes,
    }
    make_bundle(folder, **values)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return other_bundle(tmp_path / "other")


def test_what_was_added_brings_all_that_it_needs(home: Path, other: Path):
    before = everything(home)
    edit = with_compositions(open_bundle(home), open_bundle(other))
    assert everything(home) == before  # nothing is written yet
    assert edit.added == ("weather",)
    publish(edit, home)
    manifest = open_bundle(home).manifest
    assert set(manifest.compositions) == {"intent", "few-shot:de", "weather"}
    assert manifest.languages == ("de", "en", "fi")
    assert manifest.licences["part/weather"] == "MIT"
    (case,) = [one for one in manifest.self_test.cases if one.composition == "weather"]
    assert (case.text, case.by_graph) == ("sataako", None)
    scores = [one for one in manifest.scores if one.composition == "weather"]
    assert {one.precision for one in scores} == {"float32"}  # home has no int8 graph
    assert len(scores) == 2
    after = everything(home)
    assert {name for name in after if after[name] != before.get(name)} == {
        "manifest.json",
        "parts/weather.safetensors",
        "parts/weather.head.safetensors",
    }


@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_added_and_removed_leaves_the_bytes_that_were_there(
    home: Path, other: Path, tmp_path: Path, zipped: bool
):
    target = home
    if zipped:
        target = tmp_path / "home.zip"
        pack_bundle(home, target)
    before = target.read_bytes() if zipped else everything(home)
    publish(with_compositions(open_bundle(target), open_bundle(other)), target)
    assert (target.read_bytes() if zipped else everything(home)) != before
    edit = without_compositions(open_bundle(target), ["weather"])
    assert edit.removed == ("weather", "weather", "weather.head")
    publish(edit, target)
    assert (target.read_bytes() if zipped else everything(home)) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_and_its_zip_are_edited_alike(home: Path, other: Path, tmp_path: Path):
    pack_bundle(home, tmp_path / "home.zip")
    for target in (home, tmp_path / "home.zip"):
        publish(with_compositions(open_bundle(target), open_bundle(other)), target)
    pack_bundle(home, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "home.zip").read_bytes()


def test_adding_what_is_there_already_changes_nothing(home: Path, other: Path):
    publish(with_compositions(open_bundle(home), open_bundle(other)), home)
    edit = with_compositions(open_bundle(home), open_bundle(other))
    assert (edit.added, edit.changes) == ((), False)


def test_a_part_that_is_still_needed_stays(home: Path):
    edit = without_compositions(open_bundle(home), ["few-shot:de"])
    publish(edit, home)
    manifest = open_bundle(home).manifest
    assert set(manifest.parts) == {"intent", "intent.head"}
    assert set(manifest.licences) == {
        "backbone", "part/intent", "part/intent.head", "data/assistant/intent",
    }  # fmt: skip
    assert len(manifest.scores) == 2
    assert len(manifest.self_test.cases) == 1


def test_the_last_composition_cannot_be_removed(home: Path):
    before = everything(home)
    with pytest.raises(BundleError, match="would leave nothing to ask for"):
        without_compositions(open_bundle(home), ["intent", "few-shot:de"])
    with pytest.raises(BundleError, match="no composition 'intend'; did you mean 'intent'"):
        without_compositions(open_bundle(home), ["intend"])
    assert everything(home) == before


def test_only_what_is_asked_for_is_added(home: Path, other: Path, tmp_path: Path):
    publish(with_compositions(open_bundle(other), open_bundle(home), names=["intent"]), other)
    assert set(open_bundle(other).manifest.compositions) == {"weather", "intent"}
    assert "few-shot.fusion" not in open_bundle(other).manifest.parts
    with pytest.raises(BundleError, match="no composition 'wether'; did you mean 'weather'"):
        with_compositions(open_bundle(home), open_bundle(other), names=["wether"])


def changed_parts() -> dict[str, object]:
    tensors = {name: array + np.float32(1) for name, array in adapter(2).items()}
    return {**PARTS, "domain": part("bottleneck", tensors, config=PARTS["domain"].config)}


def test_a_part_of_the_same_name_and_other_bytes_is_refused(home: Path, tmp_path: Path):
    other = other_bundle(tmp_path / "changed", parts=changed_parts())
    for options in ({}, {"names": ["weather"]}):
        with pytest.raises(BundleError, match="has the part 'domain' already, and another"):
            with_compositions(open_bundle(home), open_bundle(other), **options)


def test_a_part_is_not_replaced_under_a_composition_that_stays(home: Path, tmp_path: Path):
    other = other_bundle(tmp_path / "changed", parts=changed_parts())
    with pytest.raises(BundleError, match="few-shot:de uses the part 'domain' that would be"):
        with_compositions(open_bundle(home), open_bundle(other), replacing=True)
    publish(without_compositions(open_bundle(home), ["few-shot:de"]), home)
    publish(with_compositions(open_bundle(home), open_bundle(other), replacing=True), home)
    assert (
        open_bundle(home).read_part("domain")["0.output.up_bias"][0]
        != adapter(2)["0.output.up_bias"][0]
    )


def test_a_composition_is_replaced_when_asked(home: Path, other: Path, tmp_path: Path):
    publish(with_compositions(open_bundle(home), open_bundle(other)), home)
    labels = ("snow", "sun")
    record = open_bundle(other).manifest.compositions["weather"]
    newer = other_bundle(
        tmp_path / "newer",
        compositions={"weather": record.model_copy(update={"labels": labels})},
    )
    with pytest.raises(BundleError, match="has the composition 'weather' already, and another"):
        with_compositions(open_bundle(home), open_bundle(newer))
    publish(with_compositions(open_bundle(home), open_bundle(newer), replacing=True), home)
    manifest = open_bundle(home).manifest
    assert manifest.compositions["weather"].labels == labels
    assert len([one for one in manifest.scores if one.composition == "weather"]) == 2


def test_another_backbone_is_refused_by_its_first_tensor_that_differs(home: Path, tmp_path: Path):
    from composer.bundle.fingerprint import fingerprints_of

    tensors = {**BACKBONE_TENSORS, "encoder.layer.2.output.dense.weight": "9" * 64}
    backbone = content()["backbone"]
    prints = fingerprints_of(tensors, tokenizer=backbone.tokenizer)  # type: ignore[attr-defined]
    foreign = other_bundle(
        tmp_path / "foreign",
        backbone_tensors=tensors,
        backbone=backbone.model_copy(update={"body": prints.body}),  # type: ignore[attr-defined]
    )
    with pytest.raises(BundleError, match="the tensor 'encoder.layer.2.output.dense.weight' dif"):
        with_compositions(open_bundle(home), open_bundle(foreign))


def test_data_under_two_licences_is_refused(home: Path, tmp_path: Path):
    licences = {"backbone": "MIT", "data/assistant/intent": "CC-BY-NC-4.0"}
    other = other_bundle(tmp_path / "other", licences=licences)
    with pytest.raises(BundleError, match="'CC-BY-NC-4.0', .* under 'Apache-2.0'; find out"):
        with_compositions(open_bundle(home), open_bundle(other))


def test_a_licence_of_data_comes_along_and_stays(home: Path, tmp_path: Path):
    other = other_bundle(tmp_path / "other", licences={"backbone": "MIT", "data/rain": "CC0-1.0"})
    publish(with_compositions(open_bundle(home), open_bundle(other)), home)
    publish(without_compositions(open_bundle(home), ["weather"]), home)
    assert open_bundle(home).manifest.licences["data/rain"] == "CC0-1.0"


def test_a_file_that_changes_while_a_bundle_is_edited_is_not_published(home: Path, other: Path):
    edit = with_compositions(open_bundle(home), open_bundle(other))
    before = everything(home)
    file = other / "parts" / "weather.safetensors"
    write_bytes(file, file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BundleError, match="weather.safetensors is damaged"):
        publish(edit, home)
    assert everything(home) == before


def test_a_bundle_whose_manifest_lies_is_not_added(home: Path, other: Path):
    change_manifest(
        other, lambda values: values["compositions"]["weather"].update(parts=["weather"])
    )
    with pytest.raises(BundleError, match="'domain' is not among its parts"):
        open_bundle(other)


def test_weights_are_told_in_float32_and_as_stored(tmp_path: Path):
    halved = {
        **PARTS,
        "weather": part(
            "bottleneck",
            {name: array.astype(np.float16) for name, array in adapter(3).items()},
            config=PARTS["weather"].config,
        ),
    }
    opened = open_bundle(other_bundle(tmp_path / "half", parts=halved))
    rows = {row.name: row for row in weight_report(opened)}
    assert list(rows) == ["backbone", "token embeddings", "domain", "weather", "weather.head"]
    assert (rows["backbone"].float32, rows["backbone"].stored) == (4000, 0)
    assert (rows["token embeddings"].parameters, rows["token embeddings"].float32) == (100, 400)
    weather = rows["weather"]
    assert weather.float32 == 4 * sum(array.size for array in adapter(3).values())
    file = tmp_path / "half" / "parts" / "weather.safetensors"
    assert weather.stored == file.stat().st_size
    tensors = sum(one.nbytes for one in opened.read_part("weather").values())
    assert tensors == weather.float32 / 2
    assert weather.used_by == ("weather",)
