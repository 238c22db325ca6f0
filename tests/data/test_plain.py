"""Plain text is read a line at a time, and split as everything else is."""

import tracemalloc
from pathlib import Path

import pytest

from composer.data import plain
from composer.data.plain import read_sentences
from composer.data.sources import read_examples
from composer.errors import DataError
from composer.recipe.grammar.data import Columns, FileData, Split, SplitPaths

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def source(path: str | SplitPaths = "$language.txt", **more: object) -> FileData:
    return FileData(source="files", path=path, **more)  # type: ignore[arg-type]


def read(folder: Path, split: Split, of: FileData | None = None) -> list[tuple[str, str]]:
    found = read_sentences(of or source(), language="de", split=split, folder=folder)
    return [(one.text, one.place) for one in found]


def whole(folder: Path, split: Split, of: FileData | None = None) -> list[tuple[str, str]]:
    found = read_examples(of or source(), type=None, language="de", split=split, folder=folder)
    return [(one.text, one.place) for one in found]


@pytest.mark.parametrize("lines", [3, 40, 3000])
@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_those_of_text_that_is_read_whole(tmp_path: Path, lines: int, split: Split):
    text = [f"satz {number * 7 % max(2, lines // 2)}" for number in range(lines)]
    (tmp_path / "de.txt").write_text("\n".join([*text, "", "  ", "letzter satz"]) + "\r\n")
    assert read(tmp_path, split) == whole(tmp_path, split)


def test_equal_sentences_share_a_split_and_every_sentence_is_in_one(tmp_path: Path):
    lines = [f"satz {number}" for number in range(4000)] * 2
    (tmp_path / "de.txt").write_text("\n".join(lines))
    parts = [{text for text, _ in read(tmp_path, split)} for split in SPLITS]
    assert set().union(*parts) == set(lines)
    assert sum(map(len, parts)) == 4000


def test_a_file_a_split_is_read_whole(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {n}\n" for n in range(30)))
    of = source(SplitPaths(train="a.txt", validation="b.txt"))
    assert len(read(tmp_path, "validation", of)) == 30
    for split in SPLITS:
        assert read(tmp_path, split, of) == whole(tmp_path, split, of)


def test_other_formats_are_read_as_they_are_for_tasks(tmp_path: Path):
    (tmp_path / "de.csv").write_text("text\n" + "".join(f"satz {n}\n" for n in range(60)))
    of = source("$language.csv")
    assert read(tmp_path, "train", of) == whole(tmp_path, "train", of)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", r"de\.txt:1: the file is empty"),
        (b"\n\n", r"de\.txt:1: the file is empty"),
        (b"gut\ncaf\xe9\n", r"de\.txt:2: byte 0xe9 is not UTF-8"),
        (b"gut\nnull \0 byte\n", r"de\.txt:2: a zero byte"),
        (b"gut\n" + 200_001 * b"x" + b"\nende\n", r"de\.txt:2: a text of 200,001 characters"),
        (b"PK\x03\x04 und mehr", r"the file is compressed"),
        (b"ein satz\n", "too few different texts to hold a validation split out of"),
    ],
)
def test_what_no_text_may_hold_is_told_with_its_line(tmp_path: Path, content: bytes, fault: str):
    (tmp_path / "de.txt").write_bytes(content)
    with pytest.raises(DataError, match=fault):
        read(tmp_path, "validation")


def test_all_faults_are_told_at_once(tmp_path: Path):
    (tmp_path / "de.txt").write_bytes(b"a\xff\ngut\nb\xff\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path, "train")
    assert [fault.place for fault in caught.value.faults] == ["de.txt:1", "de.txt:3"]


def test_a_column_that_plain_text_has_not_is_told(tmp_path: Path):
    (tmp_path / "de.txt").write_text("ein satz\n")
    with pytest.raises(DataError, match="no column 'utterance'"):
        read(tmp_path, "train", source(columns=Columns(text="utterance")))


def test_a_line_without_an_end_is_not_held(tmp_path: Path):
    (tmp_path / "de.txt").write_text("x" * 20_000_000)
    tracemalloc.start()
    with pytest.raises(DataError, match="a text of 20,000,000 characters"):
        read(tmp_path, "train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_what_is_held_does_not_grow_with_the_text(tmp_path: Path):
    def peak(lines: int) -> int:
        with (tmp_path / "de.txt").open("w") as file:
            file.writelines(f"satz nummer {number} von vielen\n" for number in range(lines))
        tracemalloc.start()
        count = sum(1 for _ in read_sentences(source(), language="de", split="train",
                                              folder=tmp_path))  # fmt: skip
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count > 0.7 * lines
        return held

    few = peak(2 * plain.FEW)
    assert peak(10 * plain.FEW) < 1.2 * few
