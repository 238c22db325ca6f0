"""Write a recipe to begin with: only one that passes every check, and never over another."""

from pathlib import Path

from composer.bundle.files import beside, write_bytes
from composer.engine.planning.ready import check_ready
from composer.engine.planning.wanted import wanted_of
from composer.engine.storage.faults import disk_faults
from composer.errors import Fault, FaultsError, RecipeError
from composer.recipe.checking.advice import warnings
from composer.recipe.grammar.starter import Starter, starter_text
from composer.recipe.reading.reader import read_recipe


def refuse_to_replace(file: Path) -> None:
    """Refuse a place where something is.

    Raises:
        RecipeError: There is.
    """
    if file.exists() or file.is_symlink():
        message = "is there already; give another name, or --force to replace it"
        raise RecipeError([Fault(str(file), message)])


def write_checked(file: Path, starter: Starter, *, force: bool, cache: Path) -> list[Fault]:
    """Write a recipe, if it has no faults; give what is probably not meant in it.

    Args:
        file: To be written.
        starter: What is in it.
        force: Replace what is there.
        cache: Of backbones.

    Raises:
        RecipeError: It would have faults; they are those of what was asked for.
        DataError: Its data is missing.
    """
    if not force:
        refuse_to_replace(file)
    if not file.parent.is_dir():
        raise RecipeError([Fault(str(file), f"{file.parent} is not a folder; make it first")])
    trial = beside(file)  # checked where it will be, as its paths are seen from there
    with disk_faults(file, option="another FILE"):
        write_bytes(trial, starter_text(starter).encode())
        try:
            loaded = read_recipe(trial)
            check_ready(wanted_of(loaded), cache=cache)
            found = warnings(loaded.recipe, loaded.place)
            trial.replace(file)
        except FaultsError as error:
            faults = [Fault(_renamed(one.place, trial, file), one.message) for one in error.faults]
            raise type(error)(faults) from error
        finally:
            trial.unlink(missing_ok=True)
    return [Fault(_renamed(one.place, trial, file), one.message) for one in found]


def _renamed(place: str, trial: Path, file: Path) -> str:
    return place.replace(str(trial), str(file))
