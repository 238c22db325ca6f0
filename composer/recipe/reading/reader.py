"""Read a recipe from a file, with a profile and changes, and tell all that is wrong with it.

    home.yaml:7:12: adapters.task.width: must be at least 1, not 0
    home.yaml:9:31: tasks.intent.adapter: no adapter is named 'tusk'; did you mean 'task'?
    --set training.epoch=1: training.epoch: unknown key; did you mean 'epochs'?

What the recipe includes is merged under it (`composer.recipe.reading.includes`), a profile over it,
then the changes in their order: mappings merge deeply, lists replace, `null` takes a key away.
Profiles that are not used are checked as well.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import get_origin

from composer.errors import Fault, RecipeError
from composer.recipe.checking.checks import examine
from composer.recipe.checking.paths import check_paths
from composer.recipe.document.documents import read_value
from composer.recipe.document.findings import MAX_FAULTS, Finding, Path, dotted, nearest, show
from composer.recipe.document.tree import (
    Entry,
    Mark,
    Node,
    faults_of,
    merged,
    node_of,
    place_of,
    values,
)
from composer.recipe.grammar.schema import Recipe
from composer.recipe.reading.includes import INCLUDE, Included, read_included

MAX_CHECKED = 250_000  # values, once more for each profile

VALUES = "recipe"  # where values stand that are in no file


@dataclass(frozen=True)
class Options:
    """How a profile and changes are called where they are given, for messages."""

    profile: str = "--profile"
    changes: str = "--set"


TYPED = Options()  # on the command line
CALLED = Options(profile="profile", changes="changes")  # from Python

_NAMED = frozenset(
    name for name, one in Recipe.model_fields.items() if get_origin(one.annotation) is dict
)


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe without faults, and where its parts stand.

    Attributes:
        recipe: With the profile and the changes in it.
        folder: Of the file; paths in the recipe are relative to it.
        outside: Whether the user typed a path that leads out of that folder.
    """

    recipe: Recipe
    folder: FilePath
    outside: bool
    _root: Node = field(repr=False)

    def place(self, path: Path) -> str:
        """Say where the value at a path of keys stands: `file:line:column`."""
        return str(place_of(self._root, path))


def read_recipe(
    path: str | FilePath,
    *,
    profile: str | None = None,
    changes: Sequence[str] = (),
    options: Options = TYPED,
) -> LoadedRecipe:
    """Read a recipe.

    Args:
        path: Of the YAML file.
        profile: Name of the profile to merge over it.
        changes: Like `training.epochs=1`; the value is read as YAML.
        options: How profile and changes are called, for messages.

    Raises:
        RecipeError: With every fault that was found.
    """
    path = FilePath(path)
    return _loaded(read_included(path), path.parent, profile, changes, options)


def read_values(
    given: Mapping[str, object],
    folder: FilePath,
    *,
    profile: str | None = None,
    changes: Sequence[str] = (),
    options: Options = TYPED,
) -> LoadedRecipe:
    """Read a recipe that is in no file; as `read_recipe`.

    Args:
        given: What would stand in the file.
        folder: What relative paths start from.
        profile: See `read_recipe`; as are the others.
        changes: Merged over it.
        options: For messages.

    Raises:
        RecipeError: With every fault that was found.
    """
    if INCLUDE in given:
        message = f"`{INCLUDE}` is for recipes in files; merge what it names, or write a file"
        raise RecipeError([Fault(VALUES, message)])
    root = node_of(given, Mark(VALUES))
    return _loaded(Included(root, frozenset([VALUES]), ()), folder, profile, changes, options)


def _loaded(
    read: Included,
    folder: FilePath,
    profile: str | None,
    changes: Sequence[str],
    options: Options,
) -> LoadedRecipe:
    faults = list(read.faults)
    root = read.root
    if profile is not None:
        root = _with_profile(root, profile, faults, options)
    for change in changes:
        root = _with_change(root, change, faults, options)
    found, leading_out = examine(_plain(root)), list(check_paths(_plain(root)))
    written = [one for one in leading_out if place_of(root, one.path).source in read.sources]
    faults += faults_of(root, [*found.findings, *written])
    faults += _faults_of_profiles(read.root, used=profile)
    if faults or found.recipe is None:
        raise RecipeError(_in_order(faults))
    return LoadedRecipe(found.recipe, folder, bool(leading_out), root)


def recipe_from(
    given: Mapping[str, object],
    *,
    place: str = "command line",
    changes: Sequence[str] = (),
    options: Options = TYPED,
) -> Recipe:
    """Make a recipe of plain values, with every check that a file gets.

    Args:
        given: What would stand in the file.
        place: Of all that is given.
        changes: Like `training.epochs=1`; each is its own place.
        options: How changes are called, for messages.

    Raises:
        RecipeError: With every fault.
    """
    faults: list[Fault] = []
    root = node_of(given, Mark(place))
    for change in changes:
        root = _with_change(root, change, faults, options)
    found = examine(_plain(root))
    faults += faults_of(root, found.findings)
    if faults or found.recipe is None:
        raise RecipeError(dict.fromkeys(faults))
    return found.recipe


