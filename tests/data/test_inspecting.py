"""What may be wrong with data, one thing at a time."""

from collections.abc import Sequence

import pytest

from composer.data.encode import Encoder
from composer.data.examples import Example, Label, Span
from composer.data.inspecting.characters import character_warnings, is_misread
from composer.data.inspecting.inspection import Inspection, inspect
from composer.data.inspecting.labels import label_counts, label_warnings
from composer.data.inspecting.lengths import lengths_of
from composer.data.inspecting.parts import Part
from composer.data.inspecting.repeats import (
    conflict_warnings,
    copy_warnings,
    duplicates,
    overlap_warnings,
)
from composer.data.inspecting.scripts import expected_script, script_of, script_warnings
from composer.errors import Fault
from composer.recipe.grammar.data import Split
from tests.tiny import tiny_tokenizer

Row = str | tuple[str, Label]


def part(*rows: Row, split: Split = "train", language: str = "en") -> Part:
    """Make a part of texts, or of texts with labels."""
    examples = []
    for number, row in enumerate(rows, start=1):
        text, label = (row, "a") if isinstance(row, str) else row
        examples.append(Example(text=text, label=label, place=f"{split}.csv:{number}"))
    return Part(source="own", language=language, split=split, examples=examples)


def said(found: Sequence[Fault]) -> str:
    return "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("turn on the lamp", "LATIN"),
        ("включи лампу, please", "CYRILLIC"),
        ("电灯打开", "HAN"),
        ("キッチンのライトをつけて", "HAN"),
        ("불을 켜", "HANGUL"),
        ("άναψε το φως", "GREEK"),
        ("ＴＵＲＮ ＯＮ", "LATIN"),
        ("12 ok", None),
        ("", None),
    ],
)
def test_a_text_has_the_script_of_most_of_its_letters(text: str, script: str | None):
    assert script_of(text) == script


@pytest.mark.parametrize(
    ("tag", "script"),
    [("de", "LATIN"), ("zh-CN", "HAN"), ("sr-Cyrl", "CYRILLIC"), ("sr", None), ("qaa", None)],
)
def test_the_script_of_a_language_is_in_a_table_or_unknown(tag: str, script: str | None):
    assert expected_script(tag) == script


def test_a_text_in_another_script_is_named_with_its_place():
    (found,) = script_warnings(part("turn on", "включи лампу", "turn off"))
    assert found.place == "data.own (en, train)"
    assert "1 of 3 texts (33.3 %) are in another script than LATIN (CYRILLIC)" in found.message
    assert "train.csv:2 'включи лампу'" in found.message


def test_a_language_without_a_script_in_the_table_has_that_of_most_texts():
    odd = part("turn on", "включи лампу", "turn off", language="qaa")
    assert "than LATIN (CYRILLIC)" in said(list(script_warnings(odd)))
    assert list(script_warnings(part("включи лампу", language="qaa"))) == []


def test_a_language_whose_texts_are_all_in_another_script_is_named():
    assert "2 of 2 texts" in said(list(script_warnings(part("turn on", "turn off", language="ru"))))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("turn\u200b on", "control or invisible"),
        ("turn\x07 on", "control or invisible"),
        ("turn\u202eon", "control or invisible"),
        ("k\ufffdche", "U+FFFD"),
        ("die kÃ¼che", "read as Latin-1"),
        ("donâ€™t", "read as Latin-1"),
    ],
)
def test_characters_that_are_not_meant_are_named(text: str, what: str):
    found = said(list(character_warnings(part("fine", text))))
    assert what in found
    assert "train.csv:2" in found


@pytest.mark.parametrize("text", ["a\tb\nc", "می\u200cخواهم", "Küche – „ja“", "naïve café", "東京"])
def test_characters_that_are_meant_are_not_named(text: str):
    assert list(character_warnings(part(text))) == []
    assert not is_misread(text)


def test_duplicates_are_those_after_the_first_but_for_case_and_punctuation():
    found = duplicates(part("Turn on!", "turn on", "turn off", "TURN ON."))
    assert [one.place for one in found] == ["train.csv:2", "train.csv:4"]


def test_the_two_texts_of_a_pair_are_compared_together():
    pairs = [Example(text="a b", pair="c"), Example(text="a b", pair="d")]
    assert duplicates(Part(source="own", language="en", split="train", examples=pairs)) == []


def test_texts_of_two_splits_are_told_by_split_and_with_where_they_stand():
    parts = [
        part("turn on the lamp", "dim the light in the hall"),
        part("Turn on the lamp.", "how warm is it", split="test"),
        part("dim the light in the hall!", split="validation", language="de"),
    ]
    found = list(overlap_warnings(parts))
    assert [one.place for one in found] == ["data.own (en, test)", "data.own (de, validation)"]
    assert "1 of 2 texts (50.0 %) stand in the train split too, 1 the same" in found[0].message
    assert "test.csv:1 'Turn on the lamp.' in train.csv:1" in found[0].message


def test_texts_that_were_not_translated_are_told():
    german = part("turn on the lamp", "mach das licht aus", language="de")
    (found,) = copy_warnings([part("turn on the lamp", "how warm is it"), german])
    assert found.place == "data.own (de)"
    assert "1 of 2 texts (50.0 %) of three words or more stand in en as well" in found.message
    assert list(copy_warnings([part("stop it"), part("stop it", language="de")])) == []


