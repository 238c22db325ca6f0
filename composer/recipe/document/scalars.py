"""What an unquoted scalar of YAML 1.2 is, by its core schema.

What it says of each:

    1e-3  1.0e-3  8  0o17  0x1F   numbers          true  false        the only truth values
    no  yes  on  1_000  2026-01-01  text           null  ~  (empty)   nothing
"""

import re

from composer.recipe.document.tree import Scalar

_NOTHING = re.compile(r"|~|null|Null|NULL")
_TRUTH = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o([0-7]+)")
_HEXADECIMAL = re.compile(r"0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 40


def resolved(text: str) -> Scalar:
    """Say what an unquoted scalar is, by YAML 1.2's core schema.

    >>> [resolved(text) for text in ("1e-3", "no", "1_000", "0o17", "true", "~", "2026-01-01")]
    [0.001, 'no', '1_000', 15, True, None, '2026-01-01']

    Raises:
        OverflowError: A number that is not finite, or too long to be meant.
    """
    if _NOTHING.fullmatch(text):
        return None
    truth = _TRUTH.fullmatch(text)
    if truth:
        return truth[1] is not None
    if _NOT_FINITE.fullmatch(text):
        raise OverflowError("only finite numbers are")
    for pattern, base in ((_INTEGER, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            _check_length(text)
            return int(text, base)
    if not _FLOAT.fullmatch(text):
        return text
    _check_length(text)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise OverflowError("it is larger than 1.8e308")
    return number


def _check_length(text: str) -> None:
    if len(text) > _LONGEST_NUMBER:
        raise OverflowError(f"it has more than {_LONGEST_NUMBER} characters")
