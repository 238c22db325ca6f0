"""The one door to pydantic's errors: plain values in, a recipe or findings out.

    {'loc': ('adapters', 'task', 'madapter', 'width'), 'type': 'greater_than_equal', ...}
    ->  Finding(("adapters", "task", "width"), "must be at least 1, not 0")

pydantic puts the arms of unions into its paths (`madapter` above). They are recognised by
following the schema's types along the path, which also tells what is allowed there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from composer.recipe.checking import wording
from composer.recipe.document.findings import Finding, Path
from composer.recipe.grammar.schema import Recipe

_SMALLEST = {"composer": 1, "name": "smallest", "backbone": {"source": "sample", "name": ""}}


def validate(values: Mapping[str, object]) -> tuple[Recipe | None, list[Finding]]:
    """Read plain values by the schema; lists must already be tuples."""
    strict = values
    if isinstance(values.get("composer"), bool | float):
        strict = {**values, "composer": "no number"}  # pydantic takes what equals 1
    try:
        return Recipe.model_validate(strict), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    located = [one for detail in details if (one := _located(detail, values)) is not None]
    return None, list(dict.fromkeys(_findings(located)))


def salvaged(values: Mapping[str, object]) -> Recipe:
    """Make a recipe of what is sound, so that one fault does not hide another elsewhere.

    An entry such as `tasks.intent` that holds a fault is left out whole.
    """
    known = {key: one for key, one in values.items() if key in Recipe.model_fields}
    sound = {**_SMALLEST, **known}
    while True:
        recipe, findings = validate(sound)
        if recipe is not None:
            return recipe
        sound = {**_SMALLEST, **_without(sound, findings)}


def _without(values: Mapping[str, object], findings: list[Finding]) -> dict[str, object]:
    """Leave out the entries that hold faults; a block whole where no entry of it is to blame."""
    refused: dict[str, set[str]] = {}
    for finding in findings:
        block, *entry = map(str, finding.path)
        refused.setdefault(block, set()).add(entry[0] if entry else "")
    sound = dict(values)
    for block, entries in refused.items():
        given = sound.pop(block, None)
        by_name = get_origin(_arms(_inner(Recipe, block))[0]) is dict
        if by_name and isinstance(given, Mapping) and entries <= given.keys():
            sound[block] = {key: one for key, one in given.items() if key not in entries}
    return sound


@dataclass(frozen=True)
class _Located:
    """An error of pydantic's at a path of the recipe.

    Attributes:
        detail: pydantic's.
        path: Without the arms of unions.
        type: What is allowed there, as far as the schema knows the path.
        around: The type of what the path's last key stands in.
        value: What was found there.
        on_key: Whether the key is wrong.
        unsure: Whether `type` is a union, and no one arm of it is meant.
    """

    detail: ErrorDetails
    path: Path
    type: object
    around: object
    value: object
    on_key: bool = False
    unsure: bool = False


def _located(detail: ErrorDetails, values: object) -> _Located | None:
    """Follow the types along an error's path; None for an arm that was not meant."""
    path: Path = ()
    around: object = None
    kind: object = Recipe
    for key in detail["loc"]:
        arms = _arms(kind)
        value = _at(values, path)
        if key == "[key]":
            return _Located(detail, path, kind, around, value, on_key=True)
        if len(arms) == 1:
            path, around, kind = (*path, key), arms[0], _inner(arms[0], key)
        elif _discriminator(arms):
            kind = next(arm for arm in arms if key in _tags(arm))
        else:
            meant = [arm for arm in arms if _shape(arm) == _shape_of(value)]
            if len(meant) != 1:
                return _Located(detail, path, kind, around, value, unsure=True)
            if _shape_named(str(key)) != _shape(meant[0]):
                return None
            kind = meant[0]
    return _Located(detail, path, kind, around, _at(values, path))


