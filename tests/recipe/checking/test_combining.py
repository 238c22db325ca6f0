"""Which kind combines with which: one table, and checks that tell all of its refusals at once."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from composer.recipe.checking.combining import (
    KINDS,
    REASONS,
    USES,
    ill_combined,
    refusal,
    table_lines,
)
from composer.recipe.grammar.adapters import AdapterShape, BitFit, Full, Lora, Prefix, Prompt
from composer.recipe.grammar.composition import parse_composition
from tests.recipe.recipes import SOUND, faults_of

SHAPES: dict[str, AdapterShape] = {
    "lora": Lora(kind="lora"),
    "bits": BitFit(kind="bitfit"),
    "pre": Prefix(kind="prefix"),
    "soft": Prompt(kind="prompt"),
    "all": Full(kind="full"),
}
OTHERS = """\
  low: {kind: bottleneck, placement: pfeiffer}
  lora: {kind: lora}
  pre: {kind: prefix}
  all: {kind: full}
"""


def test_every_refusal_is_of_a_known_kind_and_use():
    assert {kind for kind, _ in REASONS} <= set(KINDS)
    assert {use for _, use in REASONS} <= USES.keys()


@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("lora > bits > pre > soft", []),
        ("average(lora, bits)", []),
        ("lora > fuse(other, more) > bits", []),
        ("all", []),
        ("fuse(lora > other, other)", ["lora (lora) cannot stand in a fusion"]),
        ("gate(bits, pre)", ["bits (bitfit) cannot stand in a gate", "pre (prefix) cannot"]),
        ("average(soft, lora)", ["soft (prompt) cannot stand in an average"]),
        ("all > other", ["all (full) cannot stand lower in a stack"]),
        ("average(all, lora)", ["all (full) cannot stand in an average"]),
    ],
)
def test_a_composition_is_judged_by_the_table(expression: str, refused: list[str]):
    found = list(ill_combined(parse_composition(expression), SHAPES))
    assert len(found) == len(refused)
    assert all(one.startswith(start) for one, start in zip(found, refused, strict=True)), found


def test_every_refusal_of_a_recipe_is_told_at_its_place(tmp_path: Path):
    text = SOUND.replace("  low: {kind: bottleneck, placement: pfeiffer}\n", OTHERS)
    for old, new in {
        "data: text, adapter: thin}": "data: text, adapter: all}",
        "languages: [en, de], adapter: task": "languages: [en, de], adapter: pre",
        "languages: [en], adapter: thin}": "languages: [en], adapter: lora}",
        "box: {compositions: [mad-x, domain],": "box: {precision: int8, compositions: [domain],",
    }.items():  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    found = [str(fault) for fault in faults_of(tmp_path, text)]
    whole = "\n".join(found)
    for place, said in (
        ("languages.adapter", "all (full) cannot be a language's: it is a copy of the whole"),
        ("tasks.intent.adapter", "$language (full) cannot stand lower in a stack"),
        ("compositions.mad-x", "$language (full) cannot stand lower in a stack"),
        ("compositions.few-shot.expression", "intent (prefix) cannot stand in a fusion"),
        ("compositions.few-shot.expression", "domain (lora) cannot stand in a fusion"),
        ("compositions.mean.expression", "intent (prefix) cannot stand in an average"),
        ("bundles.box.compositions[0]", "domain (lora) has no place in a device graph"),
    ):
        assert f"{place}: {said}" in whole, whole


def test_a_bundle_of_parts_takes_any_kind_and_a_graph_does_not(tmp_path: Path):
    text = SOUND.replace("low: {kind: bottleneck, placement: pfeiffer}", "low: {kind: full}")
    old = "domain: {type: text-classification, data: domain, languages: [en], adapter: thin}"
    assert old in text
    text = text.replace("fuse(intent, domain)", "fuse(intent, other)")
    text = text.replace("average(intent, domain)", "average(intent, other)")
    text = text.replace(old, f"{old.replace('thin', 'low')}\n  other: {old.partition(': ')[2]}")
    assert faults_of(tmp_path, text.replace("task: domain}", "task: intent}")) == []
    text = text.replace("box: {", "box: {precision: float32, ")
    found = [str(fault) for fault in faults_of(tmp_path, text)]
    assert any("domain (full) has no place in a device graph" in one for one in found), found


def test_bottlenecks_are_refused_nothing():
    assert not [kind for kind, _ in REASONS if kind in ("bottleneck", "madapter")]
    assert refusal(SHAPES["bits"], "fuse") is not None


def test_the_table_says_of_every_kind_and_use_what_the_checks_do():
    lines = table_lines()
    head, body = lines[0], lines[2 : 2 + len(USES)]
    assert [cell.strip(" `") for cell in head.split("|")[2:-1]] == list(KINDS)
    for line, (use, said) in zip(body, USES.items(), strict=True):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert cells[0] == said
        for kind, cell in zip(KINDS, cells[1:], strict=True):
            assert (cell == "yes") == ((kind, use) not in REASONS)
    notes = "\n".join(lines[2 + len(USES) :])
    assert all(reason in notes for reason in REASONS.values())


@pytest.mark.parametrize("use", ["sparsity", "invertible", "train_norm"])
def test_kinds_have_the_keys_that_the_table_says(use: str):
    shapes = {
        one.model_fields["kind"].annotation: one for one in get_args(get_args(AdapterShape)[0])
    }
    for kind in KINDS:
        (shape,) = (one for literal, one in shapes.items() if get_args(literal) == (kind,))
        value: object = {"method": "random"} if use == "sparsity" else True
        try:
            shape.model_validate({"kind": kind, use: value})
            found = True
        except ValidationError:
            found = False
        assert found == ((kind, use) not in REASONS), kind
