import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.recipe.grammar.composition import (
    LANGUAGE,
    MAX_CHARACTERS,
    MAX_DEPTH,
    NONE,
    RESERVED,
    Average,
    Composition,
    CompositionError,
    Fuse,
    Gate,
    Mixture,
    Stack,
    adapter_names,
    bind,
    holds_fusion,
    holds_language,
    mixers_of,
    parse_composition,
    print_composition,
    rename,
    repeated_member,
    walk,
)


@pytest.mark.parametrize(
    ("text", "composition"),
    [
        ("intent", "intent"),
        ("zh-CN", "zh-CN"),
        ("$language", "$language"),
        ("none", "none"),
        ("  ( a )\n", "a"),
        ("a > b", Stack(("a", "b"))),
        ("a>b>c", Stack(("a", "b", "c"))),
        ("(a > b) > c", Stack(("a", "b", "c"))),
        ("a > (b > c)", Stack(("a", "b", "c"))),
        ("fuse(a, b, none)", Fuse(("a", "b", "none"))),
        ("fuse (a,b)", Fuse(("a", "b"))),
        ("gate(a, b)", Gate(("a", "b"))),
        ("fuse(a > b, c)", Fuse((Stack(("a", "b")), "c"))),
        ("fuse(de > a, de > b)", Fuse((Stack(("de", "a")), Stack(("de", "b"))))),
        ("fuse(average(a, b), c)", Fuse((Average(("a", "b"), (0.5, 0.5)), "c"))),
        ("fuse(a, b) > gate(c, d)", Stack((Fuse(("a", "b")), Gate(("c", "d"))))),
        ("average(a, b, c, d)", Average(("a", "b", "c", "d"), (0.25,) * 4)),
        ("average(0.7 * a, .3 * b)", Average(("a", "b"), (0.7, 0.3))),
        ("average(25e-2*a, 0.75 * (b > c))", Average(("a", Stack(("b", "c"))), (0.25, 0.75))),
    ],
)
def test_an_expression_is_read(text: str, composition: Composition):
    assert parse_composition(text) == composition


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "an empty composition", 0),
        ("   ", "an empty composition", 0),
        ("a + b", "unknown character '+'", 2),
        ("a > ä", "unknown character 'ä'", 4),
        ("a >", "an adapter's name must stand here, not the end", 3),
        ("> a", "an adapter's name must stand here, not '>'", 0),
        ("a b", "'>' or the end must stand here, not 'b'", 2),
        ("a, b", "a comma stands only between", 1),
        ("a)", "this ')' closes no '('", 1),
        ("a > (b", "this '(' is never closed", 4),
        ("fuse(a, b", "this '(' is never closed", 4),
        ("fuse(a b)", "'>', ',' or ')' must stand here, not 'b'", 7),
        ("(a, b)", "'>' or ')' must stand here, not ','", 2),
        ("()", "an adapter's name must stand here, not ')'", 1),
        ("fuse()", "an adapter's name must stand here, not ')'", 5),
        ("fuse(a,)", "an adapter's name must stand here, not ')'", 7),
        ("fuse(intent)", "fuse of one member, intent; it needs two or more", 0),
        ("a > gate(b > c)", "gate of one member, b > c; it needs two or more", 4),
        ("average(a)", "average of one member", 0),
        ("fuse(a, b, a)", "a stands twice in one fuse", 11),
        ("average(a > b, (a > b))", "a > b stands twice in one average", 15),
        ("fuse(a, fuse(b, c))", "fuse inside fuse: a fusion is not a member of anything", 8),
        ("gate(a > fuse(b, c), d)", "fuse inside gate", 9),
        ("fuse(average(a, gate(b, c)), d)", "gate inside average", 16),
        ("average(0.5 * fuse(a, b), 0.5 * c)", "fuse inside average", 14),
        ("none > a", "`none` adds nothing to a stack", 0),
        ("a > (none)", "`none` adds nothing to a stack", 0),
        ("fuse(a, b > none)", "`none` adds nothing to a stack", 8),
        ("fuse", "'fuse' is no adapter's name; write fuse(a, b)", 0),
        ("a > average", "'average' is no adapter's name", 4),
        ("none(a, b)", "unknown operator 'none'", 0),
        ("fuze(a, b)", "unknown operator 'fuze'; did you mean 'fuse'?", 0),
        ("$lang > a", "unknown '$lang'; only '$language'", 0),
        ("0.5 * a", "a weight stands only in front of a member of average", 0),
        ("average(0.5 a, 0.5 b)", "a weight stands only in front", 8),
        ("fuse(0.5 * a, 0.5 * b)", "fuse learns its weights", 5),
        ("average(0.7 * a, b)", "b has no weight, others have", 17),
        ("average(0 * a, 1 * b)", "a weight is more than 0, not 0", 8),
        ("average(0.7 * a, 0.2 * b)", "the weights add to 0.9, and must add to 1", 8),
        ("average(1e999 * a, 1 * b)", "the weights add to inf", 8),
        ("average(-1 * a, 2 * b)", "unknown character '-'", 8),
    ],
)
def test_a_wrong_expression_is_refused_with_its_position(text: str, message: str, position: int):
    with pytest.raises(CompositionError, match=re.escape(message)) as caught:
        parse_composition(text)
    assert caught.value.position == position
    assert caught.value.message.startswith(message)
    assert str(caught.value).endswith(f"(at character {position + 1})")


