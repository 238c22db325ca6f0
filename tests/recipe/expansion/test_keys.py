import json
from pathlib import Path
from typing import Literal

import pytest

from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.keys import (
    Change,
    changed_settings,
    key_of,
    stage_key,
    stage_settings,
)
from composer.recipe.grammar.schema import Recipe
from composer.recipe.reading.reader import recipe_from
from tests.recipe.recipes import SOUND, load, recipe_of

BACKBONE = {"body": "b" * 64, "vocabulary": "c" * 64}
FEW_SHOT = "composition/few-shot"


def keys(
    recipe: Recipe,
    *,
    digest: str = "d" * 64,
    backbone: dict[str, str] = BACKBONE,
    precision: Literal["float32", "bfloat16"] = "float32",
    torch: str = "2.13.0",
) -> dict[str, str]:
    """Give the key of every stage."""
    known: dict[str, str] = {}
    for stage in expand(recipe):
        known[stage.name] = stage_key(
            stage,
            needs=known,
            data_digest=digest,
            backbone=backbone,
            precision=precision,
            versions={"torch": torch},
        )
    return known


def settings_of(recipe: Recipe, name: str) -> dict[str, object]:
    stages = {stage.name: stage for stage in expand(recipe)}
    return stage_settings(
        stages[name],
        needs=keys(recipe),
        data_digest="d" * 64,
        backbone=BACKBONE,
        precision="float32",
        versions={"torch": "2.13.0"},
    )


def test_a_key_is_64_hexadecimal_digits_and_different_for_every_stage(tmp_path: Path):
    found = keys(recipe_of(tmp_path))
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in found.values())
    assert len(set(found.values())) == len(found)


def test_keys_are_the_same_each_time(tmp_path: Path):
    assert keys(recipe_of(tmp_path)) == keys(recipe_of(tmp_path))


def test_settings_are_plain_json(tmp_path: Path):
    recipe = recipe_of(tmp_path)
    for name in keys(recipe):
        settings = settings_of(recipe, name)
        assert json.loads(json.dumps(settings)) == settings
        assert key_of(settings) == keys(recipe)[name]


def test_keys_that_came_later_are_in_no_key_where_they_are_not_used(tmp_path: Path):
    source = settings_of(recipe_of(tmp_path), "task/intent")["data"]["source"]  # type: ignore[index]
    assert "label" not in source
    changed = load(tmp_path, SOUND, changes=("data.intent.label=on",)).recipe
    data = settings_of(changed, "task/intent")["data"]
    assert data["source"]["label"] == "on"  # type: ignore[index]


RENAMED = (
    ("name: home", "name: flat"),
    ("  task: {kind", "  shape: {kind"),
    ("adapter: task", "adapter: shape"),
    ("  text: {source", "  prose: {source"),
    ("data: text", "data: prose"),
    ("  domain: {type", "  place: {type"),
    ("intent, domain)", "intent, place)"),
    ("task: domain}", "task: place}"),
    ("few-shot, domain]", "few-shot, place]"),
    ("[mad-x, domain]", "[mad-x, place]"),
    ("  few-shot:\n", "  short:\n"),
    ("[mad-x, few-shot", "[mad-x, short"),
    ("  far: {comp", "  away: {comp"),
)


def test_names_are_no_part_of_a_key(tmp_path: Path):
    text = SOUND
    for old, new in RENAMED:
        assert old in text
        text = text.replace(old, new)
    before, after = keys(recipe_of(tmp_path)), keys(load(tmp_path, text).recipe)
    assert list(before) != list(after)
    del before["bundle/box"], after["bundle/box"]
    assert list(before.values()) == list(after.values())


def test_the_names_that_a_device_asks_for_are_part_of_a_bundles_key(tmp_path: Path):
    changes = {"  mad-x: $lang": "  madx: $lang", "[mad-x, ": "[madx, "}
    before, after = keys(recipe_of(tmp_path)), keys(recipe_of(tmp_path, changes))
    assert before["evaluation/far/mad-x/ru"] == after["evaluation/far/madx/ru"]
    assert before["bundle/box"] != after["bundle/box"]


def test_the_order_of_keys_does_not_matter(tmp_path: Path):
    recipe = recipe_of(tmp_path)

    def reversed_keys(value: object) -> object:
        if isinstance(value, dict):
            return {key: reversed_keys(one) for key, one in reversed(value.items())}
        return list(map(reversed_keys, value)) if isinstance(value, list) else value

    values = reversed_keys(recipe.model_dump(mode="json", exclude_defaults=True))
    assert isinstance(values, dict)
    turned = recipe_from(values)
    assert list(turned.tasks) == ["domain", "intent"]
    assert keys(turned) == keys(recipe)