def _plain(root: Node) -> dict[str, object]:
    plain = values(root)
    return plain if isinstance(plain, dict) else {}


def _with_profile(root: Node, name: str, faults: list[Fault], options: Options) -> Node:
    profiles = _profiles(root)
    if name in profiles:
        return _merged_profile(root, profiles[name])
    message = f"no profile is named {show(name)}; {nearest(name, profiles)}"
    faults.append(Fault(f"{options.profile} {name}", message))
    return root


def _profiles(root: Node) -> dict[str, Node]:
    profiles = root.child("profiles")
    entries = profiles.value if profiles and isinstance(profiles.value, dict) else {}
    return {name: entry.node for name, entry in entries.items()}


def _merged_profile(root: Node, profile: Node) -> Node:
    return merged(root, profile) if isinstance(profile.value, dict) else root


def _faults_of_profiles(root: Node, *, used: str | None) -> list[Fault]:
    """Find what only goes wrong with a profile that is not the one used."""
    profiles = _profiles(root)
    if len(profiles) * root.size > MAX_CHECKED:
        message = f"{len(profiles)} profiles are too many to check in a recipe of this size"
        return [Fault(str(place_of(root, ("profiles",), on_key=True)), message)]
    unused = profiles.keys() - {used}
    before = set(_findings(root)) if unused else set()
    faults: list[Fault] = []
    for name, profile in profiles.items():
        for key in ("profiles", INCLUDE):
            nested = profile.value.get(key) if isinstance(profile.value, dict) else None
            if nested:
                faults.append(Fault(str(nested.key), f"a profile holds no `{key}`"))
        if name not in unused:
            continue
        whole = _merged_profile(root, profile)
        found = [one for one in _findings(whole) if one not in before]
        for fault in faults_of(whole, found):
            faults.append(Fault(fault.place, f"{fault.message} (with profile {show(name)})"))
        if len(faults) > MAX_FAULTS:
            break
    return faults


def _findings(root: Node) -> list[Finding]:
    plain = _plain(root)
    return [*examine(plain).findings, *check_paths(plain)]


def _with_change(root: Node, change: str, faults: list[Fault], options: Options) -> Node:
    """Merge `a.b=c` over a recipe; if that cannot be done, add to the faults."""
    mark = Mark(f"{options.changes} {change}")
    keys, given, text = change.partition("=")
    path = tuple(keys.strip().split("."))
    fault = _refused_change(root, path, given=bool(given))
    if fault is not None:
        faults.append(Fault(str(mark), fault))
        return root
    try:
        document = read_value(text, str(mark))
    except RecipeError as error:
        faults.extend(Fault(str(mark), fault.message) for fault in error.faults)
        return root
    faults.extend(Fault(str(mark), fault.message) for fault in document.faults)
    node = node_of(values(document.root), mark)
    for key in reversed(path):
        node = Node({key: Entry(mark, node)}, mark)
    return merged(root, node)


def _refused_change(root: Node, path: tuple[str, ...], *, given: bool) -> str | None:
    """Say why a change cannot be merged; keys that are only misspelt are found later."""
    if not given or not all(path):
        return "write key=value, with dots between keys, such as training.epochs=1"
    if path[0] in ("profiles", INCLUDE):
        return f"`{path[0]}` is read before this change; change the recipe itself"
    node = root
    for depth, key in enumerate(path[:-1]):
        child = node.child(key)
        where = dotted(path[: depth + 1])
        if child is None:
            named = path[0] in _NAMED and depth == 1
            member = path[:2] == ("languages", "members") and depth == 2
            known = node.value if isinstance(node.value, dict) else {}
            return f"there is no {where}; {nearest(key, known)}" if named or member else None
        if not isinstance(child.value, dict):
            return f"{where} is {show(values(child))}, not a mapping; give it a whole new value"
        node = child
    return None


def _in_order(faults: list[Fault]) -> list[Fault]:
    """Sort by file, line and column, the command line last; of very many, give the first."""

    def position(fault: Fault) -> tuple[bool, str, int, int]:
        match = re.fullmatch(r"(.*):(\d+):(\d+)", fault.place, re.DOTALL)
        if match is None:
            return (fault.place.startswith("--"), fault.place, 0, 0)
        return (False, match[1], int(match[2]), int(match[3]))

    ordered = sorted(dict.fromkeys(faults), key=position)
    if len(ordered) > MAX_FAULTS:
        ordered[MAX_FAULTS:] = [Fault(ordered[MAX_FAULTS].place, "and so on; mend these first")]
    return ordered
