from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from composer.bundle.records import SelfTest
from composer.bundle.sizes import SizeRow, size_report
from composer.bundle.writer import pack_bundle
from composer.errors import AdapterError, BundleError, StoreError
from tests.bundle.content import adapter, content, fusion, head, make_bundle, part


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_content_gives_the_same_bytes(tmp_path: Path):
    make_bundle(tmp_path / "one")
    given = content()
    shuffled = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in given.items()
    }
    shuffled["scores"] = list(reversed(given["scores"]))
    make_bundle(tmp_path / "two", **shuffled)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")
    pack_bundle(tmp_path / "one", tmp_path / "one.zip")
    pack_bundle(tmp_path / "two", tmp_path / "two.zip")
    pack_bundle(tmp_path / "one.zip", tmp_path / "three.zip")
    zips = {(tmp_path / f"{name}.zip").read_bytes() for name in ("one", "two", "three")}
    assert len(zips) == 1


def test_nothing_but_the_bundle_is_left_behind(tmp_path: Path):
    make_bundle(tmp_path / "deep" / "home")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["home"]
    assert sorted(everything(tmp_path / "deep" / "home")) == [
        "backbone.json",
        "manifest.json",
        "parts/domain.safetensors",
        "parts/few-shot.fusion.safetensors",
        "parts/few-shot.head.safetensors",
        "parts/intent.head.safetensors",
        "parts/intent.safetensors",
        "tokenizer.json",
    ]


def test_a_bundle_is_replaced_even_if_it_is_damaged(tmp_path: Path):
    make_bundle(tmp_path / "home")
    whole = everything(tmp_path / "home")
    (tmp_path / "home" / "tokenizer.json").write_text("damaged")
    make_bundle(tmp_path / "home")
    assert everything(tmp_path / "home") == whole


def test_an_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "home").mkdir()
    make_bundle(tmp_path / "home")
    assert (tmp_path / "home" / "manifest.json").exists()


def put_notes(target: Path) -> None:
    target.mkdir()
    (target / "notes.txt").write_text("mine")


def put_manifest_of_another_kind(target: Path) -> None:
    target.mkdir()
    (target / "manifest.json").write_text('{"name": "a web page"}')


def put_notes_into_a_bundle(target: Path) -> None:
    make_bundle(target)
    (target / "notes.txt").write_text("mine")


def put_link(target: Path) -> None:
    target.with_name("real").mkdir()
    target.symlink_to(target.with_name("real"))


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (put_notes, "is there, and is no bundle: .* has no manifest.json"),
        (put_manifest_of_another_kind, "is there, and is no bundle: .* format None is unknown"),
        (put_notes_into_a_bundle, "holds 'notes.txt', which is not of the bundle"),
        (put_link, "is there, and is no folder"),
        (Path.touch, "is there, and is no folder"),
    ],
)
def test_what_is_not_a_bundle_is_never_replaced(
    put: Callable[[Path], None], message: str, tmp_path: Path
):
    put(tmp_path / "home")
    before = everything(tmp_path)
    with pytest.raises(BundleError, match=message):
        make_bundle(tmp_path / "home")
    assert everything(tmp_path) == before


def test_a_zip_replaces_a_zipped_bundle_and_nothing_else(tmp_path: Path):
    make_bundle(tmp_path / "home")
    pack_bundle(tmp_path / "home", tmp_path / "home.zip")
    pack_bundle(tmp_path / "home", tmp_path / "home.zip")
    (tmp_path / "photos.zip").write_bytes(b"photos" * 10)
    with pytest.raises(BundleError, match="is there, and is no zipped bundle"):
        pack_bundle(tmp_path / "home", tmp_path / "photos.zip")
    assert (tmp_path / "photos.zip").read_bytes() == b"photos" * 10


def test_a_damaged_bundle_is_not_packed(tmp_path: Path):
    make_bundle(tmp_path / "home")
    (tmp_path / "home" / "tokenizer.json").write_bytes(b'{"model": []}')
    with pytest.raises(BundleError, match="tokenizer.json is damaged"):
        pack_bundle(tmp_path / "home", tmp_path / "home.zip")
    assert not (tmp_path / "home.zip").exists()


def with_part(name: str, new: object) -> dict[str, object]:
    return {"parts": {**content()["parts"], name: new}}


def with_composition(name: str, **changes: object) -> dict[str, object]:
    known = content()["compositions"]
    return {"compositions": {**known, name: known[name].model_copy(update=changes)}}


