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
from typing import Any

from composer.errors import BundleError, ComposerError, StoreError

DEPTH_LIMIT = 64  # brackets in brackets
VALUES_LIMIT = 2**20  # commas and brackets: a value takes up to 200 times as much memory as text

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def canonical_json(value: object) -> bytes:
    r"""Spell a value of dicts, lists, strings, numbers, booleans and None.

    Raises:
        StoreError: Where the value cannot be spelt: NaN, a key that is no string, an object.

    >>> canonical_json({"b": 1, "a": "ä"}).decode()
    '{\n  "a": "ä",\n  "b": 1\n}\n'
    """
    try:
        _check(value, "", depth=0)
    except ValueError as fault:
        raise StoreError(f"cannot be written as JSON: {fault}") from fault
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
        _check(value, "", depth=0)
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


def _check(value: object, place: str, *, depth: int) -> None:
    """Refuse what canonical JSON has no spelling for; `place` is a path of keys."""
    if depth > DEPTH_LIMIT:
        raise ValueError(f"nested more than {DEPTH_LIMIT} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{place or 'the object'}: the key {key!r} is not a string")
            _check_one(key, place)
            _check(inner, f"{place}.{key[:80]}".lstrip("."), depth=depth + 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _check(inner, f"{place}[{number}]", depth=depth + 1)
    else:
        _check_one(value, place)


def _check_one(value: object, place: str) -> None:
    where = place or "the value"
    if value is not None and type(value) not in (bool, int, float, str):
        raise ValueError(f"{where}: {type(value).__name__} has no spelling in JSON")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value} is not a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{where}: a whole number of more than 64 bits")
    if isinstance(value, str) and _HALF_CHARACTER.search(value):
        raise ValueError(f"{where}: {value[:80]!r} holds half a character (a surrogate)")


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
