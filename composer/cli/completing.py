"""What the shell is offered while a command is typed: names out of the recipe or bundle in it.

    composer run home.yaml --only task/<TAB>          task/intent  task/domain
    composer run home.yaml --profile <TAB>            smoke
    composer explain home.zip --composition <TAB>     intent  few-shot:de

Only small files are read, and none is checked beyond that; what cannot be read offers nothing.
"""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from composer.errors import ComposerError

if TYPE_CHECKING:
    from composer.recipe.reading.reader import LoadedRecipe

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

_LIMIT = 8 * 2**20  # bytes of a manifest
_MANIFEST = "manifest.json"
# What a shell gives a meaning to. Bash puts a name on the line as it is, unquoted; fish's script
# takes a comma for the end of it.
_MEANT = re.compile(r"""^-|[\s"'`$&|;<>(){}\[\]*?!#~^,\\]""")


def of_recipe(names: Callable[["LoadedRecipe"], Iterable[str]]) -> Complete:
    """Offer names that a recipe holds, of the recipe that was typed before."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
        from composer.recipe.reading.reader import read_recipe

        path = _place(context, "recipe")
        if path is None or not path.is_file():
            return []
        with suppress(ComposerError, OSError):
            return _fitting(names(read_recipe(path)), typed)
        return []

    return complete


def compositions(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
    """Offer the compositions of the bundle that was typed before."""
    import zipfile

    source = _place(context, "source")
    if source is None:
        return []
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        return _fitting(_manifest(source).get("compositions", {}), typed)
    return []


def _stage_names(loaded: "LoadedRecipe") -> Iterable[str]:
    from composer.recipe.expansion.expand import expand

    return [stage.name for stage in expand(loaded.recipe)]


def _profile_names(loaded: "LoadedRecipe") -> Iterable[str]:
    return loaded.recipe.profiles


def _task_names(loaded: "LoadedRecipe") -> Iterable[str]:
    return loaded.recipe.tasks


stages, profiles, tasks = of_recipe(_stage_names), of_recipe(_profile_names), of_recipe(_task_names)


def _place(context: click.Context, name: str) -> Path | None:
    """Give the path that was typed for an argument.

    Where an option is waiting for its value, click has not shared out the arguments yet.
    """
    typed = [context.params.get(name), *context.args]
    paths = [Path(one) for one in typed if one]
    return next((path for path in paths if path.exists()), None)


def _manifest(source: Path) -> dict[str, Any]:
    if source.is_dir():
        with (source / _MANIFEST).open("rb") as file:
            data = file.read(_LIMIT)
    else:
        import zipfile

        with zipfile.ZipFile(source) as archive, archive.open(_MANIFEST) as file:
            data = file.read(_LIMIT)
    found = json.loads(data)
    return found if isinstance(found, dict) else {}


def _fitting(names: Iterable[str], typed: str) -> list[str]:
    """Keep the names that begin as what is typed; none that a shell could take for more."""
    return [
        name
        for name in names
        if name.startswith(typed) and name.isprintable() and not _MEANT.search(name)
    ]