WRONG_MIDDLE = {name: array for name, array in adapter(3, middle=2).items() if ".0" not in name}
NORMS = {"1.output.norm_weight": np.ones(4, np.float32), "1.output.norm_bias": np.zeros(4, "f4")}
BAD_BACKBONE = content()["backbone"].model_copy(update={"body": "0" * 64})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (with_part("intent", part("madapter", adapter(3))), "'middle.0' is missing"),
        (with_part("intent", part("bottleneck", adapter(3, middle=1))), "has no tensor '0.att"),
        (with_part("few-shot.fusion", part("fusion", fusion(units=5, members=3))), "fuse of 3"),
        (
            with_part("few-shot.fusion", part("norms", NORMS, role="composition")),
            "its parts of the kind fusion have none",
        ),
        (with_part("intent.head", part("head", head(2))), "need a head of 3 rows, not 2"),
        (with_part("intent.head", part("head", {})), "intent.head.parameters: Input should be"),
        (with_part("domain", part("bottleneck", adapter(2), role="head")), "cannot have the role"),
        (with_part("../x", part("bottleneck", adapter(2))), "has a part '..'"),
        (with_part("a:b", part("bottleneck", adapter(2))), "has a colon"),
        (with_part("Intent", part("bottleneck", adapter(2))), "differ in case only"),
        (with_part("x", part("bottleneck", adapter(2), parents=("intent",))), "parents.0: String"),
        (with_part("x", part("bottleneck", adapter(2), licence="\n")), "licences.part/x: String"),
        (with_composition("intent", parts=("intend",)), "no part 'intend'; did you mean 'intent'"),
        (with_composition("intent", parts=()), "'intent' is not among its parts"),
        (with_composition("intent", parts=("intent", "domain")), "'domain' .task. does not belong"),
        (with_composition("intent", parts=("intent", "intent")), "a part is listed twice"),
        (with_composition("intent", head="intent"), "the part 'intent' is no head"),
        (with_composition("intent", head="intent.heed"), "no part 'intent.heed'; did you mean"),
        (with_composition("intent", expression="intent >"), "expression: .*must stand here"),
        (with_composition("intent", expression="(intent)"), "must be written 'intent'"),
        (with_composition("intent", expression="$language > intent"), "is not bound to a language"),
        (with_composition("intent", labels=("a", "a", "b")), "a label is there twice"),
        (with_composition("intent", labels=()), "0 labels for a text-classification"),
        (with_composition("intent", type="token-classification"), "a head of 7 rows, not 3"),
        (with_composition("few-shot:de", expression="gate(intent, domain)"), "mixers gate of 2, "),
        (with_composition("few-shot:de", parts=("intent", "domain")), "kind fusion have none"),
        ({"compositions": {}}, "compositions: Dictionary should have at least 1"),
        ({"licences": {"everything": "MIT"}}, "'everything' is neither the backbone, a part"),
        ({"backbone": BAD_BACKBONE}, "does not agree with the fingerprints"),
        ({"tokenizer": b"{}"}, "not the backbone's tokenizer"),
        ({"tokenizer": b""}, "should be greater than or equal to 1"),
    ],
    ids=range(31),
)
def test_content_that_does_not_agree_is_not_written(
    changes: dict[str, object], message: str, tmp_path: Path
):
    with pytest.raises(BundleError, match=message):
        make_bundle(tmp_path / "home", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("score", [{"composition": "other"}, {"language": "x"}, {"value": 2}])
def test_scores_of_something_else_are_not_written(score: dict[str, object], tmp_path: Path):
    changed = [one.model_copy(update=score) for one in content()["scores"]]
    with pytest.raises(BundleError, match=f"scores.*({next(iter(score))}|no composition 'other')"):
        make_bundle(tmp_path / "home", scores=changed)


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path):
    tensors = head(3)
    tensors["bias"][1] = np.inf
    with pytest.raises(AdapterError, match="part 'intent.head': tensor 'bias' holds a number"):
        make_bundle(tmp_path / "home", **with_part("intent.head", part("head", tensors)))
    assert list(tmp_path.iterdir()) == []


def test_all_faults_are_told_at_once(tmp_path: Path):
    changes = {
        **with_composition("intent", expression="intend", labels=("a", "b")),
        "licences": {"everything": "MIT"},
        "self_test": SelfTest(),
    }
    with pytest.raises(BundleError) as caught:
        make_bundle(tmp_path / "home", **changes)
    places = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert sorted(set(places)) == ["compositions.intent", "licences"]
    assert len(places) == 4


def test_a_value_that_json_cannot_say_is_a_store_error(tmp_path: Path):
    with pytest.raises(StoreError, match="rate: nan is not a finite number"):
        make_bundle(tmp_path / "home", lock={"rate": float("nan")})


def test_the_size_report_adds_up_to_the_bundle(tmp_path: Path):
    manifest = make_bundle(tmp_path / "home")
    rows = size_report(manifest)
    assert sum(row.bytes for row in rows) == sum(map(len, everything(tmp_path / "home").values()))
    assert rows[0] == SizeRow(
        name="domain",
        kind="bottleneck",
        bytes=(tmp_path / "home" / "parts" / "domain.safetensors").stat().st_size,
        parameters=4 * (2 * 4 + 2 + 4 * 2 + 4),
        used_by=("few-shot:de",),
    )
