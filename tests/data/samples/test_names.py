import json
from importlib.resources import files

import pytest

from composer.data.samples.assistant import LANGUAGES, OWN_NAMES, names_from
from composer.data.samples.grammar import read_grammar
from composer.data.samples.names import Form, Names, Rule, _rule, last_word, read_names
from composer.data.samples.templates import read_package

each_language = pytest.mark.parametrize("language", OWN_NAMES)


def written(language: str) -> dict:
    text = files("composer.data.samples").joinpath(f"assistant.{language}.json").read_text("utf-8")
    return json.loads(text)


@each_language
def test_a_name_is_in_one_split_whatever_list_it_is_in(language: str):
    splits: dict[str, set[str]] = {}
    for of_list in read_names(language).lists.values():
        for split, forms in of_list.items():
            for form in forms:
                splits.setdefault(form.text.casefold(), set()).add(split)
    assert not {name: found for name, found in splits.items() if len(found) > 1}


@each_language
def test_every_split_has_names_of_every_kind(language: str):
    for kind, of_list in read_names(language).lists.items():
        assert all(of_list.values()), kind


@each_language
def test_every_class_is_known_and_used(language: str):
    value = written(language)
    entries = [entry for entries in value["names"].values() for entry in entries]
    used = {form.partition("@")[2] for entry in entries for form in entry.split(" | ")}
    used |= value.get("words", {}).keys()
    classes = value.get("classes", {}).keys()
    assert used - {""} <= classes
    assert classes <= used


@each_language
def test_the_lists_fill_every_wildcard_and_every_domain_of_the_templates(language: str):
    package = read_package(language)
    templates = json.dumps(package["intents"], ensure_ascii=False)
    wildcards = {
        name
        for name, body in package["lists"].items()
        if body.get("wildcard") and f"{{{name}" in templates
    }
    assert wildcards | {"area", "floor"} <= read_names(language).lists.keys()


def test_borrowed_names_come_without_rules():
    names = read_names("de", for_another=True)
    assert not names.words
    assert names.refused is None
    assert {form.rule.limited for form in names.lists["area"]["train"]} == {False}
    assert all(" | " not in form.text for form in names.lists["floor"]["test"])


@pytest.mark.parametrize(
    ("after", "left", "fits"),
    [
        (["die"], "mach die ", True),
        (["die"], "mach der ", False),
        (["die"], "mach ", False),
        (["", "die"], "mach ", True),
        (["", "die"], "mach der ", False),
        (["in der"], "licht in der ", True),
        (["in der"], "licht der ", False),
        (["l'"], "allume l'", True),
        (["la"], "allume l'", False),
        (["#one"], "noch 1 ", True),
        (["#one"], "noch 21 ", True),
        (["#one"], "noch 5 ", False),
        (["#other"], "noch 5 ", True),
        (["", "#one"], "noch ", True),
        ([""], "noch 5 ", True),
    ],
)
def test_a_word_follows_only_what_it_agrees_with(after: list[str], left: str, fits: bool):
    numbers = {"#one": __import__("re").compile(".*1")}
    names = Names(lists={}, governed=frozenset(["der", "die", "la", "l'"]), numbers=numbers)
    assert names.may_follow(_rule({"after": after}), left) is fits


def test_a_word_does_not_follow_what_it_may_not():
    names, rule = Names(lists={}), _rule({"not_after": ["1", "an"]})
    assert names.may_follow(rule, "in 2 ")
    assert not names.may_follow(rule, "in 1 ")
    assert names.may_follow(rule, "in 21 ")


def test_names_that_do_not_fit_are_not_offered():
    feminine, masculine = Form("Lampe", _rule({"after": ["die"]})), Form("Strahler", Rule())
    names = Names(lists={"light": {"train": (feminine, masculine), "validation": (), "test": ()}})
    assert names.fitting("light", "train", "mach die ") == [feminine, masculine]
    assert names.fitting("light", "train", "mach der ") == [masculine]


def test_the_last_word_of_nothing_is_nothing():
    assert last_word("  ") == ""
    assert last_word("jusqu’à l’") == "l’"


@pytest.mark.parametrize("language", [tag for tag in LANGUAGES if names_from(tag) != tag][:6])
def test_borrowed_names_fill_the_templates_of_another_language(language: str):
    lists = read_names(names_from(language), for_another=True).lists
    assert {"area", "light", "message"} <= lists.keys()
    assert read_grammar(language).slots


@each_language
def test_a_kind_of_number_that_a_class_asks_for_is_defined(language: str):
    value = written(language)
    kinds = {
        word
        for rule in value.get("classes", {}).values()
        for word in rule.get("after", ())
        if word.startswith("#")
    }
    assert kinds <= {*value.get("numbers", {}), "#other"}
