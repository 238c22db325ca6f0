"""The model card: front matter as the Hub reads it, a body that no text from elsewhere forms."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from composer.bundle.manifest import Manifest
from composer.bundle.records import CompositionRecord, ScoreRecord
from composer.engine.sharing.pushing import sealed_card
from composer.report.card import bundle_card
from tests.bundle.content import KEY, content, make_bundle


def made(folder: Path, **changes: object) -> Manifest:
    return make_bundle(folder / "home", **changes)


def front(card: str) -> Any:
    opening, text, _ = card.split("---\n", 2)
    assert opening == ""
    return YAML(typ="safe").load(text)


def test_the_front_matter_says_what_the_manifest_does(tmp_path: Path):
    found = front(bundle_card(made(tmp_path), name="me/home"))
    assert found["library_name"] == "adapter-composer"
    assert found["language"] == ["de", "en"]
    assert found["pipeline_tag"] == "text-classification"
    assert found["tags"] == ["adapter-composer", "adapter", "bottleneck", "fusion", "madapter"]
    assert "license" not in found  # of some parts it is unknown
    assert "base_model" not in found  # it was in a folder
    (index,) = found["model-index"]
    assert [one["dataset"]["config"] for one in index["results"]] == ["de", "en"]
    assert index["results"][0]["metrics"] == [
        {"type": "accuracy", "value": 0.75, "name": "accuracy (float32)"}
    ]


def test_the_library_of_the_hub_reads_its_results(tmp_path: Path):
    from huggingface_hub import ModelCard

    card = sealed_card(bundle_card(made(tmp_path), name="me/home")).decode()
    results = ModelCard(card).data.eval_results
    assert [(one.dataset_config, one.metric_type, one.metric_value) for one in results] == [
        ("de", "accuracy", 0.75),
        ("en", "accuracy", 0.75),
    ]


def test_a_backbone_of_the_hub_is_the_base_model(tmp_path: Path):
    backbone = content()["backbone"].model_copy(  # type: ignore[attr-defined]
        update={"source": "hub", "name": "intfloat/multilingual-e5-small", "revision": "0" * 40}
    )
    found = front(bundle_card(made(tmp_path, backbone=backbone), name="me/home"))
    assert found["base_model"] == "intfloat/multilingual-e5-small"
    assert found["base_model_relation"] == "adapter"


@pytest.mark.parametrize(
    ("licence", "wanted"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("MIT AND CC0-1.0", {"license": "other", "license_name": "MIT AND CC0-1.0"}),
        (None, {}),
    ],
)
def test_a_licence_is_told_as_the_hub_knows_it(
    tmp_path: Path, licence: str | None, wanted: dict[str, str]
):
    found = front(bundle_card(made(tmp_path), name="me/home", licence=licence))
    assert {key: found[key] for key in found if key.startswith("license")} == wanted


def test_licences_of_all_parts_make_one(tmp_path: Path):
    from dataclasses import replace

    parts = content()["parts"]
    licences = dict.fromkeys(parts, "MIT") | {"intent": "Apache-2.0"}  # type: ignore[call-overload]
    known = {name: replace(one, licence=licences[name]) for name, one in parts.items()}  # type: ignore[attr-defined]
    card = bundle_card(made(tmp_path, parts=known), name="me/home")
    assert front(card)["license_name"] == "Apache-2.0 AND MIT"
    assert "| part/intent | Apache-2.0 |" in card


def test_scores_of_a_graph_stand_beside_those_of_float32(tmp_path: Path):
    scores = [
        ScoreRecord(
            composition="intent", language="de", split="test", score="macro-f1", value=value,
            n=400, seed=13, data_digest=KEY, precision=precision,
        )
        for value, precision in ((0.75, "float32"), (0.74, "int8"))
    ]  # fmt: skip
    card = bundle_card(made(tmp_path, scores=scores), name="me/home")
    (result,) = front(card)["model-index"][0]["results"]
    assert [(one["type"], one["value"], one["name"]) for one in result["metrics"]] == [
        ("f1", 0.75, "macro-f1 (float32)"),
        ("f1", 0.74, "macro-f1 (int8)"),
    ]
    assert "| intent | de | test | macro-f1 | 400 | 0.740 | int8 |" in card


def test_a_text_from_elsewhere_formats_nothing(tmp_path: Path):
    labels = ("a|b", "<script>alert(1)</script>", "x\n---\nlicense: mit\n# y", "`id`")
    compositions = content()["compositions"]
    one: CompositionRecord = compositions["intent"]  # type: ignore[index]
    changed = one.model_copy(update={"labels": labels[:3]})
    card = bundle_card(
        made(tmp_path, compositions={**compositions, "intent": changed}),  # type: ignore[dict-item]
        name="me/home",
    )
    assert front(card).get("license") is None
    assert "<script" not in card.replace("\\<script", "")
    assert "\n# y" not in card
    assert "a\\|b" in card


def test_the_same_manifest_gives_the_same_card_to_the_byte(tmp_path: Path):
    manifest = made(tmp_path)
    assert bundle_card(manifest, name="me/home") == bundle_card(manifest, name="me/home")
