"""What of the test text stands in what is learnt from: as a table, and what is refused of it.

evaluation  test text      texts  the same     nearly the same
far         intent (de)      312         0  0.0 %  3  1.0 %
"""

from collections.abc import Callable, Iterator, Sequence

from composer.engine.planning.plan import Plan
from composer.engine.running.leakage import Overlap, find_overlaps, left_to_score
from composer.engine.storage.store import Store
from composer.errors import DataError, Fault, MissingExtraError
from composer.recipe.grammar.schema import Leakage
from composer.recipe.reading.reader import LoadedRecipe
from composer.report.layout import count, table_lines


def overlap_lines(overlaps: Sequence[Overlap]) -> Iterator[str]:
    """Lay out what was found, and show some of it."""
    rows = [["evaluation", "test text", "texts", "the same", "", "the same or nearly", ""]]
    for one in overlaps:
        both = one.exact + one.near
        rows.append(
            [
                one.evaluation,
                _text(one),
                *(count(one.n), count(one.exact), _share(one.exact, one.n)),
                *(count(both), _share(both, one.n)),
            ]
        )
    yield from table_lines(rows, right=range(2, 7))
    for one in overlaps:
        yield from (f"{_text(one)}: {shown}" for shown in one.shown)


def refused(
    overlaps: Sequence[Overlap], limits: Leakage, place: Callable[[tuple[str, ...]], str]
) -> list[Fault]:
    """List the test texts of which too many stand in what is learnt from.

    Args:
        overlaps: What was found.
        limits: What is allowed.
        place: Says where a path of keys stands in the recipe.
    """
    faults = []
    for one in overlaps:
        for key, seen, limit, how in (
            ("exact", one.exact, limits.exact, ""),
            ("near", one.exact + one.near, limits.near, ", or nearly"),
        ):
            if one.n and seen / one.n > limit:
                shown = "; ".join(one.shown)
                message = (
                    f"{count(seen)} of {count(one.n)} {one.split} texts of {_text(one)} stand in "
                    f"what is learnt from{how} ({_share(seen, one.n)}, and {limit:.0%} may): "
                    f"{shown}; take them out, or allow it with `leakage: {{{key}: 1}}`"
                )
                faults.append(Fault(place(("evaluations", one.evaluation)), message))
                break
    return faults


def refuse_leaks(loaded: LoadedRecipe, plan: Plan, store: Store) -> None:
    """Refuse to begin a run whose scores would be of texts that it learns from.

    Raises:
        DataError: With the texts of which too many were seen.
    """
    if not left_to_score(plan):
        return
    try:
        overlaps = find_overlaps(plan, store, keep=True)
    except (DataError, MissingExtraError):
        return  # the stage that reads these data says what is wrong with them
    faults = refused(overlaps, loaded.recipe.leakage, loaded.place)
    if faults:
        raise DataError(faults)


def _text(one: Overlap) -> str:
    return f"{one.source} ({one.language})"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
