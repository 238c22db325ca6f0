"""What changed from one bundle to another is told, all of it and nothing else."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from composer.bundle.difference import Change, differences
from composer.bundle.reader import open_bundle
from composer.bundle.records import SelfTest
from composer.bundle.writer import pack_bundle
from tests.bundle.content import adapter, content, head, make_bundle, part


def changes(tmp_path: Path, **values: object) -> list[Change]:
    """Compare the small bundle with what it is after a change."""
    make_bundle(tmp_path / "old")
    make_bundle(tmp_path / "new", **values)
    return differences(open_bundle(tmp_path / "old"), open_bundle(tmp_path / "new"))


def only(found: list[Change], section: str) -> Change:
    (one,) = [change for change in found if change.section == section]
    return one


def parts(**more: object) -> Mapping[str, object]:
    return {**content()["parts"], **more}  # type: ignore[dict-item]


def records(name: str, **update: object) -> Mapping[str, object]:
    known = content()["compositions"]
    return {**known, name: known[name].model_copy(update=update)}  # type: ignore[dict-item,index]


def test_a_bundle_and_its_zip_are_the_same(tmp_path: Path):
    make_bundle(tmp_path / "home")
    pack_bundle(tmp_path / "home", tmp_path / "home.zip")
    assert differences(open_bundle(tmp_path / "home"), open_bundle(tmp_path / "home.zip")) == []


def test_the_tensors_of_a_part_that_changed_are_named(tmp_path: Path):
    tensors = adapter(2)
    tensors["1.output.up"] = tensors["1.output.up"] + np.float32(0.5)
    found = changes(
        tmp_path, parts=parts(domain=part("bottleneck", tensors, config={"kind": "bottleneck",
                                                                        "width": 2})),
    )  # fmt: skip
    assert len(found) == 1
    assert (found[0].what, found[0].section, found[0].name) == ("changed", "part", "domain")
    assert found[0].how == "1 of 16 tensors: 1.output.up (by up to 0.5)"
    assert found[0].before == found[0].after


def test_a_part_of_another_shape_is_told_with_its_config_and_sizes(tmp_path: Path):
    config = {"kind": "bottleneck", "width": 2, "non_linearity": "gelu"}
    wider = part("bottleneck", adapter(2), config=config, licence="MIT")
    found = changes(tmp_path, parts=parts(domain=wider))
    assert only(found, "part").how == "non_linearity: added"
    assert only(found, "licence").how == "unknown -> MIT"
    five = part("head", head(2))
    found = changes(
        tmp_path,
        parts=parts(**{"intent.head": five}),
        compositions=records("intent", labels=("off", "dim")),
        self_test=SelfTest(),
    )
    change = only(found, "part")
    assert change.how == (
        "2 of 2 tensors: bias (float32[3] -> float32[2]), weight (float32[3, 4] -> float32[2, 4])"
    )
    assert (change.before or 0) > (change.after or 0) > 0
    labels = only(found, "composition")
    assert labels.how == "labels: without 'on', 'licht an'; with 'dim'"
    assert only(found, "self-test").how == "1 cases -> 0"
    sizes = {one.name: (one.before, one.after) for one in found if one.section == "size"}
    assert set(sizes) == {"parts/intent.head.safetensors", "in all"}


def test_labels_in_another_order_are_a_change(tmp_path: Path):
    found = changes(
        tmp_path, compositions=records("intent", labels=("on", "off", "licht an"), pooling="first")
    )
    assert only(found, "composition").how == ("labels: in another order, pooling: mean -> first")


def test_what_came_and_went_is_told(tmp_path: Path):
    new = content()
    del new["compositions"]["few-shot:de"]  # type: ignore[attr-defined]
    new["parts"]["more"] = new["parts"].pop("few-shot.head")  # type: ignore[index]
    found = changes(tmp_path, parts=new["parts"], compositions=new["compositions"])
    told = {(one.section, one.name): one.what for one in found}
    assert told["composition", "few-shot:de"] == "removed"
    assert told["part", "more"] == "added"
    assert told["part", "few-shot.head"] == "removed"
    assert told["licence", "part/more"] == "added"
    assert only(found, "composition").how == "fuse(intent, domain)"


def test_a_score_is_told_in_points(tmp_path: Path):
    scores = list(content()["scores"])  # type: ignore[call-overload]
    scores[0] = scores[0].model_copy(update={"value": 0.8, "seed": 14})
    scores[1] = scores[1].model_copy(update={"precision": "int8"})
    found = changes(tmp_path, scores=scores)
    told = [(one.what, one.name, one.how, one.before, one.after) for one in found]
    assert told == [
        ("removed", "intent de", "accuracy, test, float32: 75.0 -> none", 0.75, None),
        ("added", "intent de", "accuracy, test, int8: none -> 75.0", None, 0.75),
        (
            "changed",
            "intent en",
            "accuracy, test, float32: 75.0 -> 80.0 (+5.0 points), seed: 13 -> 14",
            0.75,
            0.8,
        ),
    ]


def test_the_same_measured_twice_is_told_apart(tmp_path: Path):
    scores = list(content()["scores"])  # type: ignore[call-overload]
    found = changes(tmp_path, scores=[*scores, scores[0].model_copy(update={"seed": 99})])
    assert len(found) == 1
    assert found[0].what == "added"


@pytest.mark.parametrize(
    ("values", "section", "name"),
    [
        ({"lock": {"torch": "2.14.0"}}, "manifest", "lock"),
        ({"recipe": {}}, "manifest", "recipe"),
        ({"composer": "0.2.0"}, "manifest", "composer"),
        ({"self_test": SelfTest(tolerance=0.5)}, "self-test", "cases"),
        ({"licences": {"backbone": "Apache-2.0"}}, "licence", "backbone"),
        (
            {"backbone": content()["backbone"].model_copy(update={"max_tokens": 8})},  # type: ignore[attr-defined]
            "backbone",
            "max_tokens",
        ),
    ],
)
def test_no_field_changes_unnoticed(
    tmp_path: Path, values: dict[str, object], section: str, name: str
):
    found = changes(tmp_path, **values)
    assert (section, name) in {(one.section, one.name) for one in found}
