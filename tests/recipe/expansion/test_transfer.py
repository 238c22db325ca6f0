"""What a recipe says of transfer: languages in turn under a task, and how even its sources are."""

from pathlib import Path

import pytest

from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.keys import stage_settings
from composer.recipe.expansion.stages import Evaluate, TrainComposition, TrainTask
from tests.recipe.recipes import faults_with, recipe_of

OVER = "languages: [en, de], adapter: task, over: $language"
CYCLE = "languages: [en, fi], adapter: task, cycle: [ru, de]"


def task(folder: Path, **changes: str) -> TrainTask:
    (stage,) = (
        one for one in expand(recipe_of(folder, changes))
        if isinstance(one, TrainTask) and one.name == "task/intent"
    )  # fmt: skip
    return stage


def settings(stage: TrainTask | TrainComposition) -> dict[str, object]:
    needs = {name: f"key of {name}" for name in stage.needs}
    return stage_settings(stage, needs=needs, backbone={}, precision="float32", versions={})


def test_a_cycling_task_rests_on_the_adapters_of_its_cycle_and_not_of_its_sources(tmp_path: Path):
    stage = task(tmp_path, **{OVER: CYCLE})
    assert stage.over == {"ru": "language/ru", "de": "language/de"}
    assert stage.cycle == ("ru", "de")
    assert stage.needs == ("language/ru", "language/de")


def test_a_cycling_task_is_evaluated_on_the_targets_own_adapter(tmp_path: Path):
    changes = {
        OVER: CYCLE,
        "far: {compositions: [mad-x, few-shot, domain], languages: [en, ru]}":
        "far: {compositions: [intent], languages: [en]}",
    }  # fmt: skip
    (stage,) = (one for one in expand(recipe_of(tmp_path, changes)) if isinstance(one, Evaluate))
    assert str(stage.composition) == "en > intent"


def test_the_order_of_a_cycle_decides_the_result(tmp_path: Path):
    one, other = (
        settings(task(tmp_path, **{OVER: CYCLE.replace("[ru, de]", cycle)}))
        for cycle in ("[ru, de]", "[de, ru]")
    )
    assert one["cycle"] == ["ru", "de"]
    assert one != other


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("over: $language, cycle: [en, de]",
         "16:cycle: tasks.intent.cycle: `over: $language` trains on each batch's own language "
         "adapter, `cycle` on others in turn; leave one of them out"),
        ("cycle: [en, fi]",
         "16:fi: tasks.intent.cycle[1]: this task needs a language adapter of 'fi', and "
         "`languages` has none; known: de, en, ru"),
        ("cycle: [en, en]", "16:en: tasks.intent.cycle[1]: 'en' is given twice"),
    ],
)  # fmt: skip
def test_a_cycle_that_cannot_be_trained_is_refused(tmp_path: Path, new: str, fault: str):
    assert faults_with(tmp_path, "over: $language", new) == [fault]


def test_temperature_is_a_setting_of_several_languages_only(tmp_path: Path):
    hot = OVER + ", temperature: 2.0"
    assert task(tmp_path, **{OVER: hot}).data.temperature == 2.0
    alone = hot.replace("[en, de]", "[en]")
    assert task(tmp_path, **{OVER: alone}).data.temperature == 1.0


def test_what_is_left_out_changes_no_key(tmp_path: Path):
    plain = settings(task(tmp_path))
    assert "cycle" not in plain
    data = plain["data"]
    assert isinstance(data, dict)
    assert "temperature" not in data
    hot = settings(task(tmp_path, **{OVER: OVER + ", temperature: 2.0"}))
    assert hot == {**plain, "data": {**data, "temperature": 2.0}}


def test_a_composition_may_mix_its_languages_evenly(tmp_path: Path):
    changes = {"languages: [en], examples: 200": "languages: [en, de], temperature: 5.0"}
    (stage,) = (
        one for one in expand(recipe_of(tmp_path, changes)) if isinstance(one, TrainComposition)
    )
    assert stage.data.temperature == 5.0


def test_a_temperature_below_one_is_refused(tmp_path: Path):
    (fault,) = faults_with(tmp_path, "over: $language", "over: $language, temperature: 0.5")
    assert fault.startswith("16:0.5: tasks.intent.temperature: must be at least 1")


FAR = "far: {compositions: [mad-x, few-shot, domain], languages: [en, ru]}"


def test_a_baseline_without_the_languages_adapter_is_scored_beside_each_composition(tmp_path: Path):
    changes = {FAR: FAR.replace("[en, ru]", "[ru], without_language: true")}
    found = {one.name: one for one in expand(recipe_of(tmp_path, changes))}
    scored = {name: one for name, one in found.items() if isinstance(one, Evaluate)}
    assert {name: str(one.composition) for name, one in scored.items()} == {
        "evaluation/far/mad-x/ru": "ru > intent",
        "evaluation/far/mad-x.without-language/ru": "intent",
        "evaluation/far/few-shot/ru": "ru > fuse(intent, domain)",
        "evaluation/far/few-shot.without-language/ru": "fuse(intent, domain)",
        "evaluation/far/domain/ru": "domain",
    }
    assert scored["evaluation/far/few-shot.without-language/ru"].owner == "composition/few-shot"
    box = found["bundle/box"]
    assert not [need for need in box.needs if "without" in need]


def test_a_baseline_that_nothing_has_is_refused(tmp_path: Path):
    new = "far: {compositions: [domain], languages: [en], without_language: true}"
    assert faults_with(tmp_path, FAR, new) == [
        "25:without_language: evaluations.far.without_language: none of these compositions stands "
        "on $language; leave this key out"
    ]