ALL = {"language/en", "task/intent", "task/domain", FEW_SHOT, "evaluation/far/mad-x/en"}
OVER_EN = {"language/en", "task/intent", FEW_SHOT, "evaluation/far/mad-x/en"}
OF_INTENT = {"task/intent", FEW_SHOT, "evaluation/far/mad-x/en"}
THIN = "thin: {kind: bottleneck, reduction_factor: 16"
TASK = "task: {kind: madapter, width: 32, train_norm: true"
OVER = "adapter: task, over: $language"


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("epochs: 8", "epochs: 7", ALL),
        ("learning_rate: 1e-3", "learning_rate: 1e-4", ALL),
        ("epochs: 8", "epochs: 8, batch_tokens: 512", ALL),
        ("epochs: 8", "epochs: 8, threads: 1", ALL),
        ("seed: 13", "seed: 14", ALL),
        ("epochs: 8", "epochs: 8, warmup: 0.2", ALL),
        ("epochs: 8", "epochs: 8, decay: cosine", ALL),
        ("epochs: 8", "epochs: 8, weight_decay: 0.1", ALL),
        ("epochs: 8", "epochs: 8, clip: 0.5", ALL),
        ("epochs: 8", "epochs: 8, patience: 2", ALL),
        ("epochs: 8", "epochs: 8, dropout: false", ALL),
        ("epochs: 8", "epochs: 8, fusion_regularizer: 0.1", {FEW_SHOT}),
        ("epochs: 8", "epochs: 8, checkpoint_steps: 7", set()),
        ("epochs: 8", "epochs: 8, prepack: true", set()),
        ("small}", "small, max_tokens: 64}", ALL),
        ("small}", "small, precision: float32}", set()),
        (THIN, THIN.replace("16", "8"), ALL),
        (THIN, THIN + ", bias: false", ALL),
        (TASK, TASK.replace("32", "31"), OF_INTENT),
        (TASK, TASK.replace("true", "false"), OF_INTENT),
        (TASK, TASK + ", middle_layers: 2", OF_INTENT),
        (TASK, TASK + ", non_linearity: gelu", OF_INTENT),
        (TASK, TASK + ", dropout: 0.1", OF_INTENT),
        (TASK, TASK + ", scaling: 2.0", OF_INTENT),
        (TASK, TASK + ", leave_out: [1, 0]", OF_INTENT),
        (TASK, TASK.replace("madapter", "bottleneck"), OF_INTENT),
        ("assistant/text", "assistant/other", OVER_EN),
        ("languages: [en, de]", "languages: [de, en]", OF_INTENT),
        (OVER, "adapter: task", OF_INTENT),
        (OVER, f"{OVER}, labels: [a, b]", OF_INTENT),
        (OVER, f"{OVER}, examples: 100", OF_INTENT),
        (OVER, f"{OVER}, pooling: first", OF_INTENT),
        (OVER, f"{OVER}, score: macro-f1", OF_INTENT),
        (OVER, f"{OVER}, score: accuracy", set()),
        (OVER, f"{OVER}, training: {{epochs: 8}}", set()),
        (OVER, f"{OVER}, training: {{epochs: 9}}", OF_INTENT),
        ("fuse(intent, domain)", "gate(intent, domain)", {FEW_SHOT}),
        ("fuse(intent, domain)", "fuse(intent, domain, none)", {FEW_SHOT}),
        ("fuse(intent, domain)", "fuse(domain, intent)", {FEW_SHOT}),
        ("fuse(intent, domain)", "fuse(intent, ru)", {FEW_SHOT}),
        ("fuse(intent, domain)", "( fuse( intent,domain))", set()),
        ("examples: 200", "examples: 201", {FEW_SHOT}),
        ("examples: 200", "examples: 200, train_norm: false", {FEW_SHOT}),
        ("languages: [en], examples", "languages: [ru], examples", {FEW_SHOT}),
        ("[en, ru]}", "[en, ru], split: validation}", {"evaluation/far/mad-x/en"}),
        ("[en, ru]}", "[en, ru], data: domain}", {"evaluation/far/mad-x/en"}),
    ],
)
def test_what_decides_a_result_changes_its_key_and_nothing_else_does(
    tmp_path: Path, old: str, new: str, changed: set[str]
):
    before, after = keys(recipe_of(tmp_path)), keys(recipe_of(tmp_path, {old: new}))
    found = {name for name in ALL if before[name] != after[name]}
    assert found == changed


def test_the_language_of_an_evaluation_changes_its_key(tmp_path: Path):
    found = keys(recipe_of(tmp_path))
    assert found["evaluation/far/domain/en"] != found["evaluation/far/domain/ru"]


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": "e" * 64},
        {"backbone": BACKBONE | {"body": "e" * 64}},
        {"backbone": BACKBONE | {"vocabulary": "e" * 64}},
        {"precision": "bfloat16"},
        {"torch": "2.13.1"},
    ],
    ids=str,
)
def test_bytes_precision_and_versions_change_every_key(tmp_path: Path, changed: dict[str, str]):
    recipe = recipe_of(tmp_path)
    before, after = keys(recipe), keys(recipe, **changed)  # type: ignore[arg-type]
    assert not set(before.values()) & set(after.values())


