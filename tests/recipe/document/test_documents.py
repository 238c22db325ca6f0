import re

import pytest

from composer.errors import RecipeError
from composer.recipe.document.documents import (
    MAX_ALIASES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    Document,
    read_document,
    read_value,
)
from composer.recipe.document.findings import MAX_FAULTS
from composer.recipe.document.tree import Mark, place_of, values


def read(text: str | bytes) -> Document:
    return read_document(text.encode() if isinstance(text, str) else text, "x.yaml")


def test_values_are_read_by_yaml_1_2_and_lists_become_tuples():
    document = read("a: 1e-3\nb: [1, two, ~, true]\nc: {no: yes, d: '5'}\ne: |\n  f\n")
    assert document.faults == ()
    assert values(document.root) == {
        "a": 1e-3,
        "b": (1, "two", None, True),
        "c": {"no": "yes", "d": "5"},
        "e": "f\n",
    }


def test_every_key_and_value_knows_its_place():
    root = read("a:\n  b: [1, {c: x}]\n'd': \"y\"\n").root
    marks = {
        ("a",): (2, 3),
        ("a", "b"): (2, 6),
        ("a", "b", 0): (2, 7),
        ("a", "b", 1, "c"): (2, 14),
        ("d",): (3, 6),
    }
    for path, (line, column) in marks.items():
        assert place_of(root, path) == Mark("x.yaml", line, column)
    assert place_of(root, ("a", "b"), on_key=True) == Mark("x.yaml", 2, 3)
    assert place_of(root, ("d",), on_key=True) == Mark("x.yaml", 3, 1)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("a: b > c", 4),
        ("a: 'b > c'", 5),
        ('a: "b > c"', 5),
        ('a: "b \\x3e c"', None),
        ("a: 'b '' c'", None),
        ("a: |\n  b > c", None),
        ("a: b >\n  c", None),
    ],
)
def test_characters_of_a_text_are_placed_only_where_they_stand_as_they_are_read(
    text: str, column: int | None
):
    node = read(text).root.child("a")
    assert node is not None
    assert node.text_column == column


