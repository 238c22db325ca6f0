"""Names in a recipe: that each one used is declared, once, and that expressions can be read.

    tasks.intent.adapter: no adapter is named 'tusk'; did you mean 'task'?

All of it works on plain values, so that a fault of another sort in an entry hides no name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from composer.recipe.document.findings import MAX_FAULTS, Finding, Path, nearest, show
from composer.recipe.grammar.composition import (
    LANGUAGE,
    RESERVED,
    Composition,
    CompositionError,
    adapter_names,
    parse_composition,
)

_USES = (
    ("languages.data", "data"),
    ("languages.adapter", "adapters"),
    ("languages.members.*.data", "data"),
    ("languages.members.*.adapter", "adapters"),
    ("tasks.*.data", "data"),
    ("tasks.*.adapter", "adapters"),
    ("compositions.*.task", "tasks"),
    ("compositions.*.train.task", "tasks"),
    ("evaluations.*.compositions.*", "compositions"),
    ("evaluations.*.data", "data"),
    ("bundles.*.compositions.*", "compositions"),
    ("bundles.*.vocabulary.data", "data"),
    ("compare.*.adapters.*", "adapters"),
    ("compare.*.tasks.*", "tasks"),
)
_NOUNS = {
    "adapters": "adapter",
    "data": "data source",
    "tasks": "task",
    "compositions": "composition or task",
}
_WITHOUT_REPETITION = (
    "adapters.*.leave_out",
    "languages.members",
    "languages.head.languages",
    "languages.losses.languages",
    "languages.losses.adapters",
    "tasks.*.languages",
    "tasks.*.cycle",
    "tasks.*.labels",
    "compositions.*.train.languages",
    "evaluations.*.compositions",
    "evaluations.*.languages",
    "bundles.*.compositions",
    "bundles.*.languages",
    "bundles.*.vocabulary.languages",
    "compare.*.adapters",
    "compare.*.tasks",
    "compare.*.seeds",
    "compare.*.languages",
    "compare.*.grid.*",
)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a recipe declares, whether or not the rest of it is sound."""

    adapters: tuple[str, ...]
    data: tuple[str, ...]
    languages: tuple[str, ...]
    proxies: tuple[str, ...]
    tasks: tuple[str, ...]
    compositions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Expressions:
    """The expressions that could be read, and what is wrong with them and the others.

    Attributes:
        sound: Those in which every name is known.
        findings: About the others.
    """

    sound: dict[str, Composition]
    findings: list[Finding]


def names_of(values: Mapping[str, object]) -> Names:
    """Collect what is declared."""
    return Names(
        adapters=_keys(values.get("adapters")),
        data=_keys(values.get("data")),
        languages=_declared_languages(values),
        proxies=tuple(str(path[-1]) for path, _ in matching(values, "languages.proxies.*")),
        tasks=_keys(values.get("tasks")),
        compositions=_keys(values.get("compositions")),
    )


def check_names(values: Mapping[str, object], names: Names) -> Iterator[Finding]:
    """Find names that nothing declares, and names or items that are given twice."""
    yield from _unknown(values, names)
    yield from _declared_twice(values, names)
    yield from _repeated(values)


def read_expressions(values: Mapping[str, object], names: Names) -> Expressions:
    """Read compositions, and check the names in them, until more is wrong than is told."""
    sound: dict[str, Composition] = {}
    findings: list[Finding] = []
    for name, path, text in _expressions(values):
        if len(findings) > MAX_FAULTS:
            break
        try:
            composition = parse_composition(text)
        except CompositionError as error:
            findings.append(Finding(path, error.message, position=error.position))
            continue
        wrong = list(islice(_unknown_members(composition, path, text, names), MAX_FAULTS))
        findings.extend(wrong)
        if not wrong:
            sound[name] = composition
    return Expressions(sound=sound, findings=findings)


def matching(values: object, pattern: str) -> Iterator[tuple[Path, object]]:
    """Give all values at a path of keys in which `*` is any key, or any position of a list.

    >>> list(matching({"tasks": {"a": {"data": "x"}, "b": {}}}, "tasks.*.data"))
    [(('tasks', 'a', 'data'), 'x')]
    """
    yield from _matching(values, tuple(pattern.split(".")), ())


