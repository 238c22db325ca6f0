"""Recipes, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from composer.api.calling import Changes, Place, call_text, change_texts
from composer.api.showing import lines_html, table_html
from composer.data.samples.backbones import default_cache
from composer.engine.planning.lock import lock_path
from composer.engine.planning.ready import check_ready
from composer.engine.planning.wanted import wanted_of
from composer.errors import Fault
from composer.recipe.checking.advice import warnings
from composer.recipe.reading.reader import CALLED, LoadedRecipe, read_recipe, read_values
from composer.report.layout import number_of


@dataclass(frozen=True, repr=False)
class Recipe:
    """A recipe without faults, as `load_recipe` gives it.

    Attributes:
        loaded: What was read: the recipe's blocks, and where they stand.
        path: Of its file; None: it is in none.
        profile: That was merged over it.
        changes: That were merged over that.
    """

    loaded: LoadedRecipe
    path: Path | None = None
    profile: str | None = None
    changes: Changes | None = None

    @property
    def name(self) -> str:
        """Its name; results are labelled with it."""
        return self.loaded.recipe.name

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of all its stages, in the order of a run."""
        return tuple(stage.name for stage in wanted_of(self.loaded).stages)

    @cached_property
    def warnings(self) -> tuple[Fault, ...]:
        """What is probably not meant, each with its place."""
        return tuple(warnings(self.loaded.recipe, self.loaded.place))

    @property
    def lock_file(self) -> Path | None:
        """Where a run writes down what the recipe leaves open; None: nowhere."""
        return None if self.path is None else lock_path(self.path, profile=self.profile)

    @property
    def call(self) -> str:
        """How it is read again."""
        place = {} if self.path is None else str(self.path)
        return call_text("load_recipe", place, profile=self.profile, changes=self.changes)

    def __repr__(self) -> str:
        said = [f"recipe {self.name}: {number_of(len(self.stages), 'stage')}"]
        return "\n".join([*said, *(f"warning: {one}" for one in self.warnings)])

    def _repr_html_(self) -> str:
        blocks = self.loaded.recipe
        named = {
            "languages": [] if blocks.languages is None else [*blocks.languages.members],
            "tasks": [*blocks.tasks],
            "compositions": [*blocks.compositions],
            "evaluations": [*blocks.evaluations],
            "bundles": [*blocks.bundles],
        }
        rows = [["recipe", self.name], ["stages", str(len(self.stages))]]
        rows += [[kind, ", ".join(names)] for kind, names in named.items() if names]
        return table_html(rows) + lines_html(f"warning: {one}" for one in self.warnings)


def load_recipe(
    recipe: Place | Mapping[str, object],
    *,
    profile: str | None = None,
    changes: Changes | None = None,
) -> Recipe:
    """Read a recipe, and name every fault of it at once.

    Args:
        recipe: Path of a YAML file; or what would stand in one, as a dictionary, whose relative
            paths start from the working folder.
        profile: Name of a profile to merge over it.
        changes: Keys with dots between them -> values, merged over that.

    Raises:
        RecipeError: With every fault, each with its place.

    Example:
        recipe = composer.load_recipe("home.yaml", changes={"training.epochs": 1})
    """
    given = change_texts(changes)
    if isinstance(recipe, Mapping):
        folder = Path()
        loaded = read_values(recipe, folder, profile=profile, changes=given, options=CALLED)
        return Recipe(loaded, None, profile, changes)
    path = Path(recipe)
    loaded = read_recipe(path, profile=profile, changes=given, options=CALLED)
    return Recipe(loaded, path, profile, changes)


def run_words(
    recipe: Place | None,
    *,
    profile: str | None = None,
    changes: Sequence[str] = (),
    store: Place | None = None,
) -> list[str]:
    """Give the command that carries a recipe out, word by word.

    Args:
        recipe: Its path; None: it is in no file.
        profile: Merged over it.
        changes: Merged over that, as the command line has them.
        store: Of results; None: where they are by default.
    """
    words = ["composer", "run", str(recipe or "RECIPE")]
    words += ["--profile", profile] if profile else []
    for change in changes:
        words += ["--set", change]
    return words + (["--store", str(store)] if store and str(store) != ".composer" else [])


def as_recipe(recipe: Recipe | Place) -> Recipe:
    """Read a recipe unless that is done."""
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def check(recipe: Recipe | Place) -> Recipe:
    """Check a recipe as far as can be without training: its backbone, and that its data is there.

    Args:
        recipe: What `load_recipe` gave, or the path of a file.

    Returns:
        The recipe; its `warnings` say what is probably not meant.

    Raises:
        RecipeError: It has faults, or does not fit its backbone.
        DataError: Data is missing; all of it at once.
        BackboneError: The backbone is not there.

    Example:
        composer.check("home.yaml").warnings
    """
    found = as_recipe(recipe)
    check_ready(wanted_of(found.loaded), cache=default_cache())
    return found
