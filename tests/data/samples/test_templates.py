from collections import Counter

import pytest

from composer.data.samples.assistant import LANGUAGES, OWN_NAMES
from composer.data.samples.templates import (
    ANY,
    SMALLEST_GROUP,
    _divide,
    read_templates,
    slot_names,
    splits,
    template_key,
)
from composer.recipe.grammar.data import Split


def test_a_template_text_has_one_split_in_all_languages_and_intents():
    found: dict[str, set[str]] = {}
    for language in LANGUAGES:
        for template in read_templates(language):
            found.setdefault(template_key(template.text), set()).add(template.split)
    assert len(found) > 15_000
    assert all(len(of_text) == 1 for of_text in found.values())


@pytest.mark.parametrize("language", OWN_NAMES)
def test_large_groups_are_in_all_splits_and_small_ones_in_training_alone(language: str):
    templates = read_templates(language)
    keys: dict[tuple[str, str], dict[str, str]] = {}
    for one in templates:
        keys.setdefault(one.group, {})[template_key(one.text)] = one.split
    for group in keys.values():
        shares = Counter(group.values())
        assert shares["train"]
        if len(group) > 4 * SMALLEST_GROUP:
            assert shares["test"]
            assert shares["validation"]
            assert shares["train"] > len(group) / 2


@pytest.mark.parametrize(
    ("count", "test", "validation"), [(1, 0, 0), (2, 0, 0), (3, 1, 0), (4, 1, 1), (40, 8, 5)]
)
def test_a_fifth_is_for_test_and_an_eighth_for_validation(count: int, test: int, validation: int):
    chosen: dict[str, Split] = {}
    _divide(("HassTurnOn", "default"), {f"turn on {n}" for n in range(count)}, chosen)
    shares = Counter(chosen.values())
    assert (shares["test"], shares["validation"]) == (test, validation)
    assert shares.total() == count


def test_an_intent_of_small_groups_has_one_template_in_test():
    shares = Counter(
        one.split for one in read_templates("en") if one.intent == "HassCancelAllTimers"
    )
    assert shares == {"train": 2, "test": 1}
    chosen: dict[str, Split] = {}
    _divide(("HassTurnOn", "area"), {"a", "b"}, chosen, test_at_least=True)
    assert Counter(chosen.values()) == {"train": 1, "test": 1}


def test_what_another_group_chose_stays():
    chosen: dict[str, Split] = {"a": "test", "b": "test"}
    _divide(("HassTurnOn", "default"), {"a", "b", "c", "d"}, chosen)
    assert (chosen["a"], chosen["b"]) == ("test", "test")
    assert Counter(chosen.values()) == {"test": 2, "validation": 1, "train": 1}


def test_the_split_does_not_depend_on_the_order_of_templates():
    one: dict[str, Split] = {}
    other: dict[str, Split] = {}
    keys = [f"turn on {n}" for n in range(30)]
    _divide(("HassTurnOn", "default"), set(keys), one)
    _divide(("HassTurnOn", "default"), set(reversed(keys)), other)
    assert one == other


def test_spelling_that_is_not_said_does_not_part_templates():
    assert template_key("Turn  on {name}") == template_key("turn on {name} ")
    assert splits()[template_key("<turn> on [<the>] {name}")]


def test_responses_are_those_of_english():
    english = {one.response for one in read_templates("en")}
    for language in LANGUAGES:
        assert {one.response for one in read_templates(language)} <= english


@pytest.mark.parametrize(
    ("language", "intent", "text", "response", "domain"),
    [
        (
            "en",
            "HassCancelAllTimers",
            "<timer_cancel> all [[of ](the|my)] timers",
            "default",
            "timer",
        ),
        ("en", "HassNevermind", "nevermind", "default", "conversation"),
        ("zh-CN", "HassTurnOn", "", "light_all", "light"),
        ("pl", "HassSetVolumeRelative", "", "default", "media_player"),
        ("pl", "HassShoppingListCompleteItem", "", "item_completed", "shopping_list"),
    ],
)
def test_templates_say_what_is_answered_and_by_which_domain(
    language: str, intent: str, text: str, response: str, domain: str
):
    found = [one for one in read_templates(language) if one.intent == intent and text in one.text]
    assert (response, domain) in {(one.response, one.domain) for one in found}


def test_every_template_with_a_name_says_what_it_may_be_of():
    for language in OWN_NAMES:
        for one in read_templates(language):
            assert one.domain != ANY or one.name_domains


def test_slots_are_home_assistants_own():
    assert {"area", "name", "minutes", "item", "brightness"} <= slot_names()
    assert "timer_minutes" not in slot_names()
