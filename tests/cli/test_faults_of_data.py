"""Files with faults: exit status 2, file and row on stderr, and nothing lost in the store."""

import re
from pathlib import Path

import pytest

from tests.cli.projects import COLUMNS, ON_TINY, SHORT, STORE, well
from tests.cli.terminal import composer, published

HEAD = "utterance,intent\n"
MANY = "".join(f"turn it {verb} {n},{verb}\n" for n in range(30) for verb in ("on", "off"))
LONG = "lamp " * 80

FAULTS: dict[str, tuple[str | bytes, str]] = {
    "an empty file": ("", r"^own\.csv:1: the file is empty$"),
    "a header only": (HEAD, r"^own\.csv:1: no rows, only a header$"),
    "one class only": (
        HEAD + MANY.replace("off", "on"),
        r"^own\.csv .*every example has the label 'on'; a classifier needs two$",
    ),
    "a text that is too long": (
        f"{HEAD}{MANY}{LONG},on\n",
        r"^own\.csv:62: 82 tokens, and the backbone takes 64, .* --truncate on the command line$",
    ),
    "an empty text": (f"{HEAD}{MANY},on\n", r"^own\.csv:62: the text is empty$"),
    "a missing label": (f"{HEAD}{MANY}turn,\n", r"^own\.csv:62: the label is missing$"),
    "broken UTF-8": (
        f"{HEAD}{MANY}".encode() + b"turn \xff it,on\n",
        r"^own\.csv:62: byte 0xff is not UTF-8; save the file as UTF-8$",
    ),
    "a cell too many": (
        f"{HEAD}{MANY}turn, it,on\n",
        r"^own\.csv:62: 3 cells, and the header has 2; quote a cell that holds a comma$",
    ),
    "another column": (
        HEAD.replace("utterance", "uterance") + MANY,
        r"^own\.csv:1: no column 'utterance'; .* did you mean 'uterance'\?$",
    ),
    "semicolons": (
        (HEAD + MANY).replace(",", ";"),
        r"^own\.csv:1: no column 'utterance': the header 'utterance;intent' has no commas",
    ),
    "a spreadsheet": (b"PK\x03\x04....", r"^own\.csv: the file is compressed or a spreadsheet"),
}


def refused(folder: Path, fault: str, *arguments: str) -> str:
    """Run a command that must be refused for this fault and leave the store as it was."""
    before = published(folder / STORE)
    outcome = composer(folder, *arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(fault, outcome.err, re.MULTILINE), outcome.err
    assert published(folder / STORE) == before
    return outcome.err


def write(folder: Path, content: str | bytes) -> None:
    (folder / "own.csv").write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("name", FAULTS)
def test_training_on_a_faulty_file_is_refused(project: Path, name: str):
    content, fault = FAULTS[name]
    write(project, content)
    refused(
        project, fault, "train-task", "own", *ON_TINY, "--data", "own.csv", *COLUMNS, *SHORT
    )  # fmt: skip
    again = composer(project, "predict", "intent", "turn on the lamp")
    assert again.status == 0, again.err


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "one class only"])
def test_scoring_on_a_faulty_file_is_refused(project: Path, name: str):
    content, fault = FAULTS[name]
    write(project, content)
    refused(project, fault, "evaluate", "few", "--data", "own.csv", *COLUMNS)


def test_a_label_that_training_never_saw_is_named_with_its_row(project: Path):
    write(project, f"{HEAD}{MANY}turn it,oof\nturn it,sideways\n")
    told = refused(
        project, r"^own\.csv:62: training never saw the label 'oof'; did you mean 'off'\?$",
        "evaluate", "intent", "--data", "own.csv", *COLUMNS,
    )  # fmt: skip
    assert "own.csv:63: training never saw the label 'sideways'; known: off, on, up" in told


def test_every_faulty_row_is_told_at_once(project: Path):
    write(project, f"{HEAD}turn it on,on\n,off\nturn it up,\n")
    told = refused(project, "own", "train-task", "own", *ON_TINY, "--data", "own.csv", *COLUMNS)
    assert "own.csv:3: the text is empty\nown.csv:4: the label is missing\n" in told


def test_texts_that_are_too_long_are_cut_where_that_is_asked_for(project: Path):
    write(project, f"{HEAD}{MANY}{LONG},on\n")
    scored = ("evaluate", "few", "--data", "own.csv", *COLUMNS, "--truncate", "--json")
    assert well(project, *scored).json[0]["n"] == 61


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--data", "tran.csv"), r"^tran\.csv: no such file; did you mean 'train\.csv'\?$"),
        (("--data", "tiny"), r"^tiny: is not a file$"),
        (("--data", "home.yaml"), r"^home\.yaml: \.yaml is not read; known: \.csv, "),
        (
            ("--data", "train.csv", "--validation", "vali.csv", "--test", "tset.csv"),
            r"^tset\.csv: no such file; did you mean 'test\.csv'\?\nvali\.csv: no such file",
        ),
        (
            ("--data", "sample:assistant/intnt"),
            r"^assistant/intnt: unknown sample data; did you mean 'assistant/intent'\?$",
        ),
        (("--data", "hub:owner/name"), r"data\.task\.revision: must be a full commit"),
    ],
)
def test_data_that_is_not_there_is_refused(project: Path, arguments: tuple[str, ...], fault: str):
    refused(project, fault, "train-task", "own", *ON_TINY, *arguments)


def test_columns_without_data_are_refused(project: Path):
    refused(
        project, "Error: --text says how to read --data, which is not given",
        "fuse", "intent", "domain", "--task", "intent", "--name", "mix", "--text", "utterance",
    )  # fmt: skip
