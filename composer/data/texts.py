"""What may stand in a cell: text that a tokenizer can read, and numbers that are finite."""

import math
import re
import unicodedata

MAX_CHARACTERS = 100_000

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}


def text_fault(text: str) -> str | None:
    r"""Say why `text` cannot be an input, or None if it can.

    >>> text_fault("  ")
    'the text is empty'
    >>> text_fault("\u200b\x07")
    'the text holds nothing that can be seen, only U+200B U+0007'
    >>> text_fault("turn on the lamp")
    """
    if not text.strip():
        return "the text is empty"
    if len(text) > MAX_CHARACTERS:
        return f"a text of {len(text):,} characters; at most {MAX_CHARACTERS:,} are read"
    if "\0" in text:
        return "a zero byte, U+0000, which no text holds; is the file saved as UTF-8?"
    surrogate = _SURROGATE.search(text)
    if surrogate:
        return f"half a character, U+{ord(surrogate.group()):04X}, which no text may hold"
    if not any(unicodedata.category(character) not in _INVISIBLE for character in text):
        codes = " ".join(f"U+{ord(character):04X}" for character in text[:5])
        return f"the text holds nothing that can be seen, only {codes}"
    return None


def label_fault(label: str) -> str | None:
    """Say why `label` cannot be a label, or None if it can.

    >>> label_fault(" ")
    'the label is missing'
    """
    if not label.strip():
        return "the label is missing"
    if len(label) > 1000:
        return f"a label of {len(label):,} characters; at most 1,000 are read"
    if _SURROGATE.search(label):
        return "half a character in the label, which no text may hold"
    control = _CONTROL.search(label)
    if control:
        return f"the control character U+{ord(control.group()):04X} in the label {shortened(label)}"
    return None


def looks(text: str) -> str:
    r"""Give what a reader sees of a label: equal for labels that are hardly told apart.

    >>> looks("Caf\u00e9 ") == looks("cafe\u0301\u200b"), looks("on") == looks("no")
    (True, False)
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    seen = "".join(
        " " if one.isspace() else one for one in plain if unicodedata.category(one) != "Cf"
    )
    return unicodedata.normalize("NFKC", " ".join(seen.split()))


def finite_number(text: str) -> float | None:
    """Read a decimal number; None if it is not one, or not finite.

    >>> finite_number("1.5e3"), finite_number("1,5"), finite_number("nan"), finite_number("1e999")
    (1500.0, None, None, None)
    """
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def broken_byte(text: str) -> int | None:
    r"""Find the first byte that was not UTF-8 in text decoded with "surrogateescape".

    >>> hex(broken_byte(b"caf\xe9".decode(errors="surrogateescape")))
    '0xe9'
    """
    found = None if text.isascii() else _SURROGATE.search(text)
    return ord(found.group()) - 0xDC00 if found else None


def named(column: str) -> str:
    r"""Show a column's name as it is, unless it cannot be seen or has no end.

    >>> named("text"), named("te\x1b[2Jxt")
    ('text', "'te\\x1b[2Jxt'")
    """
    return column if column.isprintable() and len(column) <= 40 else shortened(column)


def shortened(text: str, length: int = 40) -> str:
    """Show a value in a message: quoted, and not longer than a line can bear.

    >>> shortened("a" * 100, 5)
    "'aaaaa...'"
    """
    return repr(text if len(text) <= length else text[:length] + "...")
