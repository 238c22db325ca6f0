"""Rows of tokens in files: what was written is read, and nothing else is used."""

from pathlib import Path

import numpy as np
import pytest

from composer.data.encode import Encoded
from composer.data.tokens import Marked, marked, open_tokens, packed, write_tokens


def row(*ids: int, second: int = 0, continues: tuple[int, ...] = ()) -> Encoded:
    """Give ids between [CLS] (2) and [SEP] (3)."""
    whole = [2, *ids, 3]
    return Encoded(
        ids=whole,
        type_ids=[second] * len(whole),
        special=[1, *(0 for _ in ids), 1],
        offsets=[],
        continues=[0, *continues, 0] if continues else [0] * len(whole),
    )


def plain(one: Marked) -> list[int]:
    return [int(number) & 0xFFFFFF for number in one]


def test_rows_are_read_as_they_were_written_in_any_order(tmp_path: Path):
    rows = [row(7, 8, 4_000_000), row(9), row(5, 6, second=1), row(5, 6, continues=(0, 1))]
    write_tokens(tmp_path / "text", map(marked, rows))
    found = open_tokens(tmp_path / "text")
    assert found is not None
    assert len(found) == 4
    assert found.rows([3, 0, 2, 1]) == [rows[3], rows[0], rows[2], rows[1]]
    assert found.lengths([(2, 4), (0, 1)]).tolist() == [4, 4, 5]


def test_ids_are_counted_with_special_tokens_and_apart(tmp_path: Path):
    write_tokens(tmp_path, map(marked, [row(7, 8), row(7)]))
    found = open_tokens(tmp_path)
    assert found is not None
    assert {id_: int(n) for id_, n in enumerate(found.counts) if n} == {2: 2, 3: 2, 7: 2, 8: 1}
    assert {id_: int(n) for id_, n in enumerate(found.special) if n} == {2: 2, 3: 2}
    assert len(found.counts) == len(found.special)


def test_no_rows_are_rows_too(tmp_path: Path):
    write_tokens(tmp_path, iter(()))
    found = open_tokens(tmp_path)
    assert found is not None
    assert len(found) == 0


@pytest.mark.parametrize("name", ["tokens.bin", "ends.bin", "tokens.json"])
@pytest.mark.parametrize("change", ["flipped", "cut", "gone"])
def test_files_with_a_byte_changed_are_not_used(tmp_path: Path, name: str, change: str):
    write_tokens(tmp_path, map(marked, [row(7, 8), row(9)]))
    file = tmp_path / name
    data = bytearray(file.read_bytes())
    if change == "flipped":
        data[len(data) // 2] ^= 1
    file.write_bytes(data[:-3] if change == "cut" else data)
    if change == "gone":
        file.unlink()
    assert open_tokens(tmp_path) is None


def test_writing_that_was_stopped_leaves_nothing_to_be_used(tmp_path: Path):
    write_tokens(tmp_path, map(marked, [row(7, 8)]))

    def stopped() -> object:
        yield marked(row(9))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(tmp_path, stopped())  # type: ignore[arg-type]
    assert open_tokens(tmp_path) is None


def test_sentences_are_joined_with_separators_up_to_a_length():
    rows = [marked(row(*ids)) for ids in ((5, 6), (7,), (8, 9), (5,))]
    assert [plain(one) for one in packed(rows, 8)] == [[2, 5, 6, 3, 7, 3], [2, 8, 9, 3, 5, 3]]
    assert [plain(one) for one in packed(rows, 100)] == [[2, 5, 6, 3, 7, 3, 8, 9, 3, 5, 3]]


def test_a_sentence_longer_than_the_length_stays_a_row_of_its_own():
    rows = [marked(row(5)), marked(row(6, 7, 8, 9, 10)), marked(row(5))]
    assert [len(one) for one in packed(rows, 5)] == [3, 7, 3]


def test_every_piece_is_in_a_packed_row_once():
    rng = np.random.Generator(np.random.PCG64(1))
    rows = [marked(row(*rng.integers(10, 99, rng.integers(1, 9)))) for _ in range(200)]
    joined = list(packed(iter(rows), 16))
    assert max(map(len, joined)) <= 16
    before = [id_ for one in rows for id_ in plain(one) if id_ != 2]
    after = [id_ for one in joined for id_ in plain(one) if id_ != 2]
    assert after == before