def test_weights_may_miss_1_by_what_rounding_takes():
    average = parse_composition("average(0.333333 * a, 0.333333 * b, 0.333334 * c)")
    assert isinstance(average, Average)
    with pytest.raises(CompositionError, match="add to 0.99999"):
        parse_composition("average(0.33333 * a, 0.33333 * b, 0.33333 * c)")


@pytest.mark.parametrize("opening", ["(", "fuse(a, ", "average(a, b, "])
def test_deep_nesting_is_refused_before_it_overflows(opening: str):
    count = MAX_CHARACTERS // (len(opening) + 2)
    with pytest.raises(CompositionError, match=r"nested deeper|inside fuse"):
        parse_composition(opening * count + "c" + ")" * count)


def test_nesting_up_to_the_limit_is_read():
    assert parse_composition("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH) == "a"


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(CompositionError, match="at most 10000 characters, not 10001"):
        parse_composition("a" * (MAX_CHARACTERS + 1))


def test_names_are_listed_in_reading_order_once_and_without_none():
    composition = parse_composition("$language > fuse(b > a, none, c > a)")
    assert adapter_names(composition) == ["$language", "b", "a", "c"]
    assert adapter_names(NONE) == []


def test_binding_replaces_the_language_everywhere():
    composition = parse_composition("average(0.7 * ($language > a), 0.3 * $language)")
    assert str(bind(composition, "de")) == "average(0.7 * (de > a), 0.3 * de)"


def test_names_can_be_exchanged():
    swapped = rename(parse_composition("fuse(a, b > c)"), {"a": "b", "b": "a"})
    assert swapped == parse_composition("fuse(b, a > c)")


@pytest.mark.parametrize(
    ("text", "mixers"),
    [
        ("a", []),
        ("average(a, b)", []),
        ("fuse(a, b)", ["fuse(a, b)"]),
        ("a > gate(b, c > d) > fuse(e, f)", ["gate(b, c > d)", "fuse(e, f)"]),
    ],
)
def test_what_has_weights_is_listed_in_order(text: str, mixers: list[str]):
    assert list(map(str, mixers_of(parse_composition(text)))) == mixers


def test_binding_may_repeat_a_member_and_that_is_found():
    composition = parse_composition("a > fuse($language, de, b)")
    assert repeated_member(composition) is None
    assert repeated_member(bind(composition, "de")) == "de"


@pytest.mark.parametrize(
    ("text", "language", "fusion"),
    [
        ("a > b", False, False),
        ("average($language > a, b)", True, False),
        ("$language > gate(a, b)", True, True),
        ("fuse(a, $language)", True, True),
    ],
)
def test_what_a_composition_holds_is_told(text: str, language: bool, fusion: bool):
    composition = parse_composition(text)
    assert holds_language(composition) is language
    assert holds_fusion(composition) is fusion


_names = st.one_of(
    st.just(LANGUAGE),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
        lambda name: name not in RESERVED
    ),
)


