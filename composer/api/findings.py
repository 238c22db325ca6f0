"""What is found by looking: at comparisons, scores of all languages, data, one text's answer."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from composer.api.calling import Place, change_texts, listed, store_at
from composer.api.recipes import Recipe, as_recipe, run_words
from composer.api.showing import Findings
from composer.bundle.files import write_bytes
from composer.engine.looking.datalook import look_at_data
from composer.engine.planning.plan import Plan, make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.leakage import find_overlaps
from composer.engine.storage.store import Store
from composer.errors import Fault, RecipeError
from composer.report.comparison import read_comparisons
from composer.report.comparison_tables import comparison_lines, comparison_values
from composer.report.datalook import inspection_values, look_lines
from composer.report.evaluated import read_evaluated
from composer.report.overlaps import overlap_lines
from composer.report.page.page import make_page
from composer.report.transfer import make_tables
from composer.report.transfer_tables import transfer_lines, transfer_values


def compare(recipe: Recipe | Place, *, store: Place | None = None) -> Findings:
    """Show what the comparisons of a recipe have measured so far; nothing is carried out.

    Args:
        recipe: What `load_recipe` gave, or the path of a file.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Raises:
        RecipeError: The recipe has faults.
        DataError: Data is missing; all of it at once.

    Example:
        composer.compare("recipes/madapter/offline.yaml")
    """
    found, place, plan = _planned(recipe, store)
    measured = read_comparisons(found.loaded.recipe, plan, place)
    return _found(comparison_values(measured), comparison_lines(measured))


def transfer(
    recipe: Recipe | Place,
    *,
    evaluations: Sequence[str] = (),
    against: str | None = None,
    resamples: int = 1000,
    store: Place | None = None,
) -> Findings:
    """Show scores of all languages, and how sure they are: bootstrap intervals, paired tests.

    Args:
        recipe: What `load_recipe` gave, or the path of a file; its evaluations are read.
        evaluations: Names of some; left out, all.
        against: Composition that the others are compared with; left out, each one's own baseline
            without the language's adapter.
        resamples: For intervals and tests.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Raises:
        RecipeError: The recipe has faults, or no evaluation or composition of a name.

    Example:
        composer.transfer("home.yaml", against="bare")
    """
    _, place, plan = _planned(recipe, store)
    found = read_evaluated([plan], place, evaluations=listed("evaluations", evaluations))
    tables = make_tables(found, against=against, resamples=resamples)
    return _found(transfer_values(tables), transfer_lines(tables, resamples=resamples))


def leakage(recipe: Recipe | Place, *, store: Place | None = None) -> Findings:
    """Count test texts that stand in what is learnt from; `run_recipe` refuses too many.

    Args:
        recipe: What `load_recipe` gave, or the path of a file.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Raises:
        RecipeError: The recipe has faults.
        DataError: Data is missing; all of it at once.

    Example:
        composer.leakage("home.yaml")
    """
    _, place, plan = _planned(recipe, store)
    overlaps = find_overlaps(plan, place)
    return _found([one.model_dump(mode="json") for one in overlaps], overlap_lines(overlaps))


def debug_data(recipe: Recipe | Place, *, task: str | None = None) -> Findings:
    """Look through a recipe's data: labels, lengths, what is cut, doubled, rare or odd.

    Args:
        recipe: What `load_recipe` gave, or the path of a file.
        task: Only this one.

    Raises:
        RecipeError: The recipe has faults, or no such task.

    Example:
        composer.debug_data("home.yaml", task="intent")
    """
    look = look_at_data(as_recipe(recipe).loaded, task=task)
    values = [inspection_values(one) for one in look.inspections]
    return _found(values, look_lines(look))


def write_report(recipe: Recipe | Place, to: Place, *, store: Place | None = None) -> Path:
    """Write one HTML file about a run, that opens offline; nothing is carried out.

    Args:
        recipe: What `load_recipe` gave, or the path of a file.
        to: The file; one that is there is replaced.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.

    Returns:
        The file.

    Raises:
        RecipeError: The recipe has faults, or the file's folder is not there.
        MissingExtraError: What writes it is not installed.

    Example:
        composer.write_report("home.yaml", "report.html")
    """
    found, file = as_recipe(recipe), Path(to)
    if not file.parent.is_dir():
        raise RecipeError([Fault("to", f"{file.parent} is not a folder; make it first")])
    words = run_words(
        found.path, profile=found.profile, changes=change_texts(found.changes), store=store
    )
    page = make_page(found.loaded, store_at(store), command=words)
    write_bytes(file, page.html.encode())
    return file


def _planned(recipe: Recipe | Place, store: Place | None) -> tuple[Recipe, Store, Plan]:
    found, place = as_recipe(recipe), store_at(store)
    return found, place, make_plan(wanted_of(found.loaded), place)


def _found(values: Sequence[Mapping[str, object]], lines: Iterable[str]) -> Findings:
    return Findings(tuple(values), tuple(lines))