def _matching(values: object, keys: Path, path: Path) -> Iterator[tuple[Path, object]]:
    if not keys:
        yield path, values
        return
    entries: list[tuple[str | int, object]] = []
    if isinstance(values, Mapping):
        entries = [(k, one) for k, one in values.items() if keys[0] in ("*", k)]
    elif isinstance(values, tuple) and keys[0] == "*":
        entries = list(enumerate(values))
    for key, one in entries:
        yield from _matching(one, keys[1:], (*path, key))


def _keys(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, Mapping) else ()


def _declared_languages(values: Mapping[str, object]) -> tuple[str, ...]:
    """List the members of `languages`, which are a list or the keys of a mapping."""
    for _, members in matching(values, "languages.members"):
        if isinstance(members, Mapping | tuple):
            return tuple(tag for tag in members if isinstance(tag, str))
    return ()


def _unknown(values: Mapping[str, object], names: Names) -> Iterator[Finding]:
    for pattern, kind in _USES:
        known = getattr(names, kind)
        if kind == "compositions":
            known = (*names.compositions, *names.tasks)
        declared = frozenset(known)
        for path, name in matching(values, pattern):
            if isinstance(name, str) and name not in declared:
                hint = nearest(name, known)
                yield Finding(path, f"no {_NOUNS[kind]} is named {show(name)}; {hint}")


def _declared_twice(values: Mapping[str, object], names: Names) -> Iterator[Finding]:
    """Find names shared by languages, tasks and compositions, and names with another meaning."""
    taken = dict.fromkeys((*names.languages, *names.proxies), "a language")
    for block, what in (("tasks", "a task"), ("compositions", "a composition")):
        for name in _keys(values.get(block)):
            if name in RESERVED:
                message = f"{name!r} has a meaning in compositions, and can be no name"
                yield Finding((block, name), message, on_key=True)
            elif name in taken:
                message = f"{name!r} is {taken[name]} too; give one of them another name"
                yield Finding((block, name), message, on_key=True)
            else:
                taken[name] = what


def _repeated(values: Mapping[str, object]) -> Iterator[Finding]:
    for pattern in _WITHOUT_REPETITION:
        for path, items in matching(values, pattern):
            if not isinstance(items, tuple):
                continue
            seen = set()
            for place, item in enumerate(items):
                if not isinstance(item, str | int | float):
                    continue
                if item in seen:
                    yield Finding((*path, place), f"{show(item)} is given twice")
                seen.add(item)


def _expressions(values: Mapping[str, object]) -> Iterator[tuple[str, Path, str]]:
    for path, value in matching(values, "compositions.*"):
        name = str(path[1])
        if isinstance(value, str):
            yield name, path, value
        elif isinstance(value, Mapping) and isinstance(value.get("expression"), str):
            yield name, (*path, "expression"), value["expression"]


def _unknown_members(
    composition: Composition, path: Path, text: str, names: Names
) -> Iterator[Finding]:
    known = frozenset((*names.tasks, *names.languages))
    for name in adapter_names(composition):
        position = _position(name, text)
        if name == LANGUAGE and not names.languages:
            message = f"{LANGUAGE} is bound to nothing: the recipe has no `languages`"
            yield Finding(path, message, position=position)
        elif name != LANGUAGE and name not in known:
            yield Finding(path, _unknown_member(name, names), position=position)


def _position(name: str, text: str) -> int | None:
    match = re.search(rf"(?<![\w$-]){re.escape(name)}(?![\w-])", text)
    return match.start() if match else None


def _unknown_member(name: str, names: Names) -> str:
    if name in names.compositions:
        return f"{name!r} is a composition; write out what it is made of"
    if name in names.proxies:
        return f"{name!r} has a proxy and no adapter of its own; write out what stands for it"
    if name in names.adapters:
        return f"{name!r} is the shape of adapters; name a task or language that is trained with it"
    hint = nearest(name, [*names.tasks, *names.languages])
    return f"no task or language is named {show(name)}; {hint}"