def _weights(count: int) -> st.SearchStrategy[tuple[float, ...]]:
    shares = st.lists(st.integers(1, 1000), min_size=count, max_size=count)
    return st.one_of(
        st.just((1 / count,) * count),
        shares.map(lambda all_: tuple(share / sum(all_) for share in all_)),
    )


def _mixtures(member: st.SearchStrategy[Composition]) -> st.SearchStrategy[Composition]:
    members = st.lists(st.one_of(member, st.just(NONE)), min_size=2, max_size=4, unique_by=str)
    parts = members.map(tuple)
    averages = parts.flatmap(
        lambda some: _weights(len(some)).map(lambda weights: Average(some, weights))
    )
    return st.one_of(parts.map(Fuse), parts.map(Gate), averages)


def _stacks(part: st.SearchStrategy[Composition]) -> st.SearchStrategy[Composition]:
    return st.lists(part, min_size=2, max_size=3).map(lambda parts: Stack(tuple(parts)))


_plain = st.one_of(_names, _stacks(_names))
_averages = _mixtures(_plain).filter(lambda one: isinstance(one, Average))
_mixed = _mixtures(st.one_of(_plain, _averages, _stacks(st.one_of(_names, _averages))))
compositions = st.one_of(st.just(NONE), _plain, _mixed, _stacks(st.one_of(_names, _mixed)))


@settings(deadline=None)
@given(compositions)
def test_every_composition_prints_and_reads_back_the_same(composition: Composition):
    text = print_composition(composition)
    assert parse_composition(text) == composition
    assert print_composition(parse_composition(text)) == text


@settings(deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="ab$ >(),*.15e-_", max_size=30),
        st.lists(
            st.sampled_from(
                ["fuse", "gate", "average", "none", "a", "b", "$language", ">", "(", ")", ",", "*"]
                + ["0.5", "1e5", " "]
            ),
            max_size=20,
        ).map("".join),
    )
)
def test_no_text_raises_anything_but_a_composition_error(text: str):
    composition = _read(text)
    if isinstance(composition, CompositionError):
        assert 0 <= composition.position <= len(text)
        return
    assert parse_composition(print_composition(composition)) == composition
    for part in walk(composition):
        if isinstance(part, Mixture):
            assert len(set(map(str, part.parts))) == len(part.parts) >= 2


@pytest.mark.parametrize(
    "text", ["(" * 10**5, "a > " * 10**5, "fuse(" * 10**5, "\U0001f469" * 10**5]
)
def test_no_length_raises_anything_but_a_composition_error(text: str):
    with pytest.raises(CompositionError, match="at most 10000 characters, not") as caught:
        parse_composition(text)
    assert caught.value.position == MAX_CHARACTERS
    assert isinstance(_read(text[:MAX_CHARACTERS]), CompositionError)


@settings(deadline=None)
@given(compositions, st.data())
def test_a_composition_with_other_characters_in_it_is_refused_or_reads_back(
    composition: Composition, data: st.DataObject
):
    text = print_composition(composition)
    start = data.draw(st.integers(0, len(text)))
    end = start + data.draw(st.integers(0, 3))
    found = _read(text[:start] + data.draw(st.text(max_size=3)) + text[end:])
    if isinstance(found, CompositionError):
        assert 0 <= found.position <= len(text) + 3
        assert str(found).isprintable()
    else:
        assert parse_composition(print_composition(found)) == found


def _read(text: str) -> Composition | CompositionError:
    try:
        return parse_composition(text)
    except CompositionError as error:
        return error
