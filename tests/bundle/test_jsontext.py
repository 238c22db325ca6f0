import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.bundle.jsontext import DEPTH_LIMIT, canonical_json, is_canonical, parse_json
from composer.errors import BundleError, ComposerError, StoreError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_canonical_json_reads_back_the_same_and_spells_the_same(value: dict[str, object]):
    data = canonical_json(value)
    read = parse_json(data, place="x")
    assert read == value
    assert canonical_json(read) == data
    assert is_canonical(data, read)
    assert not is_canonical(data + b" ", read)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0123dtnfe.-+ ', max_size=60))
def test_no_input_raises_anything_but_a_composer_error(data: bytes | str):
    raw = data if isinstance(data, bytes) else data.encode()
    try:
        read = parse_json(raw, place="x")
    except ComposerError:
        return
    assert json.loads(raw.decode()) == read


def test_the_order_of_keys_makes_no_difference():
    assert canonical_json({"a": 1, "b": [2]}) == canonical_json({"b": [2], "a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' is there twice"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": -Infinity}', "-Infinity is not a finite number"),
        ('{"a": [1, 1e999]}', r"a\[1\]: inf is not a finite number"),
        ('{"a": ' + "9" * 5000 + "}", "x.json: "),
        ('{"a": 9223372036854775808}', "a: a whole number of more than 64 bits"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ("[1]", "must be an object in braces, not list"),
        ('{"a": 1', "line 1, column 8"),
        ("", "line 1, column 1"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64 deep"),
        ('{"a":' + "[" * 500_000 + "]" * 500_000 + "}", "nested more than 64 deep"),
    ],
    ids=lambda value: value[:20],
)
def test_ambiguous_or_excessive_json_is_refused(text: str, message: str):
    with pytest.raises(BundleError, match=f"(?s)^x.json: .*{message.removeprefix('x.json: ')}"):
        parse_json(text.encode(), place="x.json")


def test_bytes_that_are_not_utf_8_are_refused_with_their_place():
    with pytest.raises(BundleError, match="x.json: byte 2: not UTF-8"):
        parse_json(b'{"\xff": 1}', place="x.json")


def test_the_greatest_depth_is_read():
    text = '{"a":' + "[" * (DEPTH_LIMIT - 1) + "1" + "]" * (DEPTH_LIMIT - 1) + "}"
    assert parse_json(text.encode(), place="x")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": float("nan")}, "a: nan is not a finite number"),
        ({"a": [0, float("inf")]}, r"a\[1\]: inf is not a finite number"),
        ({1: "a"}, "the key 1 is not a string"),
        ({"a": {"b": {1, 2}}}, "a.b: set has no spelling in JSON"),
        ({"a": "\ud800"}, "half a character"),
        ({"a": 2**63}, "more than 64 bits"),
    ],
)
def test_what_json_cannot_say_is_not_written(value: object, message: str):
    with pytest.raises(StoreError, match=message):
        canonical_json(value)