def test_an_alias_stands_for_its_anchor_and_has_its_own_place():
    root = read("a: &x {b: 1}\nc: *x\n").root
    assert values(root) == {"a": {"b": 1}, "c": {"b": 1}}
    assert str(place_of(root, ("c",))) == "x.yaml:2:4"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: !!str 1", "x.yaml:1:4: tag 'tag:yaml.org,2002:str'; a recipe has no tags"),
        ("a: ! b", "x.yaml:1:4: tag '!'; a recipe has no tags"),
        ("a: !x [1]", "x.yaml:1:4: tag '!x'; a recipe has no tags"),
        ("a: !x {b: 1}", "x.yaml:1:4: tag '!x'; a recipe has no tags"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: the key 'a' is given twice; first in line 1"),
        ("a: {b: 1, 'b': 2}", "x.yaml:1:11: the key 'b' is given twice; first in line 1"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "x.yaml:3:3: merge keys (<<) are not read; use a profile"),
        ("a: 1\n1: b", 'x.yaml:2:1: a key is text, not 1; quote it: "1"'),
        ("true: b", 'x.yaml:1:1: a key is text, not true; quote it: "true"'),
        ("~: b", 'x.yaml:1:1: a key is text, not ~; quote it: "~"'),
        ("? [a]\n: b", "x.yaml:1:3: a key is text, not a list or mapping"),
        ("a: .inf", "x.yaml:1:4: .inf is no number that fits; only finite numbers are"),
        ("a: -.INF", "x.yaml:1:4: -.INF is no number that fits"),
        ("a: .nan", "x.yaml:1:4: .nan is no number that fits"),
        ("a: 1e999", "x.yaml:1:4: 1e999 is no number that fits; it is larger than 1.8e308"),
        ("a: " + "9" * 41, "x.yaml:1:4: 9999999999999999999999999999999999999999 is no number"),
        ("%YAML 1.1\n---\na: 1", "x.yaml:2:1: a recipe is YAML 1.2 and has no directives"),
        ("%TAG ! x\n---\na: 1", "x.yaml:2:1: a recipe is YAML 1.2 and has no directives"),
    ],
)
def test_what_a_recipe_does_not_need_is_a_fault_and_the_rest_is_read(text: str, fault: str):
    document = read(text)
    assert len(document.faults) == 1
    assert str(document.faults[0]).startswith(fault)
    assert isinstance(document.root.value, dict)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "x.yaml:1:1: the file is empty"),
        ("# only this\n", "x.yaml:2:1: the file is empty"),
        ("- a", "x.yaml:1:1: a recipe is a mapping"),
        ("a", "x.yaml:1:1: a recipe is a mapping"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document begins here"),
        ("a: *b", "x.yaml:1:4: alias *b has no anchor &b before it"),
        ("a: &b [*b]", "x.yaml:1:8: alias *b stands inside what it names"),
        ("a: &b {c: {d: *b}}", "x.yaml:1:15: alias *b stands inside what it names"),
        ("a: b: c", "x.yaml:1:5: a ': ' inside a value; quote the value"),
        ("a: 1\n b: 2", "x.yaml:2:3: a ': ' inside a value"),
        ("a:\n  b: 1\n c: 2", "x.yaml:3:2: this does not line up with the block that begins"),
        ("a:\n\tb: 1", "x.yaml:2:1: a tab; indent with spaces"),
        ("a: @b", "x.yaml:1:4: no value begins with '@'; quote it"),
        ("a: [1, 2", "x.yaml:1:9: a ',' or ']' is missing before this, for the bracket opened at "
                     "line 1, column 4"),
        ("a: {b: 1\nc: 2", "x.yaml:2:2: a ',' or '}' is missing"),
        ("a: 1}\nb: ]", "x.yaml:2:4: a value is missing before ']'"),
        ("{a: 1}}", "x.yaml:1:7: nothing can stand here"),
        ("a: 'b\nc: 1", "x.yaml:1:4: this quoted text is never closed"),
        ("a: 'b\n---\n", "x.yaml:1:4: this quoted text is not closed before '---'"),
        ("a: 1\nb\nc: 2", "x.yaml:2:1: this key has no ':' and value"),
        ('a: "\\q"', "x.yaml:1:6: unknown escape 'q'"),
        ("a: *", "x.yaml:1:5: a name must follow '*' and '&'"),
        ("a: |5x\n  b", "x.yaml:1:6: not YAML: expected chomping or indentation indicators"),
        ("a: b\x07", "x.yaml:1:5: control character U+0007"),
        ("a: 1\nb: \x7f", "x.yaml:2:4: control character U+007F"),
        (b"a: 1\r\nb: \xff", "x.yaml:2:4: byte 0xff is not UTF-8"),
        ("a: b".encode("utf-16"), "x.yaml:1:1: byte 0xff is not UTF-8"),
        (b"a" * (MAX_BYTES + 1), "x.yaml: longer than 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(text: str | bytes, fault: str):
    with pytest.raises(RecipeError, match=re.escape(fault)) as caught:
        read(text)
    assert str(caught.value.faults[-1]).startswith(fault)


def test_a_byte_order_mark_is_left_out():
    assert str(place_of(read("\ufeffa: 1").root, ("a",))) == "x.yaml:1:4"


def test_yaml_1_2_may_be_said():
    assert read("%YAML 1.2\n---\na: 1\n...\n").faults == ()


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_before_it_overflows(opening: str):
    with pytest.raises(RecipeError, match=f"nested deeper than {MAX_DEPTH}"):
        read("a:\n  " + opening * 1000)


def test_nesting_by_aliases_is_counted():
    levels = "".join(f"a{i + 1}: &a{i + 1} [[[*a{i}]]]\n" for i in range(MAX_DEPTH))
    with pytest.raises(RecipeError, match=f"nested deeper than {MAX_DEPTH}"):
        read("a0: &a0 [1]\n" + levels)


def test_aliases_are_counted():
    assert read("a: &x 1\nb: [" + "*x, " * MAX_ALIASES + "]").faults == ()
    with pytest.raises(RecipeError, match="x.yaml:2:405: more than 100 aliases"):
        read("a: &x 1\nb: [" + "*x, " * MAX_ALIASES + "*x]")


def test_what_aliases_stand_for_is_counted():
    levels = "".join(f"a{i + 1}: &a{i + 1} [{f'*a{i}, ' * 9}]\n" for i in range(9))
    with pytest.raises(RecipeError, match=f"x.yaml:6:10: more than {MAX_NODES} keys and values"):
        read("a0: &a0 [1, 2, 3, 4, 5]\n" + levels)


def test_reading_ends_after_many_faults():
    with pytest.raises(RecipeError, match="and so on; nothing after this is read") as caught:
        read("".join(f"a: {i}\n" for i in range(MAX_FAULTS * 2)))
    assert len(caught.value.faults) == MAX_FAULTS + 1


@pytest.mark.parametrize(
    ("text", "column", "first"),
    [
        ("{mix: fuse(a, b)}", 7, "fuse(a"),
        ("{mix: $language > gate(a, (b > c), none), other: 1}", 7, "$language > gate(a"),
        ("{mix: average(0.7 * a, 0.3 * b), other: 1}", 7, "average(0.7 * a"),
        ("{m: {expression: fuse(a, b, c), train: {task: a}}}", 18, "fuse(a"),
        ("{m: [average(a, b), c]}", 6, "average(a"),
        ("{mix: avg(a, b)}", 7, "avg(a"),
    ],
)
def test_an_unquoted_composition_in_flow_style_is_one_fault_that_says_to_quote_it(
    text: str, column: int, first: str
):
    (fault,) = read(text).faults
    assert fault.place == f"x.yaml:1:{column}"
    assert fault.message == (
        f"{first!r} ends at the comma; in flow style, inside {{}} or [], a composition with a "
        'comma must be quoted: "fuse(a, b)"'
    )


def test_the_pieces_of_an_unquoted_composition_are_put_together():
    document = read("{mix: fuse(a, (b > c), none), other: [fuse(a, b), x]}")
    assert values(document.root) == {"mix": "fuse(a, (b > c), none)", "other": ("fuse(a, b)", "x")}


@pytest.mark.parametrize(
    "text",
    ['{mix: "fuse(a, b)"}', "mix: fuse(a, b)", "{a: b(, c: 1}", "{a: [b (, c)]}", "{a: (b), c: }"],
)
def test_what_is_no_split_composition_is_left_alone(text: str):
    assert read(text).faults == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("[a, b]", ("a", "b")), ("fuse(a, b)", "fuse(a, b)"), ("", None), (" # x", None)],
)
def test_a_value_of_the_command_line_is_read_as_yaml(text: str, value: object):
    assert values(read_value(text, "--set").root) == value


def test_a_value_of_the_command_line_has_its_limit():
    with pytest.raises(RecipeError, match="longer than"):
        read_value("x" * (MAX_BYTES + 1), "--set")
