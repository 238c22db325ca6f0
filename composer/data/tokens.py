"""Rows of token ids in files, any of which is read without the others.

    tokens.bin     4 bytes a token, row after row: its id, and marks in the highest bits
    ends.bin       8 bytes a row: how many tokens there are up to its end
    tokens.json    {"ends": "77ab…", "rows": 17000, "tokens": "5f1c…"}    digests; written last

However long the text is, what is held of it is a row at a time. The files are a stage's own, kept
until it is done, so that one that was stopped need not read and cut its text again; if a byte of
them is another, they are not used. Nothing is mapped into memory: pages that were looked at would
count as the process's own.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from composer.data.encode import Encoded

_TOKENS, _ENDS, _ABOUT = "tokens.bin", "ends.bin", "tokens.json"
_SPECIAL, _CONTINUES, _SECOND = 1 << 31, 1 << 30, 1 << 29  # marks; ids are smaller than all
_IDS = _SECOND - 1
_CHUNK = 2**20  # bytes
_HELD = 2**10  # rows that are written at a time

Marked = NDArray[np.uint32]  # a row: ids with their marks


def marked(row: Encoded) -> Marked:
    """Put what is known of each token of a row into one number."""
    ids = np.array(row.ids, dtype=np.uint32)
    ids |= np.array(row.special, dtype=np.uint32) * np.uint32(_SPECIAL)
    ids |= np.array(row.type_ids, dtype=np.uint32) * np.uint32(_SECOND)
    if row.continues:
        ids |= np.array(row.continues, dtype=np.uint32) * np.uint32(_CONTINUES)
    return ids


def packed(rows: Iterable[Marked], limit: int) -> Iterator[Marked]:
    """Join rows, each with the special tokens behind it, up to `limit` tokens.

    [CLS] a b [SEP]  [CLS] c [SEP]   ->   [CLS] a b [SEP] c [SEP]

    A row that is longer stays as it is. Rows stay in their order.
    """
    whole: list[Marked] = []
    length = 0
    for row in rows:
        rest = row[_specials_before(row) :] if whole else row
        if whole and length + len(rest) > limit:
            yield np.concatenate(whole)
            whole, length, rest = [], 0, row
        whole.append(rest)
        length += len(rest)
    if whole:
        yield np.concatenate(whole)


def _specials_before(row: Marked) -> int:
    plain = np.flatnonzero(row < _SPECIAL)
    return int(plain[0]) if len(plain) else len(row)


def write_tokens(folder: Path, rows: Iterable[Marked]) -> None:
    """Write rows, in memory for a few thousand of them.

    Args:
        folder: Is made; what was in it is written over.
        rows: In the order that they are numbered in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _ABOUT).unlink(missing_ok=True)
    of_tokens, of_ends, written, end = hashlib.sha256(), hashlib.sha256(), 0, 0
    with (folder / _TOKENS).open("wb") as tokens, (folder / _ENDS).open("wb") as ends:
        for some in _together(rows):
            stops = end + np.cumsum([len(row) for row in some], dtype=np.int64)
            for file, digest, data in (
                (tokens, of_tokens, np.concatenate(some).astype("<u4").tobytes()),
                (ends, of_ends, stops.astype("<i8").tobytes()),
            ):
                file.write(data)
                digest.update(data)
            end, written = int(stops[-1]), written + len(some)
    about = {"ends": of_ends.hexdigest(), "rows": written, "tokens": of_tokens.hexdigest()}
    (folder / _ABOUT).write_text(json.dumps(about, sort_keys=True))


def _together(rows: Iterable[Marked]) -> Iterator[list[Marked]]:
    some: list[Marked] = []
    for row in rows:
        some.append(row)
        if len(some) == _HELD:
            yield some
            some = []
    if some:
        yield some


class TokenFile:
    """The rows that `write_tokens` wrote.

    Attributes:
        counts: How often each id occurs; as long as the highest id wants.
        special: How often each id occurs as a special token.
    """

    def __init__(
        self, folder: Path, *, rows: int, counts: NDArray[np.int64], special: NDArray[np.int64]
    ) -> None:
        """Take what `open_tokens` has found."""
        self.counts, self.special = counts, special
        self._rows = rows
        self._tokens, self._ends = folder / _TOKENS, folder / _ENDS

    def __len__(self) -> int:
        """Count the rows."""
        return self._rows

    def lengths(self, ranges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
        """Give the tokens of each row in ranges of them; a range ends before its second number."""
        with self._ends.open("rb") as ends:
            return np.concatenate([np.diff(_bounds(ends, *one)) for one in ranges])

    def rows(self, numbers: Sequence[int]) -> list[Encoded]:
        """Read some rows; where their tokens stand in the text is not known any more."""
        with self._tokens.open("rb") as tokens, self._ends.open("rb") as ends:
            return [_row(tokens, *_bounds(ends, number, number + 1)) for number in numbers]


def _bounds(ends: BinaryIO, start: int, stop: int) -> NDArray[np.int64]:
    """Read where row `start` begins, and where each up to `stop` ends."""
    first = max(start - 1, 0)
    ends.seek(8 * first)
    found = np.frombuffer(ends.read(8 * (stop - first)), dtype="<i8")
    return found if start else np.concatenate([[0], found])


def _row(tokens: BinaryIO, start: int, end: int) -> Encoded:
    tokens.seek(4 * int(start))
    found = np.frombuffer(tokens.read(4 * int(end - start)), dtype="<u4")
    return Encoded(
        ids=(found & np.uint32(_IDS)).tolist(),
        type_ids=((found & np.uint32(_SECOND)) != 0).astype(int).tolist(),
        special=((found & np.uint32(_SPECIAL)) != 0).astype(int).tolist(),
        offsets=[],
        continues=((found & np.uint32(_CONTINUES)) != 0).astype(int).tolist(),
    )


def open_tokens(folder: Path) -> TokenFile | None:
    """Open what `write_tokens` wrote; None if there is nothing, or a byte of it is another."""
    try:
        about = json.loads((folder / _ABOUT).read_text())
        digests = {"ends": _digest(folder / _ENDS), "tokens": _digest(folder / _TOKENS)}
        if any(about[name] != digest for name, digest in digests.items()):
            return None
        counts, special = _looked_through(folder / _TOKENS)  # what was damaged may hold any number
        return TokenFile(folder, rows=about["rows"], counts=counts, special=special)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _looked_through(file: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count how often each id occurs, in all and as a special token."""
    counts = special = np.zeros(0, dtype=np.int64)
    with file.open("rb") as stream:
        while data := stream.read(_CHUNK):
            found = np.frombuffer(data, dtype="<u4")
            counts = _counted(found, counts)
            special = _counted(found[found >= _SPECIAL], special)
    return counts, np.pad(special, (0, len(counts) - len(special)))


def _counted(found: Marked, before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add how often each id occurs to what was counted before."""
    counts = np.bincount(found & np.uint32(_IDS), minlength=len(before))
    counts[: len(before)] += before
    return counts
