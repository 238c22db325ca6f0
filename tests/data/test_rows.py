from pathlib import Path

import pytest

from composer.data.examples import Example, Span
from composer.errors import DataError
from tests.data.files import faults_of, found, read, write

LABELS = ["NA", "None", "null", "007", "1.0", "true", "1e5", "nan", "-", "ünï"]


def test_labels_of_a_csv_file_stay_as_they_are_written(tmp_path: Path):
    write(tmp_path, "a.csv", "text,label\n" + "".join(f"t,{label}\n" for label in LABELS))
    assert [example.label for example in read(tmp_path, "a.csv")] == LABELS


def test_rows_are_numbered_as_in_a_spreadsheet(tmp_path: Path):
    write(tmp_path, "a.csv", 'text,label\none,x\n"two\nlines",y\n\nfour,z\n')
    assert found(read(tmp_path, "a.csv")) == [
        ("one", "x", "a.csv:2"),
        ("two\nlines", "y", "a.csv:3"),
        ("four", "z", "a.csv:5"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftext,label\na,x\nb,y\n",
        b"text,label\r\na,x\r\nb,y",
        b"text,label\ra,x\rb,y\r",
        b"text,label\na,x\r\nb,y\r",
        b'"text","label"\n"a","x"\n"b","y"\n',
        b"label,more,text\nx,1,a\ny,2,b\n",
    ],
    ids=["byte-order mark", "windows", "old mac", "mixed", "quoted", "other columns"],
)
def test_a_csv_file_may_be_written_in_many_ways(tmp_path: Path, content: bytes):
    write(tmp_path, "a.csv", content)
    assert found(read(tmp_path, "a.csv")) == [("a", "x", "a.csv:2"), ("b", "y", "a.csv:3")]


def test_tabs_separate_a_tsv_file(tmp_path: Path):
    write(tmp_path, "a.tsv", 'text\tlabel\na, b\tx\n"a ""b"""\ty\n')
    assert [example.text for example in read(tmp_path, "a.tsv")] == ["a, b", 'a "b"']


@pytest.mark.parametrize("ending", ["json", "jsonl", "ndjson", "JSONL"])
def test_json_lines_keep_labels_as_they_are_written(tmp_path: Path, ending: str):
    lines = [f'{{"text": "t", "label": {label}}}' for label in ("1.0", "7e0", '"NA"', "true")]
    write(tmp_path, f"a.{ending}", "\n\n".join(lines))
    assert [example.label for example in read(tmp_path, f"a.{ending}")] == [
        "1.0",
        "7e0",
        "NA",
        "true",
    ]


def test_a_line_of_plain_text_is_an_example(tmp_path: Path):
    write(tmp_path, "a.txt", "turn on\r\n\n  \nshe said\u2028 'no'\x85\nlast")
    examples = read(tmp_path, "a.txt", type=None)
    assert found(examples) == [
        ("turn on", None, "a.txt:1"),
        ("she said\u2028 'no'\x85", None, "a.txt:4"),
        ("last", None, "a.txt:5"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "أشعل الضوء",
        "שלום עולם",
        "cafe\u0301",
        "打开厨房的灯",
        "👩‍👩‍👧 hi",
        "\u202eabc\u202c",
        " a ",
        "'",
        '"',
    ],
    ids=ascii,
)
def test_text_of_any_script_comes_back_as_it_is(tmp_path: Path, text: str):
    doubled = text.replace('"', '""')
    write(tmp_path, "a.csv", f'text,label\n"{doubled}",x\n')
    assert read(tmp_path, "a.csv")[0].text == text


def test_plain_text_is_read_out_of_a_column_too(tmp_path: Path):
    write(tmp_path, "a.csv", "sentence,label\nhi,\n")
    assert found(read(tmp_path, "a.csv", type=None, text="sentence")) == [("hi", None, "a.csv:2")]


def test_a_column_called_pair_is_the_second_text(tmp_path: Path):
    write(tmp_path, "a.csv", "text,pair,label\na,b,4.5\n")
    expected = Example(text="a", pair="b", label=4.5, place="a.csv:2")
    assert read(tmp_path, "a.csv", type="regression") == [expected]


def test_plain_text_has_a_second_text_only_if_it_is_named(tmp_path: Path):
    write(tmp_path, "a.csv", "text,pair\na,b\n")
    assert read(tmp_path, "a.csv", type=None)[0].pair is None
    assert read(tmp_path, "a.csv", type=None, pair="pair")[0].pair == "b"


