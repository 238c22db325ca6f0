"""How a wrong value is said: what it must be, what was found, and what was probably meant.

Two of them:

    must be a whole number, not '1_000'; write 1000
    must be 'houlsby' or 'pfeiffer', not 'hulsby'; did you mean 'houlsby'?
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal, get_args, get_origin

from composer.errors import did_you_mean
from composer.recipe.document.findings import show

_PATTERNS = {
    "^[A-Za-z][A-Za-z0-9_-]{0,63}$": "a name: a letter, then letters, digits, - and _, 64 at most",
    "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$": "a language tag such as 'de' or 'zh-CN'",
    "^[0-9a-f]{40}$": "a full commit of 40 hexadecimal digits; a branch may move",
}
BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_SCALARS: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_NEEDS_QUOTES = frozenset(",[]{}'\"#:&*!|%@`?")
_LONGEST_PLAIN = 60


def either(values: Iterable[object]) -> str:
    """List what is allowed.

    >>> either(["houlsby", "pfeiffer"]), either([1])
    ("'houlsby' or 'pfeiffer'", '1')
    """
    *before, last = map(show, values)
    return f"{', '.join(before)} or {last}" if before else last


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Say that there is no such key.

    >>> unknown_key("widht", ["width", "bias"])
    "unknown key; did you mean 'width'?"
    """
    return f"unknown key; {did_you_mean(key, known)}"


def not_one_of(allowed: Sequence[object], value: object) -> str:
    """Say that a value is none of a closed set.

    >>> not_one_of(("bottleneck", "madapter"), "madaptor")
    "must be 'bottleneck' or 'madapter', not 'madaptor'; did you mean 'madapter'?"
    """
    near = get_close_matches(str(value), [str(one) for one in allowed], n=1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] in allowed else ""
    return f"must be {either(allowed)}, not {show(value)}{hint}"


def described(arms: Iterable[object]) -> str:
    """Say what a type, or a union of these, allows.

    >>> described([float, Literal["learned"]]), described([tuple[str, ...], dict[str, int]])
    ("a number or 'learned'", 'a list or a mapping')
    """
    words = [_described(arm) for arm in arms]
    return " or ".join(word for word in dict.fromkeys(words) if not _covered(word, words))


def _described(arm: object) -> str:
    if get_origin(arm) is Literal:
        return either(get_args(arm))
    if get_origin(arm) is tuple:
        return "a list"
    return _SCALARS.get(arm, "a mapping")


def _covered(word: str, words: list[str]) -> bool:
    return word == _SCALARS[int] and _SCALARS[float] in words


def wrong_value(
    error: str, value: object, arms: Sequence[object], context: Mapping[str, object]
) -> str:
    """Word pydantic's error about one value.

    Args:
        error: pydantic's name of it, or "" if no one arm is meant.
        value: What was found.
        arms: The types that are allowed there.
        context: pydantic's.

    >>> wrong_value("greater_than_equal", 0, [int], {"ge": 1})
    'must be at least 1, not 0'
    """
    if error in BOUNDS:
        bound, words = BOUNDS[error]
        return f"must be {words} {_number(context[bound])}, not {show(value)}"
    if error == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"must be {_PATTERNS.get(pattern, f'like {pattern}')}, not {show(value)}"
    if error == "too_short":
        least = context["min_length"]
        items = "1 item" if least == 1 else f"{least} items"
        return f"must have at least {items}, not {context['actual_length']}"
    if error == "finite_number":
        return f"must be a finite number, not {show(value)}"
    literals = [one for arm in arms if get_origin(arm) is Literal for one in get_args(arm)]
    if len(arms) == 1 and literals:
        return not_one_of(literals, value)
    near = get_close_matches(str(value), map(str, literals), n=1)
    remedy = f"; did you mean {near[0]!r}?" if near else _remedy(value, arms)
    return f"must be {described(arms)}, not {show(value)}{remedy}"


def _number(bound: object) -> str:
    return f"{bound:.10g}" if isinstance(bound, float) else str(bound)


def _remedy(value: object, arms: Sequence[object]) -> str:
    """Say what to write instead, if that can be told."""
    kinds = {get_origin(arm) or arm for arm in arms}
    if value is None:
        return "; leave the key out, or give it a value"
    if str in kinds and isinstance(value, bool | int | float):
        return f'; quote it: "{show(value)}"'
    if tuple in kinds and isinstance(value, str | int | float):
        text = str(value)
        plain = text.isprintable() and len(text) <= _LONGEST_PLAIN and not set(text) & _NEEDS_QUOTES
        return f"; write [{text}]" if plain else "; put it in square brackets"
    if isinstance(value, str) and kinds & {int, float} and str not in kinds:
        return _number_meant(value)
    if isinstance(value, float) and int in kinds and value.is_integer():
        return f"; write {int(value)}"
    return ""


def _number_meant(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return ""
    return f"; write {number:.15g}"
