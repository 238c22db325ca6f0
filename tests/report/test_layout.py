import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from composer.report.layout import count, duration, number_of, size, table_lines

CELLS = st.text(
    st.one_of(st.sampled_from("aé灯ランプ한\u0301 \u3000\n\t\x1b"), st.characters()), max_size=12
).map(str.strip)


def test_columns_line_up_under_east_asian_names():
    rows = [["label", "n", "text"], ["灯", "10", "開燈"], ["lamp", "7", "turn it on"]]
    assert table_lines(rows, right=[1]) == [
        "label   n  text",
        "灯     10  開燈",
        "lamp    7  turn it on",
    ]


@given(st.lists(st.tuples(CELLS, CELLS, st.just("|")), min_size=1, max_size=6), st.booleans())
def test_the_last_column_begins_at_the_same_place_in_every_line(
    rows: list[tuple[str, str, str]], right: bool
):
    lines = table_lines(rows, right=[1] if right else [])
    assert len(lines) == len(rows)
    assert len({cell_len(line.removesuffix("|")) for line in lines}) == 1
    assert all(line.splitlines() == [line] for line in lines)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\u2028b", r"a\u2028b"),
        ("کتاب\u200cها", None),
    ],
)
def test_what_would_move_the_cursor_is_spelt_out(cell: str, written: str | None):
    assert table_lines([[cell]]) == [written or cell]


def test_lines_end_without_spaces():
    assert table_lines([["a", ""], ["b", "long"]]) == ["a", "b  long"]


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**6, "1.0 MB"), (25 * 10**8, "2.5 GB")],
)
def test_sizes_are_written_in_readable_units(number: int, written: str):
    assert size(number) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (3725.5, "62 min 5 s")],
)
def test_times_are_written_in_minutes_and_seconds(seconds: float, written: str):
    assert duration(seconds) == written


def test_what_is_not_known_is_unknown():
    assert {count(None), size(None), duration(None)} == {"unknown"}


def test_one_is_singular():
    assert [number_of(number, "stage") for number in (0, 1, 2)] == [
        "0 stages",
        "1 stage",
        "2 stages",
    ]
