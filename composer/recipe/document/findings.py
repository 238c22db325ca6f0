"""What is wrong with a recipe, before it is known in which line that stands.

    Finding(("adapters", "task", "width"), "must be at least 1, not 0")

A finding names a path of keys; `composer.recipe.document.tree` turns it into a fault with a place.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from composer.errors import Fault, did_you_mean

Path = tuple[str | int, ...]
Place = Callable[[Path], str]

MAX_FAULTS = 100  # that are told at once: more than so many have one cause

_LONGEST = 60
_COMPARED = 1_000
_LISTED = 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with the value, or the key, at a path.

    Attributes:
        path: Keys and, in lists, positions counted from 0.
        message: What was found, what is allowed, what was probably meant.
        on_key: Whether the key is wrong, and not its value.
        position: Of the first wrong character of a text value, counted from 0.
    """

    path: Path
    message: str
    on_key: bool = False
    position: int | None = None


def dotted(path: Path) -> str:
    """Write a path of keys.

    >>> dotted(("tasks", "intent", "languages", 1))
    'tasks.intent.languages[1]'
    """
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            plain = re.fullmatch(r"[\w$-]{1,64}", key)
            text += f"{'.' if text else ''}{key if plain else show(key)}"
    return text


def show(value: object) -> str:
    """Write a value that was found, shortened, as it is in YAML.

    >>> show("no"), show(True), show(None), show(0.001), show((1, 2)), show({})
    ("'no'", 'true', 'nothing', '0.001', 'a list', 'a mapping')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Say the nearest known name, or list what is known; of very many, the first.

    >>> nearest("zzz", [f"l{i:02}" for i in range(30)])[-27:]
    'l17, l18, l19 and 10 others'
    """
    known = list(known)
    hint = did_you_mean(name, known[:_COMPARED])
    if len(known) <= _LISTED or not hint.startswith("known: "):
        return hint
    return f"known: {', '.join(sorted(known)[:_LISTED])} and {len(known) - _LISTED} others"


def fault_at(path: Path, message: str, place: str) -> Fault:
    """Make a fault that says the path of keys once, whether as its place or beside it.

    >>> print(fault_at(("tasks", "intent"), "...", "home.yaml:7:3"))
    home.yaml:7:3: tasks.intent: ...
    >>> print(fault_at(("tasks", "intent"), "...", "tasks.intent"))
    tasks.intent: ...
    """
    where = dotted(path)
    return Fault(place, message if place == where or not where else f"{where}: {message}")
