from pathlib import Path

import pytest

from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.stages import Evaluate, Export
from tests.recipe.recipes import faults_with, recipe_of

BLOCK = "members: [en, de, ru], data: text"
FAR = "far: {compositions: [mad-x, few-shot, domain], languages: [en, ru]}"
BOX = "box: {compositions: [mad-x, domain], languages: [de, ru]}"


def with_proxies(said: str) -> str:
    return f"{BLOCK}, proxies: {{{said}}}"


def test_a_composition_bound_to_a_proxy_is_an_average_of_its_members(tmp_path: Path):
    changes = {
        BLOCK: with_proxies("uk: {ru: 0.75, de: 0.25}, be: {ru: 1}, nl: related"),
        FAR: "far: {compositions: [mad-x], languages: [uk, be, nl]}",
        BOX: "box: {compositions: [mad-x, few-shot], languages: [uk]}",
    }
    found = {stage.name: stage for stage in expand(recipe_of(tmp_path, changes))}
    scored = {one.name: one for one in found.values() if isinstance(one, Evaluate)}
    assert [str(one.composition) for one in scored.values()] == [
        "average(0.75 * ru, 0.25 * de) > intent",
        "ru > intent",
        "de > intent",
    ]
    assert scored["evaluation/far/mad-x/uk"].parts == {
        "ru": "language/ru",
        "de": "language/de",
        "intent": "task/intent",
    }
    box = found["bundle/box"]
    assert isinstance(box, Export)
    assert [(one.name, str(one.composition)) for one in box.compositions] == [
        ("mad-x:uk", "average(0.75 * ru, 0.25 * de) > intent"),
        ("few-shot:uk", "average(0.75 * ru, 0.25 * de) > fuse(intent, domain)"),
    ]
    assert set(box.parts) == {"ru", "de", "intent", "domain"}


def test_related_members_weigh_the_same(tmp_path: Path):
    changes = {
        BLOCK: with_proxies("da: related"),
        FAR: "far: {compositions: [mad-x], languages: [da]}",
    }
    (stage,) = (one for one in expand(recipe_of(tmp_path, changes)) if isinstance(one, Evaluate))
    assert str(stage.composition) == "average(en, de) > intent"


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("uk: {ru: 0.7, de: 0.2}", "13:{ru: languages.proxies.uk: the weights add to 0.9, and must "
         "add to 1"),
        ("uk: {ru: 0.7, dee: 0.3}", "13:dee: languages.proxies.uk.dee: 'dee' has no adapter to "
         "average; did you mean 'de'?"),
        ("ru: {de: 1}", "13:ru: languages.proxies.ru: 'ru' has an adapter of its own among the "
         "members; leave one out"),
        ("tr: related", "13:related: languages.proxies.tr: none is related to the members (en, de, "
         "ru), by composer's table of genealogical relations; say the weights, as in `{en: 1}`"),
        ("eu: related", "13:related: languages.proxies.eu: no relation of it is known to the "
         "members (en, de, ru), by composer's table of genealogical relations; say the weights, as "
         "in `{en: 1}`"),
    ],
)  # fmt: skip
def test_a_proxy_that_stands_for_nothing_is_refused(tmp_path: Path, said: str, fault: str):
    assert faults_with(tmp_path, BLOCK, with_proxies(said)) == [fault]


def test_an_average_of_invertible_adapters_is_refused(tmp_path: Path):
    old = BLOCK
    new = with_proxies("uk: {ru: 0.5, de: 0.5}")
    text_old, text_new = "adapter: thin}\ntasks", "adapter: turned}\ntasks"
    changes = {
        old: new,
        text_old: text_new,
        "adapters:\n": "adapters:\n  turned: {kind: bottleneck, invertible: true}\n",
    }
    with pytest.raises(Exception, match=r"proxies\.uk: ru is invertible and does not stand alone"):
        recipe_of(tmp_path, changes)


def test_one_invertible_adapter_may_stand_for_another_language(tmp_path: Path):
    changes = {
        BLOCK: with_proxies("uk: {ru: 1}"),
        "adapter: thin}\ntasks": "adapter: turned}\ntasks",
        "adapters:\n": "adapters:\n  turned: {kind: bottleneck, invertible: true}\n",
        FAR: "far: {compositions: [mad-x], languages: [uk]}",
    }
    assert recipe_of(tmp_path, changes)


def test_adapters_of_two_placements_are_no_proxy(tmp_path: Path):
    changes = {
        "members: [en, de, ru], data: text": "members: {en: {}, de: {adapter: low}, ru: {}}, "
        "proxies: {uk: {ru: 0.5, de: 0.5}}, data: text",
    }
    with pytest.raises(Exception, match=r"average\(ru, de\) mixes placements, ru \(houlsby\) and"):
        recipe_of(tmp_path, changes)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("data: intent, languages: [en, de]", "data: intent, languages: [en, uk]",
         "16:uk: tasks.intent.languages[1]: this task needs a language adapter of 'uk', and "
         "`languages` has none; its proxy is for evaluations and bundles"),
        ("mad-x: $language > intent", "mad-x: uk > intent",
         "19:uk: compositions.mad-x: 'uk' has a proxy and no adapter of its own; write out what "
         "stands for it"),
        ("  domain: {type", "  uk: {type",
         "17:uk: tasks.uk: 'uk' is a language too; give one of them another name"),
    ],
)  # fmt: skip
def test_nothing_is_trained_on_a_proxy(tmp_path: Path, old: str, new: str, fault: str):
    text = with_proxies("uk: {ru: 1}")
    from tests.recipe.recipes import SOUND, faults_of, pointed

    changed = SOUND.replace(BLOCK, text).replace(old, new)
    assert fault in [pointed(changed, one) for one in faults_of(tmp_path, changed)]
