import re

import pytest

from composer.data.examples import Span
from composer.data.samples import grammar as grammars
from composer.data.samples.draw import Draw
from composer.data.samples.grammar import Grammar
from composer.data.samples.names import Form, Names, Rule, _rule
from composer.data.samples.sampling import Sentence, sample_sentence
from composer.data.samples.templates import Template

PACKAGE = {
    "expansion_rules": {
        "turn": "(turn|switch)",
        "misheard_dirty": "tern",
        "the": "(the|a)",
        "loop": "<loop> again",
    },
    "lists": {
        "color": {"values": [{"in": "[dark ]red", "out": "red"}]},
        "timer_minutes": {"range": {"from": 1, "to": 100}},
        "odd": {"range": {"from": 7, "to": 7}},
    },
}


@pytest.fixture
def grammar(monkeypatch: pytest.MonkeyPatch) -> Grammar:
    monkeypatch.setattr(grammars, "read_package", lambda language: PACKAGE)
    return Grammar("en")


def template(text: str, name_domains: tuple[str, ...] = ("light",)) -> Template:
    return Template(
        intent="HassTurnOn",
        text=text,
        response="default",
        domain="homeassistant",
        name_domains=name_domains,
        split="train",
    )


def names(**lists: list[Form]) -> Names:
    whole = {
        name: {split: tuple(forms) for split in ("train", "test")} for name, forms in lists.items()
    }
    return Names(lists=whole)


def sampled(text: str, grammar: Grammar, names: Names, count: int = 60) -> list[Sentence]:
    draw = Draw("test")
    one = template(text)
    drawn = [
        sample_sentence(one, grammar, names=names, split="train", draw=draw) for _ in range(count)
    ]
    return [sentence for sentence in drawn if sentence is not None]


LAMP = names(light=[Form("reading lamp")], area=[Form("kitchen")])


def test_a_sentence_says_where_its_names_are_and_what_they_are_of(grammar: Grammar):
    (sentence,) = sampled(" <turn>  on {name}  in  {area} now", grammar, LAMP, 1)
    assert re.fullmatch("(turn|switch) on reading lamp in kitchen now", sentence.text)
    assert [sentence.text[s.start : s.end] for s in sentence.spans] == ["reading lamp", "kitchen"]
    assert [span.label for span in sentence.spans] == ["name", "area"]
    assert sentence.domain == "light"
    assert sentence.pattern == sentence.text.replace("reading lamp", "{name}").replace(
        "kitchen", "{area}"
    )


def test_optional_parts_are_said_about_half_the_time(grammar: Grammar):
    said = [one.text for one in sampled("lights [please] on", grammar, LAMP, 400)]
    assert 150 < said.count("lights please on") < 250


def test_earlier_alternatives_are_likelier(grammar: Grammar):
    said = [one.text for one in sampled("(first|second|third) light", grammar, LAMP, 600)]
    counts = [said.count(f"{word} light") for word in ("first", "second", "third")]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) > 50


def test_parts_in_any_order_are_said_in_every_order(grammar: Grammar):
    said = {one.text for one in sampled("turn (on;the light)", grammar, LAMP)}
    assert said == {"turn on the light", "turn the light on"}


def test_what_is_only_misheard_is_not_said(grammar: Grammar):
    said = {one.text for one in sampled("(turn|<misheard_dirty>) lights on", grammar, LAMP)}
    assert said == {"turn lights on"}
    assert not sampled("<misheard_dirty> lights on", grammar, LAMP)


def test_a_choice_that_does_not_agree_is_made_anew(grammar: Grammar):
    vowel = names(light=[Form("uplighter", _rule({"after": ["the"]}))])
    said = {one.text for one in sampled("turn on <the> {name}", grammar, vowel)}
    assert said == {"turn on the uplighter"}


def test_a_word_of_the_template_agrees_with_what_stands_before_it(grammar: Grammar):
    agreeing = Names(lists={}, words={"minutes": _rule({"not_after": ["1"]})})
    said = {
        one.text for one in sampled("wait {timer_minutes} minute[s] more", grammar, agreeing, 200)
    }
    assert "wait 1 minutes more" not in said
    assert "wait 5 minutes more" in said


def test_what_is_glued_to_a_name_must_suit_it(grammar: Grammar):
    finnish = names(area=[Form("keittiö", Rule(glued=("ssä", "")))])
    said = {one.text for one in sampled("valot {area}[ssa|ssä] päälle", grammar, finnish)}
    assert said == {"valot keittiö päälle", "valot keittiössä päälle"}


def test_a_refused_sentence_is_not_sampled(grammar: Grammar):
    refusing = Names(lists=LAMP.lists, refused=re.compile(r"on \{name\}$"))
    said = {one.text for one in sampled("turn (on {name}|{name} on)", grammar, refusing)}
    assert said == {"turn reading lamp on"}


@pytest.mark.parametrize("text", ["lights lights on", "x", "{name} on,"])
def test_what_nobody_says_is_thrown_away(text: str, grammar: Grammar):
    assert not sampled(text, grammar, LAMP)


def test_values_of_a_list_are_named_without_the_spaces_around_them(grammar: Grammar):
    for sentence in sampled("make it {color} now", grammar, LAMP):
        (span,) = sentence.spans
        assert sentence.text[span.start : span.end] in {"red", "dark red"}


def test_slots_that_english_does_not_have_are_said_and_not_labelled(grammar: Grammar):
    (sentence,) = sampled("make it {color:shade}", grammar, LAMP, 1)
    assert sentence.spans == ()
    assert "{shade}" in sentence.pattern


def test_numbers_are_those_that_people_say(grammar: Grammar):
    assert 37 not in grammar.numbers["timer_minutes"]
    assert grammar.numbers["odd"] == (7,)


def test_a_list_of_states_decides_among_the_names_of_a_domain(grammar: Grammar):
    sensors = names(**{"binary_sensor": [Form("hatch")], "binary_sensor:motion": [Form("camera")]})
    assert grammar.names_of("binary_sensor", "is {name} {motion:state}", sensors) == (
        "binary_sensor:motion"
    )
    assert grammar.names_of("binary_sensor", "is {name} {open:state}", sensors) == "binary_sensor"


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("turn on {name}", None),
        ("turn on {scene}", "{scene}"),
        ("<turn> <gone>", "<gone>"),
        ("<loop>", "<loop>"),
        ("lights on", "a domain"),
    ],
)
def test_what_a_template_lacks_is_said(text: str, lacking: str | None, grammar: Grammar):
    assert grammar.lacks(template(text), LAMP) == lacking


def test_a_domain_without_names_is_lacking(grammar: Grammar):
    assert grammar.lacks(template("{name}", ("button",)), LAMP) == "{name} of button"


def test_the_span_of_a_name_in_text_without_spaces(grammar: Grammar):
    grammar.without_spaces = True
    chinese = names(light=[Form("落地灯")])
    (sentence,) = sampled("打开 {name} 吧", grammar, chinese, 1)
    assert sentence.text == "打开落地灯吧"
    assert sentence.spans == (Span(start=2, end=5, label="name"),)
