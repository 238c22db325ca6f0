"""Files that a stranger might send: read exactly as they are, or refused with file and row."""

import gzip
import json
import logging
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composer.data.bio import spans_of_tags, tags_of_spans
from composer.data.digest import data_digest
from composer.data.encode import Encoder
from composer.data.examples import Example, Span
from composer.data.tasks import check_examples, label_set
from composer.errors import DataError
from composer.recipe.grammar.data import FileData
from composer.recipe.grammar.tasks import TaskType
from tests.data.files import faults_of, found, read, write, write_parquet
from tests.data.tokens import unigram, word_piece

HEAD = "text,label\n"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a\u2028b,x\nc\x85d,y\ne\x0cf,z\ng\x1ch,w\n", ["a\u2028b", "c\x85d", "e\x0cf", "g\x1ch"]),
        ("a,x\r\nb,y\rc,z\nd,w", ["a", "b", "c", "d"]),
        ('"a\r\nb",x\r\n"c\rd",y\r\n"e\nf",z\n', ["a\r\nb", "c\rd", "e\nf"]),
        ('"a,""b"",\nc",x\n" d ",y\n', ['a,"b",\nc', " d "]),
        ("a\tb,x\n\\n,y\n", ["a\tb", "\\n"]),
        ("\ufeffa,x\n", ["\ufeffa"]),
        ("café,x\ncafe\u0301,y\n", ["café", "cafe\u0301"]),
        (
            "👩\u200d👩\u200d👧,x\n\U0001f1eb\U0001f1ee,y\n",
            ["👩\u200d👩\u200d👧", "\U0001f1eb\U0001f1ee"],
        ),
        ("שלום \u200fעולם,x\nأشعل\u200cه,y\n", ["שלום \u200fעולם", "أشعل\u200cه"]),
    ],
    ids=["rare line ends", "mixed", "in quotes", "quotes", "tabs", "bom", "accents", "zwj", "rtl"],
)
def test_texts_are_read_character_for_character(tmp_path: Path, content: str, rows: list[str]):
    write(tmp_path, "a.csv", HEAD + content)
    assert [one.text for one in read(tmp_path, "a.csv")] == rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_json_lines_end_where_lines_end(tmp_path: Path, end: str):
    rows = [{"text": "a\u2028b\x85c", "label": "x"}, {"text": "d\ne", "label": "y"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write(tmp_path, "a.jsonl", end.join(lines) + end)
    assert found(read(tmp_path, "a.jsonl")) == [
        ("a\u2028b\x85c", "x", "a.jsonl:1"),
        ("d\ne", "y", "a.jsonl:2"),
    ]


# Each example writes its own file, so the folder may be shared.
DRAWN = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@DRAWN
@given(texts=st.lists(_cells.map("a".__add__), min_size=1, max_size=6), end=st.sampled_from("\n\r"))
def test_every_text_comes_back_from_every_format(tmp_path: Path, texts: list[str], end: str):
    quoted = "".join(f'"{text.replace(chr(34), chr(34) * 2)}",x{end}' for text in texts)
    write(tmp_path, "a.csv", f"text,label{end}{quoted}")
    assert [one.text for one in read(tmp_path, "a.csv")] == texts
    for ascii_only in (True, False):
        lines = [json.dumps({"text": t, "label": "x"}, ensure_ascii=ascii_only) for t in texts]
        write(tmp_path, "a.jsonl", end.join(lines))
        assert [one.text for one in read(tmp_path, "a.jsonl")] == texts


@DRAWN
@given(content=st.one_of(st.binary(), st.text('ab,"\n\r\t{}[]:0\0\ufeff').map(str.encode)))
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_no_bytes_raise_anything_but_a_data_error(tmp_path: Path, name: str, content: bytes):
    write(tmp_path, name, b"text,label\n" * (name == "a.csv") + content)
    try:
        assert all(example.place.startswith(f"{name}:") for example in read(tmp_path, name))
    except DataError as error:
        assert all(fault.place.startswith(name) for fault in error.faults)  # noqa: PT017
        assert str(error).replace("\n", "").isprintable()  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.csv", (HEAD + "a,x\n").encode("utf-16-le"), "a.csv: the file begins with zero bytes"),
        ("a.csv", (HEAD + "a,x\n").encode("utf-32-be"), "a.csv: the file begins with zero bytes"),
        ("a.jsonl", b"\0" * 100, "a.jsonl: the file begins with zero bytes"),
        ("a.csv", gzip.compress(HEAD.encode(), mtime=0), "a.csv: the file is compressed"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.csv: the file is compressed or a spr"),
        ("a.csv", b"PAR1abcdefgh", "a.csv: the file is Parquet; give it the ending .parquet"),
        ("a.csv", HEAD + "a\0b,x\n", "a.csv:2: a zero byte, U+0000, which no text holds"),
        ("a.csv", HEAD + "a,x\0\n", "a.csv:2: the control character U+0000 in the label 'x\\x00'"),
        ("a.csv", HEAD + "a,\x1b[31mred\n", "a.csv:2: the control character U+001B in the label"),
        ("a.csv", HEAD + "a,x\u202ey\n", "a.csv:2: the control character U+202E in the label"),
        ("a.csv", HEAD + 'a,"x\ny"\n', "a.csv:2: the control character U+000A in the label"),
        ("a.csv", "te\x1b[2Jxt,label\na,x\n", "a.csv:1: no column 'text'; the columns are: 'te"),
        ("a.csv", "a" * 9000 + ",label\na,x\n", "a.csv:1: no column 'text'; the columns are: 'aa"),
        ("a.csv", f"{'a' * 9000},{'a' * 9000}\n", "a.csv:1: two columns are called 'aaaa"),
        ("a.csv", HEAD.encode() + "it’s,x\n".encode("cp1252"), "a.csv:2: byte 0x92 is not UTF-8"),
        ("a.csv", HEAD.encode() + b"\xed\xa0\x80,x\n", "a.csv:2: byte 0xed is not UTF-8"),
        ("a.jsonl", '{"text": "a\\u0000b", "label": "x"}', "a.jsonl:1: a zero byte"),
        ("a.jsonl", '{"text": "a", "m": {"q": 1, "q": 2}}', "a.jsonl:1: not JSON that is read"),
        ("a.jsonl", '{"text": "a", "label": 007}', "a.jsonl:1: not JSON: Expecting ','"),
        ("a.jsonl", '{"text": "a", "label": "' + "x" * 10**7 + '"}', "a.jsonl:1: a label of 10,0"),
        ("a.jsonl", '{"text": "a", "label": ' + "1" * 10**7 + "}", "a.jsonl:1: a label of 10,0"),
        ("a.jsonl", f'{{"{"k" * 9000}": 1, "{"k" * 9000}": 2}}', "a.jsonl:1: not JSON that is"),
        ("a.txt", "a" * 10**7, "a.txt:1: a text of 10,000,000 characters; at most 100,000"),
        ("a.csv", HEAD + "a,x\n" + '"' + "b,y\n" * 10**6, "a.csv:3: a cell of more than 131,072"),
    ],
    ids=lambda value: ascii(value[:30]),
)  # fmt: skip
def test_what_no_text_may_hold_is_refused(
    tmp_path: Path, name: str, content: str | bytes, fault: str
):
    write(tmp_path, name, content)
    kind: TaskType | None = None if name == "a.txt" else "text-classification"
    faults = faults_of(lambda: read(tmp_path, name, type=kind))
    assert faults[0].startswith(fault)
    assert all(one.isprintable() and len(one) < 1000 for one in faults)


def test_keys_by_the_thousand_are_looked_through_once(tmp_path: Path):
    # Which key is given twice was sought in a time that grew with the square of their number.
    keys = ", ".join(f'"k{number}": 1' for number in range(50_000))
    write(tmp_path, "a.jsonl", f'{{{keys}, "k49999": 1}}')
    (fault, *_) = faults_of(lambda: read(tmp_path, "a.jsonl"))
    assert fault.endswith("'k49999' is given twice")


def test_spans_in_a_cell_of_text_are_read_as_strictly_as_json(tmp_path: Path):
    cell = '[{""start"": 0, ""start"": 1, ""end"": 2, ""label"": ""x""}]'
    write(tmp_path, "a.csv", f'text,spans\nab,"{cell}"\n')
    (fault,) = faults_of(lambda: read(tmp_path, "a.csv", type="token-classification"))
    assert fault.startswith("a.csv:2: 'spans' must be a list like")


def test_a_file_in_memory_is_some_times_its_size(tmp_path: Path):
    row = "turn on the lamp in the room with a long name and a longer corridor,label{}\n"
    content = HEAD + "".join(row.format(number % 50) for number in range(10_000))
    write(tmp_path, "a.csv", content)
    tracemalloc.start()
    try:
        read(tmp_path, "a.csv")
        assert tracemalloc.get_traced_memory()[1] < 16 * len(content)
    finally:
        tracemalloc.stop()


# Labels


LABELS = ["7", "007", "7.0", "7e0", "-0", "0", "true", "True", "1", "null", "nan", "NaN", "inf"]


def test_labels_that_look_like_values_are_learnt_as_they_are_spelt(tmp_path: Path):
    write(tmp_path, "a.csv", HEAD + "".join(f"t,{label}\n" for label in LABELS))
    examples = read(tmp_path, "a.csv")
    assert [one.label for one in examples] == LABELS
    assert label_set(examples, type="text-classification") == tuple(sorted(LABELS))


@pytest.mark.parametrize(
    ("train", "test", "unseen"),
    [
        (["spam", "ham"], ["1", "0"], ["1", "0"]),
        (["1", "0"], ["1.0", "0.0"], ["1.0", "0.0"]),
        (["true", "false"], ["1", "true"], ["1"]),
        (["x", "y"], ["x ", "X"], ["x ", "X"]),
        (["caf\u00e9", "y"], ["cafe\u0301"], ["cafe\u0301"]),
        (["7", "8"], ["007"], ["007"]),
    ],
)
def test_labels_of_another_type_in_the_evaluation_file_are_refused_by_row(
    tmp_path: Path, train: list[str], test: list[str], unseen: list[str]
):
    for name, labels in (("train.csv", train), ("test.csv", test)):
        write(tmp_path, name, HEAD + "".join(f"t,{label}\n" for label in labels))
    kind: TaskType = "text-classification"
    known = label_set(read(tmp_path, "train.csv"), type=kind)
    examples = read(tmp_path, "test.csv")
    faults = faults_of(lambda: check_examples(examples, type=kind, labels=known, split="test"))
    places = [f"test.csv:{test.index(label) + 2}" for label in unseen]
    assert [fault.split(": ")[0] for fault in faults] == places
    for label, fault in zip(unseen, faults, strict=True):
        assert f"training never saw the label {label!r}; " in fault


def test_json_values_and_their_spelling_are_one_label(tmp_path: Path):
    lines = [f'{{"text": "t", "label": {label}}}\n' for label in ("true", '"true"', "1", '"1"')]
    write(tmp_path, "a.jsonl", "".join(lines))
    assert [one.label for one in read(tmp_path, "a.jsonl")] == ["true", "true", "1", "1"]


@pytest.mark.parametrize("label", ["spam", "true", "NaN", "1,5", "0x10", ""])
def test_classes_in_the_evaluation_file_of_a_regression_are_refused_by_row(
    tmp_path: Path, label: str
):
    write(tmp_path, "test.csv", f'{HEAD}a,1.5\nb,"{label}"\n')
    (fault,) = faults_of(lambda: read(tmp_path, "test.csv", type="regression"))
    assert fault.startswith("test.csv:3: ")
    write(tmp_path, "test.jsonl", '{"text": "a", "label": true}\n')
    (fault,) = faults_of(lambda: read(tmp_path, "test.jsonl", type="regression"))
    assert fault == "test.jsonl:1: 'label' must be one label, not 'True'"


def test_labels_that_look_alike_are_told(caplog: pytest.LogCaptureFixture):
    labels = ["on", "On ", "o\u200bn", "off", "caf\u00e9", "cafe\u0301", "x y", "x\u00a0y"]
    examples = [Example(text="t", label=label) for label in labels]
    with caplog.at_level(logging.WARNING):
        check_examples(examples, type="text-classification", labels=labels, split="train")
    assert caplog.messages == [
        "train split: labels that differ only in spaces, capitals or how letters are stored are "
        "learnt as several: 'on' and 'On ' and 'o\\u200bn'; 'caf\\xe9' and 'cafe\\u0301'; "
        "'x y' and 'x\\xa0y'"
    ]
    caplog.clear()
    check_examples(examples[3:5], type="text-classification", labels=["off", "café"], split="train")
    assert caplog.messages == []


def test_ten_thousand_labels_are_learnt_and_checked(tmp_path: Path):
    rows = "".join(f"text {number},label {number % 10_000}\n" for number in range(20_000))
    write(tmp_path, "a.csv", HEAD + rows)
    examples = read(tmp_path, "a.csv")
    labels = label_set(examples, type="text-classification")
    assert len(labels) == 10_000
    for split in ("train", "test"):
        check_examples(examples, type="text-classification", labels=labels, split=split)


# Spans


WORDS = [
    "cafe\u0301",
    "👩\u200d👩\u200d👧",
    "🇫🇮",
    "ﬁne",
    "ＡＢ",
    "أشعِل",
    "שָׁלוֹם",
    "नमस्ते",
    "한국",
    "각",
    "İx",
]


@pytest.mark.parametrize("tokenizer", [word_piece(), unigram()], ids=["WordPiece", "Unigram"])
@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_a_span_keeps_its_characters_through_a_tokenizer_that_rewrites_them(
    tokenizer: object, word: str
):
    text = f"turn on {word} in the kitchen"
    spans = (Span(start=8, end=8 + len(word), label="name"),)
    (one,) = Encoder(tokenizer, max_tokens=1000).encode(  # type: ignore[arg-type]
        [Example(text=text)], offsets=True
    )
    tags = tags_of_spans(spans, text=text, offsets=one.offsets, labels=["name"])
    assert tags.misaligned == 0
    assert spans_of_tags(tags.ids, text=text, offsets=one.offsets, labels=["name"]) == spans


# What is no plain file, and what changes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.csv")
    assert faults_of(lambda: read(tmp_path, "a.csv")) == ["a.csv: is not a file"]
    source = FileData(source="files", path="a.csv")
    assert faults_of(lambda: data_digest(source, languages=["en"], folder=tmp_path)) == [
        "a.csv: is not a file"
    ]


def test_a_file_that_changed_has_another_digest_even_with_its_size_and_time(tmp_path: Path):
    source = FileData(source="files", path="a.csv")
    write(tmp_path, "a.csv", HEAD + "a,x\nb,y\n")
    before, times = data_digest(source, languages=["en"], folder=tmp_path), (10**9, 10**9)
    os.utime(tmp_path / "a.csv", times)
    write(tmp_path, "a.csv", HEAD + "a,x\nb,z\n")
    os.utime(tmp_path / "a.csv", times)
    assert data_digest(source, languages=["en"], folder=tmp_path) != before


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"text": [{"a": 1}], "label": ["x"]}, "a.parquet:1: 'text' must be text, not"),
        ({"text": [b"a\xff"], "label": ["x"]}, "a.parquet:1: 'text' must be text, not"),
        ({"text": ["a"], "label": [{"x": [1]}]}, "a.parquet:1: 'label' must be one label, not"),
        ({"text": ["a"], "label": [[1, 2]]}, "a.parquet:1: 'label' must be one label, not"),
        ({"text": [1.5], "label": ["x"]}, "a.parquet:1: 'text' must be text, not '1.5'"),
    ],
)
def test_parquet_of_odd_types_is_refused(
    tmp_path: Path, columns: dict[str, list[object]], fault: str
):
    write_parquet(tmp_path, **columns)
    assert faults_of(lambda: read(tmp_path, "a.parquet"))[0].startswith(fault)
