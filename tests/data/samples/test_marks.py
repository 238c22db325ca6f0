from hypothesis import given
from hypothesis import strategies as st

from composer.data.samples.marks import Mark, pattern_of, tidied

texts = st.text(alphabet="ab \t中灯", max_size=20)


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, Mark]:
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    return text, Mark(start, draw(st.integers(start, len(text))), "name")


@given(marked())
def test_a_tidied_sentence_has_single_spaces_and_the_same_words(case: tuple[str, Mark]):
    text, _ = tidied(case[0], [])
    assert text.split() == case[0].split()
    assert text == " ".join(text.split())


@given(marked())
def test_a_mark_stays_on_its_words(case: tuple[str, Mark]):
    before, mark = case
    inside = before[mark.start : mark.end]
    text, (moved,) = tidied(before, [mark])
    if inside.strip():
        assert text[moved.start : moved.end] == " ".join(inside.split())
    else:
        assert moved.start >= moved.end


@given(marked())
def test_in_chinese_only_spaces_between_other_letters_stay(case: tuple[str, Mark]):
    before, mark = case
    text, (moved,) = tidied(before, [mark], unspaced=True)
    assert text.replace(" ", "") == "".join(before.split())
    assert not any(pair in text for pair in ("中 ", " 中", "灯 ", " 灯"))
    if before[mark.start : mark.end].strip():
        inside = text[moved.start : moved.end].replace(" ", "")
        assert inside == "".join(before[mark.start : mark.end].split())


def test_a_pattern_has_the_slots_in_place_of_the_names():
    marks = [Mark(0, 4, "name"), Mark(8, 11, "color")]
    assert pattern_of("lamp to red", marks) == "{name} to {color}"
