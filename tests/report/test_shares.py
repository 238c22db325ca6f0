import pytest

from composer.recipe.grammar.composition import parse_composition
from composer.report.shares import ShareRow, members_of, share_lines, share_values
from composer.train.results import MeanShares


def row(*means: tuple[float, ...], expression: str = "fuse(intent, domain)") -> ShareRow:
    return ShareRow(
        composition="few",
        language="en",
        members=members_of(parse_composition(expression)),
        found=[MeanShares(mean=mean, sites={}) for mean in means],
    )


@pytest.mark.parametrize(
    ("expression", "members"),
    [
        ("intent", ()),
        ("average(a, b)", ()),
        ("de > gate(a, none)", (("a", "none"),)),
        ("fuse(a > b, c) > fuse(d, e)", (("a > b", "c"), ("d", "e"))),
    ],
)
def test_each_fusion_and_gate_has_its_members(expression: str, members: tuple[object, ...]):
    assert members_of(parse_composition(expression)) == members


def test_each_share_stands_beside_its_member():
    assert share_values(row((0.25, 0.75))) == [{"intent": 0.25, "domain": 0.75}]
    assert share_lines([row((0.25, 0.75))]) == [
        "",
        "mean fusion weights  language  members",
        "few                  en        intent 0.25  domain 0.75",
    ]


def test_a_composition_of_two_fusions_has_two_lines():
    two = row((0.25, 0.75), (0.5, 0.5), expression="fuse(a, b) > fuse(c, d)")
    assert [line.split(maxsplit=2)[-1] for line in share_lines([two])[2:]] == [
        "a 0.25  b 0.75",
        "c 0.50  d 0.50",
    ]


def test_shares_of_another_number_of_fusions_are_no_table():
    with pytest.raises(ValueError, match="zip"):
        share_values(row((0.5, 0.5), (0.5, 0.5)))


def test_nothing_mixed_is_nothing_printed():
    assert share_lines([row(expression="intent")]) == []
