"""JSON that has exactly one spelling, and a strict reader for JSON from elsewhere.

Canonical: keys sorted, indent 2, UTF-8 as it is, no NaN, one newline at the end.

    {
      "format": 1,
      "languages": [
        "de"
      ]
    }
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Self

from composer.errors import BundleError, ComposerError, StoreError

DEPTH_LIMIT = 64  # brackets in brackets
VALUES_LIMIT = 2**20  # commas and brackets: a value takes up to 200 times as much memory as text

_SPELT = {bool, int, float, str, type(None)}
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def canonical_json(value: object) -> bytes:
    r"""Spell a value of dicts, lists, strings, numbers, booleans and None.

    Raises:
        StoreError: Where the value cannot be spelt: NaN, a key that is no string, an object.

    >>> canonical_json({"b": 1, "a": "ä"}).decode()
    '{\n  "a": "ä",\n  "b": 1\n}\n'
    """
    try:
        _check(value)
    except ValueError as fault:
        raise StoreError(f"cannot be written as JSON: {fault}") from fault
    return _spell(value)


def is_canonical(data: bytes, value: object) -> bool:
    r"""Say whether a value, as `parse_json` read it, was spelt canonically.

    It is not checked a second time, which for small files takes as long as the rest.

    >>> data = b'{"a": 1}\n'
    >>> is_canonical(data, parse_json(data, place="adapter.json"))
    False
    """
    return _spell(value) == data


def _spell(value: object) -> bytes:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def parse_json(
    data: bytes, *, place: str, error: type[ComposerError] = BundleError
) -> dict[str, Any]:
    """Read an object, strictly: no key twice, no NaN or infinity, no great depth or number.

    >>> parse_json(b'{"a": 1, "a": 2}', place="adapter.json")
    Traceback (most recent call last):
    composer.errors.BundleError: adapter.json: the key 'a' is there twice
    """
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > VALUES_LIMIT:
        raise error(f"{place}: more than {VALUES_LIMIT:,} values")
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_once_each,
            parse_constant=_refuse_constant,
        )
        _check(value)
    except RecursionError as fault:
        raise error(f"{place}: nested more than {DEPTH_LIMIT} deep") from fault
    except ValueError as fault:  # not JSON, not UTF-8, or refused below
        raise error(f"{place}: {_in_short(fault)}") from fault
    if not isinstance(value, dict):
        raise error(f"{place}: must be an object in braces, not {type(value).__name__}")
    return value


def one_line(text: str, limit: int = 500) -> str:
    r"""Show text from elsewhere: cut short, and nothing in it that moves a terminal's cursor.

    >>> one_line("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in cut)


class _UnspeltError(ValueError):
    """A value that canonical JSON has no spelling for, and the way to it.

    The way is put together only when there is such a value: a tokenizer has a million.
    """

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault, self.way = fault, ""

    def inside(self, step: str) -> Self:
        """Say one step more of the way, from the outside."""
        self.way = f"{step}{self.way}"
        return self

    def __str__(self) -> str:
        return f"{self.way.lstrip('.') or 'the value'}: {self.fault}"


def _check(value: object, *, depth: int = 0) -> None:
    """Refuse what canonical JSON has no spelling for."""
    if depth > DEPTH_LIMIT:
        raise ValueError(f"nested more than {DEPTH_LIMIT} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _UnspeltError(f"the key {key!r} is not a string")
            _check_one(key)
            try:
                _check(inner, depth=depth + 1)
            except _UnspeltError as fault:
                raise fault.inside(f".{key[:80]}") from None
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            try:
                _check(inner, depth=depth + 1)
            except _UnspeltError as fault:
                raise fault.inside(f"[{number}]") from None
    else:
        _check_one(value)


def _check_one(value: object) -> None:
    if type(value) not in _SPELT:
        raise _UnspeltError(f"{type(value).__name__} has no spelling in JSON")
    if isinstance(value, str):
        if _HALF_CHARACTER.search(value):
            raise _UnspeltError(f"{value[:80]!r} holds half a character (a surrogate)")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _UnspeltError(f"{value} is not a finite number")
    elif isinstance(value, int):
        if type(value) is not bool and not -(2**63) <= value < 2**63:
            raise _UnspeltError("a whole number of more than 64 bits")


def _once_each(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} is there twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not a finite number")


def _in_short(fault: ValueError) -> str:
    if isinstance(fault, json.JSONDecodeError):
        return f"line {fault.lineno}, column {fault.colno}: {fault.msg}"
    if isinstance(fault, UnicodeDecodeError):
        return f"byte {fault.start}: not UTF-8"
    return str(fault)