def test_columns_are_found_by_the_names_that_are_given(tmp_path: Path):
    write(tmp_path, "a.csv", "utterance,intent\nhi,greet\n")
    examples = read(tmp_path, "a.csv", text="utterance", label="intent")
    assert found(examples) == [("hi", "greet", "a.csv:2")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "a b", "spans": [{"start": 2, "end": 3, "label": "x", "n": 1}]}'),
        ("a.csv", 'text,spans\na b,"[{""start"": 2, ""end"": 3, ""label"": ""x""}]"\n'),
        ("b.jsonl", '{"words": ["a", "b"], "tags": ["O", "B-x"]}'),
        ("b.csv", "words,tags\na b,O B-x\n"),
    ],
)
def test_spans_are_read_from_characters_or_from_words(tmp_path: Path, name: str, content: str):
    write(tmp_path, name, content)
    (example,) = read(tmp_path, name, type="token-classification")
    assert (example.text, example.spans) == ("a b", (Span(start=2, end=3, label="x"),))


def test_an_inside_tag_that_continues_nothing_begins_a_span(tmp_path: Path):
    row = '{"w": ["dim", "bed", "lamp", "tv", "set"], "t": ["I-a", "I-b", "I-b", "B-b", "I-c"]}'
    write(tmp_path, "a.jsonl", row)
    (example,) = read(tmp_path, "a.jsonl", type="token-classification", words="w", tags="t")
    assert [(example.text[span.start : span.end], span.label) for span in example.spans] == [
        ("dim", "a"),
        ("bed lamp", "b"),
        ("tv", "b"),
        ("set", "c"),
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"text,label\nok,x\ncaf\xe9,y\n", "a.csv:3: byte 0xe9 is not UTF-8; save the file as"),
        (b"text,lab\xffel\nok,x\n", "a.csv:1: byte 0xff is not UTF-8"),
        (b"", "a.csv:1: the file is empty"),
        (b"\n\r\n\n", "a.csv:1: the file is empty"),
        (b"\xef\xbb\xbf", "a.csv:1: the file is empty"),
        (b"text,label\n", "a.csv:1: no rows, only a header"),
        (b"text,text\na,b\n", "a.csv:1: two columns are called 'text'"),
        (b"text,label\na,x\nb\n", "a.csv:3: 1 cell, and the header has 2; quote a cell that"),
        (b"text,label\na,x\nb,y,z\n", "a.csv:3: 3 cells, and the header has 2; quote a cell"),
        (b"text,label\na,x\n,y\n", "a.csv:3: the text is empty"),
        (b"text,label\na,x\n \t ,y\n", "a.csv:3: the text is empty"),
        (b"text,label\na,x\n\xe2\x80\x8b\x07,y\n", "a.csv:3: the text holds nothing that can be"),
        (b"text,label\na,x\nb,\n", "a.csv:3: the label is missing"),
        (b'text,label\n"a" b,x\n', "a.csv:2: a quoted cell goes on after its closing quote"),
        (b'text,label\na,x\n"b,y\n\n', "a.csv:3: a quote opens in this row and is never closed"),
        (b"text,label\n" + b"a" * 100_001 + b",x\n", "a.csv:2: a text of 100,001 characters; at"),
        (b"text,label\n" + b"a" * 10**7 + b",x\n", "a.csv:2: a cell of more than 131,072 char"),
        (b"text;label\na;x\n", "a.csv:1: no column 'text': the header 'text;label' has no comm"),
        ("text,label\na,b\n".encode("utf-16"), "a.csv: the file is UTF-16; save it as UTF-8"),
        (b"PK\x03\x04abcdefgh", "a.csv: the file is compressed or a spreadsheet"),
    ],
    ids=lambda value: ascii(value[:30]) if isinstance(value, bytes) else "",
)
def test_a_broken_csv_file_is_refused_with_file_and_row(tmp_path: Path, content: bytes, fault: str):
    write(tmp_path, "a.csv", content)
    assert faults_of(lambda: read(tmp_path, "a.csv"))[0].startswith(fault)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": "b", "label": "y"', "not JSON: Expecting ',' delimiter at column 27"),
        ('["b", "y"]', "a JSON array; write each of its objects on a line of its own"),
        ('"b"', "not a JSON object: {...}"),
        ('{"text": "b"}', "the label is missing"),
        ('{"text": "b", "label": null}', "the label is missing"),
        ('{"label": "y"}', "'text' must be text, not nothing"),
        ('{"text": 12, "label": "y"}', "'text' must be text, not 12"),
        ('{"text": ["b"], "label": "y"}', "'text' must be text, not"),
        ('{"text": "b", "label": ["y"]}', "'label' must be one label, not"),
        ('{"text": "b", "label": NaN}', "not JSON that is read here: NaN is not a JSON value"),
        ('{"text": "b", "text": "c"}', "not JSON that is read here: 'text' is given twice"),
        ('{"text": ' + "[" * 100_000, "not JSON that is read here: maximum recursion depth"),
        ('{"text": "\\ud83d", "label": "y"}', "half a character, U+D83D, which no text may hold"),
        ('{"text": "b", "label": "\\ud83d"}', "half a character in the label"),
    ],
    ids=lambda value: value[:30],
)
def test_a_broken_line_of_json_is_refused_with_its_row(tmp_path: Path, line: str, fault: str):
    write(tmp_path, "a.jsonl", '{"text": "a", "label": "x"}\n' + line + "\n")
    assert faults_of(lambda: read(tmp_path, "a.jsonl"))[0].startswith(f"a.jsonl:2: {fault}")