def _at(values: object, path: Path) -> object:
    for key in path:
        if isinstance(values, Mapping):
            values = values.get(key)
        elif isinstance(values, tuple) and isinstance(key, int):
            values = values[key]
        else:
            return None
    return values


def _bare(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _arms(kind: object) -> list[object]:
    """List the arms of a union, None left out; what is no union is its own arm."""
    kind = _bare(kind)
    if get_origin(kind) in (Union, UnionType):
        return [_bare(arm) for arm in get_args(kind) if arm is not NoneType]
    return [kind]


def _fields(kind: object) -> dict[str, FieldInfo] | None:
    """Give the fields of a block of the recipe; None for what is no block."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields
    return None


def _discriminator(arms: list[object]) -> str | None:
    """Name the key that tells the arms of a union of blocks apart."""
    fields = list(map(_fields, arms))
    if len(arms) < 2 or None in fields:
        return None
    return "kind" if "kind" in (fields[0] or {}) else "source"


def _tags(arm: object) -> tuple[object, ...]:
    """List the values of that key which mean this arm."""
    fields = _fields(arm) or {}
    return get_args(fields["kind" if "kind" in fields else "source"].annotation)


def _shape(arm: object) -> str:
    if _fields(arm) is not None or get_origin(arm) is dict:
        return "mapping"
    return "list" if get_origin(arm) is tuple else "scalar"


def _shape_of(value: object) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    return "list" if isinstance(value, tuple) else "scalar"


def _shape_named(label: str) -> str:
    """Say what pydantic's label of an arm is: `dict[...]`, `ComposedOf`, `tuple[...]`, `str`."""
    if label.startswith("dict[") or label[:1].isupper():
        return "mapping"
    return "list" if label.startswith("tuple[") else "scalar"


def _inner(kind: object, key: str | int) -> object:
    """Say what is allowed under a key of a type; None if there is no such key."""
    fields = _fields(kind)
    if fields is not None:
        return fields[key].annotation if isinstance(key, str) and key in fields else None
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def _findings(located: list[_Located]) -> Iterator[Finding]:
    above = {one.path[:depth] for one in located for depth in range(len(one.path))}
    beyond = {one.path for one in located if one.detail["type"] in wording.BOUNDS}
    for one in located:
        if one.unsure and one.path in beyond and one.detail["type"] not in wording.BOUNDS:
            continue  # a number where a number or a word may be: only how large it is, is wrong
        if one.detail["type"] == "too_short" and one.path in above:
            continue  # pydantic does not count the items that it refused
        yield _finding(one)


def _finding(one: _Located) -> Finding:
    """Word an error; where it stands depends on what it is."""
    match one.detail["type"]:
        case "extra_forbidden":
            known = list(_fields(one.around) or {})
            return Finding(one.path, wording.unknown_key(str(one.path[-1]), known), on_key=True)
        case "missing":
            what = wording.described(_arms(one.type))
            message = f"the key {one.path[-1]!r} is missing; it is {what}"
            return Finding(one.path[:-1], message, on_key=True)
        case "union_tag_invalid" | "union_tag_not_found":
            return _wrong_tag(one)
        case "value_error":
            return Finding(one.path, str(one.detail["ctx"]["error"]), on_key=True)
    value = one.path[-1] if one.on_key else one.value
    arms = _arms(one.type)
    told = not one.unsure or one.detail["type"] in wording.BOUNDS
    type_ = one.detail["type"] if told else ""
    message = wording.wrong_value(type_, value, arms, one.detail.get("ctx", {}))
    return Finding(one.path, message, on_key=one.on_key)


def _wrong_tag(one: _Located) -> Finding:
    arms = _arms(one.type)
    key = _discriminator(arms) or ""
    allowed = [tag for arm in arms for tag in _tags(arm)]
    if not isinstance(one.value, Mapping) or key not in one.value:
        message = f"the key {key!r} is missing; it is {wording.either(allowed)}"
        return Finding(one.path, message, on_key=True)
    return Finding((*one.path, key), wording.not_one_of(allowed, one.value[key]))
