"""How much each member of a fusion weighs, on average over tokens and sites.

mean fusion weights  language  members
few-shot             en        intent 0.61  domain 0.39
"""

from collections.abc import Sequence
from dataclasses import dataclass

from composer.recipe.grammar.composition import Composition, mixers_of
from composer.report.layout import table_lines
from composer.train.results import MeanShares

Members = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ShareRow:
    """What was measured for one composition in one language.

    Attributes:
        composition: Its name.
        language: Of the examples.
        members: Of each fusion or gate, in order.
        found: The shares of each, in the same order.
    """

    composition: str
    language: str
    members: Members
    found: Sequence[MeanShares]


def members_of(composition: Composition) -> Members:
    """List the members of each fusion or gate, in order.

    >>> from composer.recipe.grammar.composition import parse_composition
    >>> members_of(parse_composition("de > fuse(intent, none)"))
    (('intent', 'none'),)
    """
    return tuple(tuple(map(str, one.parts)) for one in mixers_of(composition))


def share_values(row: ShareRow) -> list[dict[str, float]]:
    """Give the mean shares by member, for each fusion or gate, as JSON has them."""
    return [
        dict(zip(members, shares.mean, strict=True))
        for members, shares in zip(row.members, row.found, strict=True)
    ]


def share_lines(rows: Sequence[ShareRow]) -> list[str]:
    """Lay out the mean shares after an empty line; nothing where nothing was mixed."""
    table = [["mean fusion weights", "language", "members"]]
    for row in rows:
        for shares in share_values(row):
            said = "  ".join(f"{member} {share:.2f}" for member, share in shares.items())
            table.append([row.composition, row.language, said])
    return ["", *table_lines(table)] if len(table) > 1 else []
