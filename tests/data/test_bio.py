import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.data.bio import IGNORED, spans_of_tags, tag_names, tags_of_spans
from composer.data.examples import Span

LABELS = ("area", "name")
O, B_AREA, I_AREA, B_NAME, I_NAME = range(5)  # noqa: E741

Offsets = list[tuple[int, int]]


def spans(*found: tuple[int, int, str]) -> tuple[Span, ...]:
    return tuple(Span(start=start, end=end, label=label) for start, end, label in found)


def test_tags_stand_in_the_order_of_the_label_set():
    assert tag_names(LABELS) == ("O", "B-area", "I-area", "B-name", "I-name")


@pytest.mark.parametrize(
    ("text", "offsets", "found", "ids"),
    [
        ("bed lamp on", [(0, 3), (4, 8), (9, 11)], spans((0, 8, "name")), [B_NAME, I_NAME, O]),
        ("bed lamp on", [(0, 3), (3, 8), (8, 11)], spans((0, 8, "name")), [B_NAME, I_NAME, O]),
        ("bed lamp", [(0, 3), (3, 4), (4, 8)], spans((0, 8, "name")), [B_NAME, IGNORED, I_NAME]),
        ("ab", [(0, 0), (0, 1), (1, 2), (0, 0)], spans((0, 1, "area"), (1, 2, "area")),
         [IGNORED, B_AREA, B_AREA, IGNORED]),
        ("🛋 x", [(0, 1), (0, 1), (0, 1), (1, 3)], spans((0, 1, "area")),
         [B_AREA, I_AREA, I_AREA, O]),
        ("灯光", [(0, 1), (0, 2)], spans((0, 2, "name")), [B_NAME, I_NAME]),
        ("", [], (), []),
    ],
    ids=["words", "leading spaces", "a space of its own", "neighbours", "bytes", "chinese", "no"],
)  # fmt: skip
def test_spans_and_tags_say_the_same(
    text: str, offsets: Offsets, found: tuple[Span, ...], ids: list[int]
):
    tags = tags_of_spans(found, text=text, offsets=offsets, labels=LABELS)
    assert (tags.ids, tags.misaligned) == (ids, 0)
    assert spans_of_tags(ids, text=text, offsets=offsets, labels=LABELS) == found


@pytest.mark.parametrize(
    ("found", "ids", "read"),
    [
        (spans((1, 7, "name")), [B_NAME, I_NAME, O], spans((0, 8, "name"))),
        (spans((0, 2, "area"), (2, 8, "name")), [B_AREA, B_NAME, O],
         spans((0, 3, "area"), (4, 8, "name"))),
        (spans((0, 1, "area"), (1, 3, "name")), [B_AREA, O, O], spans((0, 3, "area"))),
        (spans((11, 13, "name")), [O, O, O], ()),
    ],
    ids=["inside tokens", "a shared token", "a token of two spans", "cut off"],
)  # fmt: skip
def test_spans_that_tokens_cannot_say_take_the_smallest_cover(
    found: tuple[Span, ...], ids: list[int], read: tuple[Span, ...]
):
    text, offsets = "bed lamp on tv", [(0, 3), (4, 8), (9, 11)]
    tags = tags_of_spans(found, text=text, offsets=offsets, labels=LABELS)
    assert tags.ids == ids
    assert tags.misaligned >= 1
    assert spans_of_tags(ids, text=text, offsets=offsets, labels=LABELS) == read


def test_spans_are_trimmed_of_spaces():
    tags = tags_of_spans(
        spans((3, 9, "name")), text="bed lamp on", offsets=[(0, 3), (4, 8), (9, 11)], labels=LABELS
    )
    assert (tags.ids, tags.misaligned) == ([O, B_NAME, O], 0)


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        ([I_NAME, I_NAME, O], spans((0, 8, "name"))),
        ([B_AREA, I_NAME, I_NAME], spans((0, 3, "area"), (4, 11, "name"))),
        ([B_NAME, B_NAME, I_NAME], spans((0, 3, "name"), (4, 11, "name"))),
        ([B_NAME, O, I_NAME], spans((0, 3, "name"), (9, 11, "name"))),
        ([IGNORED, IGNORED, IGNORED], ()),
    ],
)
def test_predicted_tags_are_read_as_the_conll_scorer_does(ids: list[int], read: tuple[Span, ...]):
    offsets = [(0, 3), (4, 8), (9, 11)]
    assert spans_of_tags(ids, text="bed lamp on", offsets=offsets, labels=LABELS) == read


def test_tags_of_special_tokens_and_of_spaces_do_not_count():
    offsets = [(0, 0), (0, 3), (3, 4), (4, 8), (0, 0)]
    ids = [B_AREA, B_NAME, O, I_NAME, I_NAME]
    read = spans_of_tags(ids, text="bed lamp", offsets=offsets, labels=LABELS)
    assert read == spans((0, 8, "name"))


def test_bytes_of_one_character_are_one_span_at_most():
    offsets = [(0, 1), (0, 1), (0, 1), (1, 2)]
    ids = [B_NAME, B_NAME, B_AREA, I_AREA]
    read = spans_of_tags(ids, text="🛋x", offsets=offsets, labels=LABELS)
    assert read == spans((0, 1, "name"), (1, 2, "area"))


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[str, Offsets, tuple[Span, ...]]:
    """A text, tokens that may hold the space before them, and spans of whole tokens."""
    words = draw(st.lists(st.text("ab灯é", min_size=1, max_size=4), min_size=1, max_size=12))
    text, offsets, cores = "", [(0, 0)], []
    for word in words:
        space = draw(st.sampled_from(["", " "])) if text else ""
        start = len(text) + len(space)
        kept = draw(st.booleans())
        offsets.append((start - len(space) * kept, start + len(word)))
        cores.append((start, start + len(word)))
        text += space + word
    borders = sorted(draw(st.sets(st.integers(0, len(words)), max_size=6)))
    pairs = zip(borders[::2], borders[1::2], strict=False)
    found = [
        (cores[left][0], cores[right - 1][1], draw(st.sampled_from(LABELS)))
        for left, right in pairs
    ]
    return text, [*offsets, (0, 0)], spans(*found)


@given(tokenised())
def test_spans_of_whole_tokens_come_back(case: tuple[str, Offsets, tuple[Span, ...]]):
    text, offsets, found = case
    tags = tags_of_spans(found, text=text, offsets=offsets, labels=LABELS)
    assert tags.misaligned == 0
    assert spans_of_tags(tags.ids, text=text, offsets=offsets, labels=LABELS) == found


@given(tokenised(), st.data())
def test_any_prediction_gives_spans_that_could_be_labels(
    case: tuple[str, Offsets, tuple[Span, ...]], data: st.DataObject
):
    text, offsets, _ = case
    ids = data.draw(st.lists(st.integers(0, 4), min_size=len(offsets), max_size=len(offsets)))
    read = spans_of_tags(ids, text=text, offsets=offsets, labels=LABELS)
    assert all(span.start < span.end <= len(text) for span in read)
    assert all(before.end <= after.start for before, after in zip(read, read[1:], strict=False))
    assert all(text[span.start : span.end].strip() == text[span.start : span.end] for span in read)