def test_one_text_with_two_labels_is_told_with_both_places():
    parts = [part(("turn on", "on"), ("go", "on")), part(("Turn on!", "off"), split="test")]
    (found,) = conflict_warnings(parts)
    assert "1 text has labels that contradict" in found.message
    assert "'turn on' is 'on' (train.csv:1) and 'off' (test.csv:1)" in found.message
    assert list(conflict_warnings([part(("a", "x")), part(("a", "y"), language="de")])) == []


def test_labels_in_another_order_contradict_nothing():
    assert list(conflict_warnings([part(("turn on", ("a", "b")), ("turn on", ("b", "a")))])) == []


def spans(text: str, *names: str, place: str = "") -> Example:
    first = text.split()[0]
    return Example(
        text=text,
        spans=tuple(Span(start=0, end=len(first), label=name) for name in names),
        place=place,
    )


def test_one_text_with_two_readings_of_its_spans_is_told():
    examples = [spans("lamp on", "name", place="a:1"), spans("lamp on", place="a:2")]
    both = Part(source="own", language="en", split="train", examples=examples)
    (found,) = conflict_warnings([both])
    assert "is name='lamp' (a:1) and without spans (a:2)" in found.message


def labels_told(*parts: Part) -> str:
    return said(list(label_warnings(label_counts(parts), parts, "text-classification")))


def test_labels_are_counted_by_split_the_most_frequent_first():
    parts = [part(("a", "y"), ("b", "x"), ("c", "x")), part(("d", "y"), split="test")]
    assert label_counts(parts) == {
        "x": {"train": 2},
        "y": {"train": 1, "test": 1},
    }
    assert list(label_counts(parts)) == ["x", "y"]


def test_labels_that_differ_only_in_case_or_spaces_are_told_with_their_counts():
    found = labels_told(part(*[("t", "turn on")] * 6, ("u", "Turn On "), ("v", "off")))
    assert "the labels 'Turn On ' (1) and 'turn on' (6) differ only in case" in found


def test_labels_of_one_split_alone_are_told():
    found = labels_told(part(("a", "x"), ("b", "y")), part(("c", "x"), ("d", "z"), split="test"))
    assert "in the train split alone, no score tells whether they are learnt: 'y' (1)" in found
    assert "in the test split alone, none can be learnt: 'z' (1)" in found


def test_rare_labels_are_told_and_frequent_ones_are_not():
    rows = [(f"t{n}", "x") for n in range(5)] + [(f"u{n}", "y") for n in range(4)]
    assert "fewer than 5 training examples for 1 of 2 labels: 'y' (4);" in labels_told(part(*rows))


def test_one_label_that_is_nearly_all_is_told():
    found = labels_told(part(*[(f"t{n}", "x") for n in range(9)], ("u", "y")))
    assert "90.0 % of the training examples are 'x'" in found


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(tiny_tokenizer(), max_tokens=8)


def test_lengths_are_those_of_whole_texts_and_tell_what_is_cut(encoder: Encoder):
    texts = ["lamp", "turn on the lamp", "lamp " * 20]
    found = lengths_of([Example(text=text) for text in texts], encoder)
    assert (found.median, found.longest, found.cut, found.cut_tokens) == (6, 22, 1, 14)
    assert found.most == pytest.approx(6 + 0.9 * 16)


def test_spans_that_do_not_end_where_tokens_do_are_counted(encoder: Encoder):
    inside = Example(text="lamp on", spans=(Span(start=0, end=2, label="name"),))
    whole = Example(text="lamp on", spans=(Span(start=0, end=4, label="name"),))
    cut = Example(text="lamp " * 20 + "on", spans=(Span(start=100, end=102, label="name"),))
    found = lengths_of([inside, whole, cut], encoder, labels=["name"])
    assert found.misaligned == 2


def look(*parts: Part, encoder: Encoder | None = None, truncate: bool = False) -> Inspection:
    return inspect(
        "task/own", parts, source="own", type="text-classification",
        encoder=encoder, truncate=truncate,
    )  # fmt: skip


def test_texts_that_are_too_long_are_a_fault_unless_they_are_cut(encoder: Encoder):
    long = part(("lamp " * 20, "a"), ("on", "b"))
    (fault,) = look(long, encoder=encoder).faults
    assert "1 of 2 texts (50.0 %) are longer than the 8 tokens" in fault.message
    cut = look(long, encoder=encoder, truncate=True)
    assert cut.faults == ()
    assert "1 of 2 texts (50.0 %) are cut, 14 tokens in all" in said(cut.warnings)


def test_what_a_run_refuses_is_a_fault_with_its_row():
    found = look(part(("on", "a"), (" ", "b")), part(("off", "c"), split="test"))
    assert "train.csv:2: the text is empty" in said(found.faults)
    assert "test.csv:1: training never saw the label 'c'" in said(found.faults)


def test_data_without_anything_wrong_has_nothing_said_of_it(encoder: Encoder):
    train = [(f"set a timer for {n} minutes in the {room}", label)
             for label, room in (("a", "kitchen"), ("b", "bedroom")) for n in range(5)]  # fmt: skip
    test = [("how warm is it", "a"), ("wie warm ist es", "b")]
    found = look(
        part(*train), part(*test, split="test"), encoder=Encoder(tiny_tokenizer(), max_tokens=64)
    )
    assert (found.warnings, found.faults) == ((), ())
    assert [(one.split, one.n, one.script) for one in found.parts] == [
        ("train", 10, "LATIN"), ("test", 2, "LATIN"),
    ]  # fmt: skip
