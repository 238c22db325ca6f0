import pytest

from composer.recipe.document.scalars import resolved


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.0e-3", 1e-3),
        ("5E+4", 5e4),
        ("-.5", -0.5),
        ("12.", 12.0),
        ("8", 8),
        ("+1", 1),
        ("-0", 0),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_what_yaml_1_2_resolves_is_resolved(text: str, value: object):
    found = resolved(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "off", "y", "1_000", "1:30", "2026-01-01", "0b11", "0o8", "=", "<<", "1e"]
    + ["e5", ".", "-", "+", "1e-3x", "tRUE", "nUll", "١", "1 000"],
)
def test_everything_else_is_text(text: str):
    assert resolved(text) == text


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".nan", "1e309", "-1e309", "9" * 41])
def test_numbers_that_do_not_fit_are_refused(text: str):
    with pytest.raises(OverflowError, match=r"finite|larger|more than"):
        resolved(text)