def test_the_order_of_layers_left_out_does_not_matter(tmp_path: Path):
    one, other = (
        keys(recipe_of(tmp_path, {TASK: f"{TASK}, leave_out: {layers}"}))
        for layers in ("[1, 0]", "[0, 1]")
    )
    assert one == other


def files(folder: Path, path: str) -> dict[str, str]:
    old = "{source: sample, name: assistant/domain}"
    return keys(recipe_of(folder, {old: f"{{source: files, path: {path}}}"}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a.csv", "elsewhere/b.CSV", True),
        ("a.csv", "a.jsonl", False),
        ("{train: a.csv, test: b.csv}", "{train: c.csv, test: d.csv}", True),
        ("{train: a.csv, test: b.csv}", "{train: a.csv, validation: b.csv}", False),
        ("{train: a.csv}", "a.csv", False),
    ],
)
def test_a_path_is_no_part_of_a_key_but_what_is_read_from_it_is(
    tmp_path: Path, one: str, other: str, same: bool
):
    assert (files(tmp_path, one) == files(tmp_path, other)) is same


def test_how_columns_are_named_is_part_of_a_key(tmp_path: Path):
    columns = "a.csv, columns: {text: utterance}"
    assert files(tmp_path, "a.csv")["task/domain"] != files(tmp_path, columns)["task/domain"]


def test_a_need_made_anew_changes_what_uses_it(tmp_path: Path):
    stages = {stage.name: stage for stage in expand(recipe_of(tmp_path))}
    known = keys(recipe_of(tmp_path))

    def key(name: str, needs: dict[str, str]) -> str:
        return stage_key(
            stages[name], needs=needs, backbone=BACKBONE, precision="float32", versions={}
        )

    for name, stage in stages.items():
        for need in stage.needs:
            assert key(name, known) != key(name, known | {need: "0" * 64})
        for other in set(known) - set(stage.needs):
            assert key(name, known) == key(name, known | {other: "0" * 64})


def test_the_reasons_name_the_settings_that_differ(tmp_path: Path):
    old = settings_of(recipe_of(tmp_path), "task/intent")
    changes = {
        "epochs: 8, learning_rate: 1e-3": "epochs: 4, learning_rate: 1e-4",
        "languages: [en, de], adapter: task": "languages: [en], labels: [a, b], adapter: task",
        TASK: "task: {kind: bottleneck, width: 32, train_norm: true",
        "assistant/text": "assistant/other",
    }
    new = settings_of(recipe_of(tmp_path, changes), "task/intent")
    changes_found = changed_settings(old, json.loads(json.dumps(new)))
    over = {one.path for one in changes_found if one.path.startswith("over")}
    assert over == {"over.de", "over.en"}
    assert [one for one in changes_found if not one.path.startswith("over")] == [
        Change("data.languages", '["en", "de"]', '["en"]'),
        Change("shape.kind", '"madapter"', '"bottleneck"'),
        Change("shape.middle_layers", "1", None),
        Change("task.labels", "null", '["a", "b"]'),
        Change("training.epochs", "8", "4"),
        Change("training.learning_rate", "0.001", "0.0001"),
    ]


def test_in_equal_settings_nothing_has_changed(tmp_path: Path):
    settings = settings_of(recipe_of(tmp_path), "bundle/box")
    assert changed_settings(settings, json.loads(json.dumps(settings))) == []


def test_changes_reach_into_the_compositions_of_a_bundle_by_name(tmp_path: Path):
    old = settings_of(recipe_of(tmp_path), "bundle/box")
    new = settings_of(recipe_of(tmp_path, {"[mad-x, domain]": "[domain, mad-x]"}), "bundle/box")
    names = ('["mad-x:de", "mad-x:ru", "domain"]', '["domain", "mad-x:de", "mad-x:ru"]')
    assert changed_settings(old, new) == [Change("compositions", *names)]


def test_what_a_bundle_holds_no_more_is_said_once(tmp_path: Path):
    old = settings_of(recipe_of(tmp_path), "bundle/box")
    new = settings_of(recipe_of(tmp_path, {"[mad-x, domain]": "[mad-x]"}), "bundle/box")
    found = changed_settings(old, new)
    assert (
        Change("compositions", '["mad-x:de", "mad-x:ru", "domain"]', '["mad-x:de", "mad-x:ru"]')
        in found
    )
    assert not [one for one in found if one.path.startswith("compositions.domain")]
