"""Read the rows of text files as exactly what is written in them, and say where they are broken.

    .csv           comma-separated, the first row names the columns; a quote in quotes is doubled
    .tsv           the same with tabs
    .jsonl         one JSON object a line; also .ndjson and .json
    .txt           one sentence a line, in a column called `text`

One pass does all of it. The loaders of `datasets` read these formats too, through pandas and
Arrow, but fill short rows, rename columns of one name, turn 007 into 7, and know no rows to
name in a fault; every file would have to be read here first to be refused rightly. They are
what Parquet and the hub are read by, and a test holds both to the same rows.

A row's number is what a spreadsheet shows: the header is 1 and blank lines count, so it is the
line's number as long as no cell holds a line break. Blank lines are no rows.
"""

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, NoReturn

from composer.data.faults import FaultList
from composer.data.paths import DataFile
from composer.data.texts import broken_byte, shortened
from composer.errors import DataError, Fault

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OPENING = ("{", "[", "[{")  # a line of JSON that is laid out over several
_PACKED = (
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"\xd0\xcf\x11\xe0",
    b"7z",
)


class Number(str):
    """A number in a JSON file, in the digits it was written with."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the file, and its cells by column."""

    number: int
    cells: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a source.

    Attributes:
        name: Of the source, which places begin with.
        columns: Names, in the order they were met.
        rows: All of them.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Row]


def read_rows(file: DataFile, faults: FaultList) -> Table:
    """Read a text file by its ending; rows that are broken are noted in `faults`, not returned.

    Raises:
        DataError: The file as a whole is not what its ending says.
    """
    try:
        with file.path.open("rb") as raw:
            refuse_binary(file.name, raw.read(8))
        with open_text(file) as stream:
            table = _read_stream(file, stream, faults)
    except OSError as error:
        raise DataError([Fault(file.name, f"cannot be read: {error.strerror}")]) from error
    if not table.columns and not len(faults):
        raise DataError([Fault(f"{file.name}:1", "the file is empty")])
    if not table.rows and not len(faults):
        raise DataError([Fault(f"{file.name}:1", "no rows, only a header")])
    return table


def open_text(file: DataFile) -> IO[str]:
    """Open a file as text; bytes that are no UTF-8 become halves of characters."""
    # "" leaves the line ends inside quoted cells as they are; None makes every end a "\n".
    newline = "" if file.ending in (".csv", ".tsv") else None
    return file.path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def _read_stream(file: DataFile, stream: IO[str], faults: FaultList) -> Table:
    match file.ending:
        case ".csv":
            return _read_separated(file.name, stream, ",", faults)
        case ".tsv":
            return _read_separated(file.name, stream, "\t", faults)
        case ".txt":
            return _read_lines(file.name, stream, faults)
        case _:
            return _read_json_lines(file.name, stream, faults)


def refuse_binary(name: str, start: bytes) -> None:
    """Refuse a file that begins like one that is no text, and say what it is.

    Raises:
        DataError: It does.
    """
    if start.startswith(_UTF16):
        raise DataError([Fault(name, "the file is UTF-16; save it as UTF-8")])
    if start.startswith(_PACKED):
        message = "the file is compressed or a spreadsheet; unpack it, or save it as CSV"
        raise DataError([Fault(name, message)])
    if start.startswith(b"PAR1"):
        raise DataError([Fault(name, "the file is Parquet; give it the ending .parquet")])
    if b"\0" in start:
        message = "the file begins with zero bytes: it is UTF-16, or no text; save it as UTF-8"
        raise DataError([Fault(name, message)])


def _read_separated(name: str, stream: IO[str], delimiter: str, faults: FaultList) -> Table:
    records = _records(name, stream, delimiter, faults)
    number, columns = next(records, (1, []))
    if len(faults):  # the header itself is broken
        return Table(name, [], [])
    if len(set(columns)) < len(columns):
        message = f"two columns are called {shortened(_first_repeated(columns))}"
        raise DataError([Fault(f"{name}:{number}", message)])
    rows = []
    for number, cells in records:
        if len(cells) == len(columns):
            rows.append(Row(number, dict(zip(columns, cells, strict=True))))
            continue
        hint = "; quote a cell that holds a comma" if delimiter == "," else ""
        message = f"{_count(len(cells), 'cell')}, and the header has {len(columns)}{hint}"
        faults.add(f"{name}:{number}", message)
    return Table(name, columns, rows)


def _records(
    name: str, stream: IO[str], delimiter: str, faults: FaultList
) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add(f"{name}:{number}", _quoting_fault(error))
            if "limit" in str(error):  # the reader stands inside the cell
                return
            continue
        broken = next((byte for byte in map(broken_byte, cells) if byte is not None), None)
        if broken is not None:
            faults.add(f"{name}:{number}", utf8_fault(broken))
        elif cells:
            yield number, cells


def _quoting_fault(error: csv.Error) -> str:
    if "limit" in str(error):
        limit = csv.field_size_limit()
        return f"a cell of more than {limit:,} characters; is a quote in it never closed?"
    if "unexpected end" in str(error):
        return "a quote opens in this row and is never closed"
    return 'a quoted cell goes on after its closing quote; write a quote inside it twice: ""'


def _read_json_lines(name: str, stream: IO[str], faults: FaultList) -> Table:
    columns: dict[str, None] = {}
    rows = []
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        cells = _object_in(line.rstrip("\n"))
        if isinstance(cells, str):
            faults.add(f"{name}:{number}", cells)
            if line.strip() in _OPENING or line.startswith("["):
                break  # every line would be a fault of this kind
            continue
        columns.update(dict.fromkeys(cells))
        rows.append(Row(number, cells))
    return Table(name, list(columns), rows)


def _object_in(line: str) -> dict[str, object] | str:
    """Read a line of JSON, or say what is wrong with it."""
    broken = broken_byte(line)
    if broken is not None:
        return utf8_fault(broken)
    try:
        value = parse_json(line)
    except json.JSONDecodeError as error:
        hint = "; write each object on one line" if line.strip() in _OPENING else ""
        return f"not JSON: {error.msg} at column {error.colno}{hint}"
    except (ValueError, RecursionError) as error:
        return f"not JSON that is read here: {error}"
    if isinstance(value, list):
        return "a JSON array; write each of its objects on a line of its own"
    return value if isinstance(value, dict) else "not a JSON object: {...}"


def parse_json(text: str) -> object:
    """Read JSON as it is written: numbers keep their digits, and no key is given twice.

    Raises:
        ValueError: It is no JSON, or holds what JSON does not have.
    """
    return json.loads(
        text,
        parse_int=Number,
        parse_float=Number,
        parse_constant=_refuse_constant,
        object_pairs_hook=_refuse_twice,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = _first_repeated([name for name, _ in pairs])
        raise ValueError(f"{shortened(twice)} is given twice")
    return found


def _first_repeated(names: Sequence[str]) -> str:
    counts = Counter(names)
    return next(name for name in names if counts[name] > 1)


def _read_lines(name: str, stream: IO[str], faults: FaultList) -> Table:
    rows = []
    for number, line in enumerate(stream, start=1):
        broken = broken_byte(line)
        if broken is not None:
            faults.add(f"{name}:{number}", utf8_fault(broken))
        elif line.strip():
            rows.append(Row(number, {"text": line.removesuffix("\n")}))
    return Table(name, ["text"] if rows else [], rows)


def utf8_fault(byte: int) -> str:
    """Say that a byte is no UTF-8."""
    return f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
