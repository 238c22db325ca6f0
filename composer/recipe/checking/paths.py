"""Paths in a recipe: each one stays in the recipe's folder, as a recipe may be a stranger's.

    backbone.path: '../mine' leads out of the recipe's folder; a recipe names only what lies in it

A path that the user types (`--set data.own.path=/home/me/own.csv`) may lead anywhere. Links are
followed, and refused where they lead out, when a file is looked for: `composer.data.paths`.
"""

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath

from composer.recipe.checking.references import matching
from composer.recipe.document.findings import Finding, show

_KEYS = ("backbone.path", "data.*.path", "data.*.path.*")


def check_paths(values: Mapping[str, object]) -> Iterator[Finding]:
    """Find paths that lead out of the recipe's folder."""
    for key in _KEYS:
        for path, value in matching(values, key):
            fault = why_outside(value) if isinstance(value, str) else None
            if fault is not None:
                remedy = "move it there, or type it: --set " + ".".join(map(str, path))
                yield Finding(path, f"{show(value)} {fault}; {remedy}=...")


def why_outside(path: str, *, within_parent: bool = False) -> str | None:
    """Say why a path names nothing in the recipe's folder, by its characters alone.

    Args:
        path: As it is written.
        within_parent: It may begin with `..`: where it leads is seen when it is followed.

    >>> why_outside("data/de.csv")
    >>> why_outside("~/de.csv")
    "begins with '~', which stands for no folder here"
    """
    if "://" in path:
        return "is an address, and a recipe names files in its folder"
    if path.startswith("~"):
        return "begins with '~', which stands for no folder here"
    windows = PureWindowsPath(path)
    absolute = PurePosixPath(path).is_absolute() or windows.drive or windows.root
    plain = posixpath.normpath(path.replace("\\", "/"))
    above = (plain == ".." or plain.startswith("../")) and not within_parent
    if absolute or above:
        return "leads out of the recipe's folder, and a recipe names only what lies in it"
    return None
