"""Which members each layer of a fusion listens to, by language.

Evaluations store the mean weight of each member at every site, over all tokens that were scored.
Here they are laid out: languages x members over all layers, layers x members over all languages,
and layers x members of each language, as far as there is room.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from composer.recipe.expansion.stages import Evaluate
from composer.recipe.grammar.meaning import composed, composition_of, head_task
from composer.recipe.grammar.schema import Recipe
from composer.report.evaluated import Evaluated
from composer.report.page.facts import Facts
from composer.report.page.matrix import HeatCell, Matrix
from composer.report.page.palette import level
from composer.report.shares import members_of
from composer.train.results import MeanShares

DETAIL_CELLS = 40_000  # of single languages, in all: a megabyte
_WHERE = ("attention", "output")


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """One fusion or gate of one composition.

    Attributes:
        title: The composition, and in which evaluation.
        task: Whose head it has; empty: not known.
        members: In order.
        languages: Languages x members.
        layers: Sites x members, the mean over languages.
        by_language: The same for each language; empty: there is but one, or no room.
        left_out: Whether there was no room.
    """

    title: str
    task: str
    members: tuple[str, ...]
    languages: Matrix
    layers: Matrix
    by_language: tuple[Matrix, ...]
    left_out: bool


def fusions(facts: Facts) -> Iterator[Fusion]:
    """Lay out every fusion of every composition that was evaluated."""
    room = DETAIL_CELLS
    together: dict[tuple[str, str], list[Evaluated]] = {}
    for one in facts.evaluated:
        if one.stage.name in facts.scores and facts.scores[one.stage.name].shares:
            together.setdefault((one.evaluation, one.composition), []).append(one)
    for (evaluation, composition), those in together.items():
        for number, members in enumerate(members_of(those[0].stage.composition)):
            found = {
                one.language: facts.scores[one.stage.name].shares[number]
                for one in those
                if _fits(one.stage, facts, number, len(members))
            }
            if not found:
                continue
            cells = sum(len(one.sites) * len(members) for one in found.values())
            title = f"{composition}: fuse({', '.join(members)}) in {evaluation}"
            yield Fusion(
                title=title,
                task=_task(facts.recipe, composition),
                members=members,
                languages=_languages(members, found),
                layers=_layers("By layer, over all languages", members, list(found.values())),
                by_language=_each(members, found) if 1 < len(found) and cells <= room else (),
                left_out=cells > room,
            )
            room -= cells if cells <= room else 0


def _fits(stage: Evaluate, facts: Facts, number: int, members: int) -> bool:
    """Say whether what is stored is of this fusion, as it should be."""
    shares = facts.scores[stage.name].shares
    return number < len(shares) and all(
        len(one) == members for one in (shares[number].mean, *shares[number].sites.values())
    )


def _task(recipe: Recipe, composition: str) -> str:
    name = composition.partition(".")[0]
    if name not in recipe.compositions:
        return name if name in recipe.tasks else ""
    value = composed(recipe.compositions[name])
    return head_task(value, composition_of(recipe, name), frozenset(recipe.tasks)) or ""


def _languages(members: Sequence[str], found: dict[str, MeanShares]) -> Matrix:
    return Matrix(
        title="By language, over all layers",
        corner="language",
        columns=tuple(members),
        rows=tuple((tag, tuple(map(_cell, shares.mean))) for tag, shares in found.items()),
        low="0",
        high="1",
    )


def _each(members: Sequence[str], found: dict[str, MeanShares]) -> tuple[Matrix, ...]:
    return tuple(_layers(tag, members, [shares]) for tag, shares in found.items())


def _layers(title: str, members: Sequence[str], shares: Sequence[MeanShares]) -> Matrix:
    """Lay out layers x members, once for the sites after attention and once for the others."""
    found: dict[str, dict[str, Sequence[float]]] = {}  # layer -> where -> shares
    for site in sorted({site for one in shares for site in one.sites}, key=_place):
        known = [one.sites[site] for one in shares if site in one.sites]
        layer, where = site_name(site)
        found.setdefault(layer, {})[where] = [sum(one) / len(known)
                                              for one in zip(*known, strict=True)]  # fmt: skip
    wheres = list(dict.fromkeys(where for one in found.values() for where in one))
    empty = (HeatCell(said=""),) * len(members)
    return Matrix(
        title=title,
        corner="layer",
        columns=tuple(members) * len(wheres),
        rows=tuple(
            (layer, tuple(cell for where in wheres
                          for cell in (map(_cell, by[where]) if where in by else empty)))
            for layer, by in found.items()
        ),
        low="0",
        high="1",
        spans=tuple((where, len(members)) for where in wheres),
    )  # fmt: skip


def _cell(share: float) -> HeatCell:
    said = f"{share:.2f}".replace("0.", ".", 1)
    return HeatCell(said=said, level=level(share, 0.0, 1.0))


def site_name(site: str) -> tuple[str, str]:
    """Say which layer a site is in, counted from 0 as everywhere, and where.

    >>> site_name("0.attention"), site_name("11.output"), site_name("odd")
    (('0', 'attention'), ('11', 'output'), ('odd', ''))
    """
    layer, _, where = site.partition(".")
    return (layer, where) if _known(layer, where) else (site, "")


def _place(site: str) -> tuple[int, str]:
    layer, _, where = site.partition(".")
    return (int(layer), where) if _known(layer, where) else (-1, site)


def _known(layer: str, where: str) -> bool:
    return layer.isascii() and layer.isdecimal() and len(layer) < 6 and where in _WHERE