@pytest.mark.parametrize("content", ['[\n{"text": "a"},\n{}]', '{\n"text": "a"\n}'])
def test_json_laid_out_over_lines_is_one_fault(tmp_path: Path, content: str):
    write(tmp_path, "a.json", content)
    (fault,) = faults_of(lambda: read(tmp_path, "a.json"))
    assert fault.startswith("a.json:1: not JSON")
    assert fault.endswith("write each object on one line")


@pytest.mark.parametrize("number", ["1,5", "nan", "inf", "1e999", "1_000", "١٢", "0x10", "five"])
def test_a_regression_needs_finite_numbers(tmp_path: Path, number: str):
    write(tmp_path, "a.csv", f'text,label\na," +1.5e1 "\nb,"{number}"\n')
    (fault,) = faults_of(lambda: read(tmp_path, "a.csv", type="regression"))
    assert fault == f"a.csv:3: {number!r} is not a finite number, such as 1.5"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"words": ["a"], "tags": ["O", "O"]}', "1 words and 2 tags; there is one tag a word"),
        ('{"words": ["a"], "tags": ["X-n"]}', "the tag 'X-n' is not O, B-... or I-..."),
        ('{"words": ["a"], "tags": ["B-"]}', "the tag 'B-' is not O, B-... or I-..."),
        ('{"words": ["a", " "], "tags": ["O", "O"]}', "a word is empty"),
        ('{"words": [], "tags": []}', "the text is empty"),
        ('{"words": {"a": 1}, "tags": ["O"]}', "'words' must be a list of text, not"),
        ('{"words": ["a"]}', "'tags' must be a list of text, not nothing"),
    ],
)
def test_faulty_tags_are_refused_with_their_row(tmp_path: Path, row: str, fault: str):
    write(tmp_path, "a.jsonl", '{"words": ["a"], "tags": ["O"]}\n' + row)
    faults = faults_of(lambda: read(tmp_path, "a.jsonl", type="token-classification"))
    assert faults[0].startswith(f"a.jsonl:2: {fault}")


@pytest.mark.parametrize(
    "spans",
    ["null", "1", '"[{"', '[{"start": 0, "end": 1}]', '[{"start": 0.5, "end": 1, "label": "x"}]',
     '[{"start": -1, "end": 1, "label": "x"}]', "[[0, 1]]", '[{"start": true, "end": 1}]'],
)  # fmt: skip
def test_spans_of_another_form_are_refused(tmp_path: Path, spans: str):
    write(tmp_path, "a.jsonl", f'{{"text": "a", "spans": {spans}}}')
    (fault,) = faults_of(lambda: read(tmp_path, "a.jsonl", type="token-classification"))
    assert fault.startswith('a.jsonl:1: \'spans\' must be a list like [{"start": 0, "end": 4')


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path):
    write(tmp_path, "a.csv", "utterance,intent\na,x\nb,y\n")
    assert faults_of(lambda: read(tmp_path, "a.csv", text="uterance")) == [
        "a.csv:1: no column 'uterance'; the columns are: utterance, intent; "
        "did you mean 'utterance'?",
        "a.csv:1: no column 'label'; the columns are: utterance, intent; "
        "say which one it is, by columns: {label: ...} or --label",
    ]


def test_a_column_that_differs_by_a_space_or_a_capital_is_pointed_at(tmp_path: Path):
    write(tmp_path, "a.csv", "Text, label\na,x\n")
    assert [fault.split("; ")[2] for fault in faults_of(lambda: read(tmp_path, "a.csv"))] == [
        "did you mean 'Text'?",
        "did you mean ' label'?",
    ]


def test_all_faults_are_told_at_once_in_the_order_of_rows(tmp_path: Path):
    write(tmp_path, "a.csv", b"text,label\n,x\nb\nc,\n\xff,y\n,\n")
    assert [fault.split(" ")[0] for fault in faults_of(lambda: read(tmp_path, "a.csv"))] == [
        "a.csv:2:",
        "a.csv:3:",
        "a.csv:4:",
        "a.csv:5:",
        "a.csv:6:",
        "a.csv:6:",
    ]


def test_of_very_many_faults_the_first_are_shown_and_the_rest_counted(tmp_path: Path):
    write(tmp_path, "a.csv", "text,label\n" + ",x\n" * 50)
    faults = faults_of(lambda: read(tmp_path, "a.csv"))
    assert len(faults) == 21
    assert faults[-1] == "a.csv:22: and 30 more faults"


def test_plain_text_files_hold_no_labels(tmp_path: Path):
    write(tmp_path, "a.txt", "hi\n")
    with pytest.raises(DataError, match=r"a\.txt: plain text has no labels; regression reads"):
        read(tmp_path, "a.txt", type="regression")
