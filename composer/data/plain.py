"""Plain text, sentence after sentence, in memory that does not grow with the text.

A file of text (`.txt`) is read a line at a time, whatever its size. Splits are those of
`composer.data.splits`: which split a sentence belongs to follows from its own hash, so equal
sentences share one, and nothing of the others need be known. Only a text of few different
sentences is looked at as a whole, as one of them may have to make up a split.

Other sources are read as they are for tasks, whole.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from composer.data.columns import choose_columns
from composer.data.examples import Example
from composer.data.faults import FaultList
from composer.data.paths import DataFile, source_files
from composer.data.rows import open_text, refuse_binary, utf8_fault
from composer.data.sources import read_examples
from composer.data.splits import HELD_OUT, held_out, split_of
from composer.data.tasks import check_examples
from composer.data.texts import MAX_CHARACTERS, broken_byte, text_fault
from composer.errors import DataError, Fault
from composer.recipe.grammar.data import DataSource, FileData, Split

FEW = 1000  # different sentences: with more, no split is empty (0.9^1000 is 10^-46)


def read_sentences(
    source: DataSource, *, language: str, split: Split, folder: Path, outside: bool = False
) -> Iterator[Example]:
    """Give the sentences of one split of one language, in the order of the source.

    Args:
        source: Where they are.
        language: Replaces `$language` in paths and configurations.
        split: Which of them.
        folder: The recipe's, which relative paths start from.
        outside: Whether files may lie outside `folder`.

    Raises:
        DataError: Whatever is wrong with the source; of a file of text once it is read to its end.
    """
    if isinstance(source, FileData):
        files = source_files(source, language=language, folder=folder, outside=outside)
        file = files.get(split, files["train"])
        if file.ending == ".txt":
            _check_columns(source, file)
            whole = split in files and split != "train"
            fractions = {part: share for part, share in HELD_OUT.items() if part not in files}
            belongs = _all if whole else _membership(file, split, fractions)
            yield from _of_split(file, split, belongs)
            return
    examples = read_examples(
        source, type=None, language=language, split=split, folder=folder, outside=outside
    )
    check_examples(examples, type=None, labels=(), split=split)
    yield from examples


def _of_split(file: DataFile, split: Split, belongs: Callable[[str], bool]) -> Iterator[Example]:
    faults, found, lines = FaultList(), 0, 0
    for example in _examples(file, faults):
        lines += 1
        if belongs(example.text):
            found += 1
            yield example
    faults.raise_any()
    if not lines:
        raise DataError([Fault(f"{file.name}:1", "the file is empty")])
    if not found:
        message = (
            f"too few different texts to hold a {split} split out of; "
            f"give it a file of its own: path: {{train: ..., {split}: ...}}"
        )
        raise DataError([Fault(file.name, message)])


def _all(_: str) -> bool:
    return True


def _membership(
    file: DataFile, split: Split, fractions: dict[Split, float]
) -> Callable[[str], bool]:
    """Say how to tell a split's sentences: by their hash, or of few by looking at all of them."""
    texts: dict[str, None] = {}
    for example in _examples(file, FaultList()):
        texts[example.text] = None
        if len(texts) > FEW:
            return lambda text: split_of(text, fractions) == split
    few = held_out([Example(text=text) for text in texts], split, fractions)
    return {example.text for example in few}.__contains__


def _check_columns(source: FileData, file: DataFile) -> None:
    faults = FaultList()
    choose_columns(source.columns, type=None, found=["text"], place=f"{file.name}:1", faults=faults)
    faults.raise_any()


def _examples(file: DataFile, faults: FaultList) -> Iterator[Example]:
    """Read the lines of a file that may be learnt from; what is wrong with others is noted."""
    try:
        with file.path.open("rb") as raw:
            refuse_binary(file.name, raw.read(8))
        with open_text(file) as stream:
            for number, line in enumerate(_lines(stream), start=1):
                place = f"{file.name}:{number}"
                fault = line if isinstance(line, _TooLong) else _line_fault(line)
                if fault is not None:
                    faults.add(place, str(fault))
                elif isinstance(line, str) and line:
                    yield Example(text=line, place=place)
    except OSError as error:
        raise DataError([Fault(file.name, f"cannot be read: {error.strerror}")]) from error


class _TooLong(int):
    """The length of a line that is not kept, in characters."""

    def __str__(self) -> str:
        return f"a text of {int(self):,} characters; at most {MAX_CHARACTERS:,} are read"


def _lines(stream: IO[str]) -> Iterator[str | _TooLong]:
    """Give each line without its end; of a line that is too long nothing but its length."""
    while line := stream.readline(MAX_CHARACTERS + 1):
        if line.endswith("\n") or len(line) <= MAX_CHARACTERS:
            text = line.removesuffix("\n")
            yield text if text.strip() else ""
            continue
        length = len(line)
        while not line.endswith("\n") and (line := stream.readline(MAX_CHARACTERS + 1)):
            length += len(line.removesuffix("\n"))
        yield _TooLong(length)


def _line_fault(line: str) -> str | None:
    if not line:
        return None
    broken = broken_byte(line)
    return text_fault(line) if broken is None else utf8_fault(broken)
