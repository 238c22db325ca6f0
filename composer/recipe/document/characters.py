"""Characters that no recipe holds, as they stand or escaped: what is read is what is seen.

name: ho<U+0000>me            control characters, and halves of characters
name: home # <U+202E>...      what shows a line in another order than it is read in
"""

import re

_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")  # CVE-2021-42574: in comments as well
_BEYOND_UNICODE = re.compile(r"\\U(?!000|0010)[0-9a-fA-F]{8}")


def wrong_character(text: str) -> tuple[int, str] | None:
    r"""Find a character that no recipe holds: where it is, and what is wrong with it.

    Marks that text from right to left needs (U+200E, U+200F, U+061C) and joiners may stand.

    >>> wrong_character("a\x07")
    (1, 'control character U+0007')
    >>> wrong_character("a\u200fb")
    """
    found = _CONTROL.search(text) or _TURNING.search(text)
    if found is None:
        return None
    code = f"U+{ord(found[0]):04X}"
    if _TURNING.match(found[0]):
        return found.start(), f"{code} shows text in another order than it is read; take it out"
    half = "\ud800" <= found[0] <= "\udfff"
    return found.start(), f"{'half a character' if half else 'control character'} {code}"


def beyond_unicode(text: str, start: int) -> tuple[int, str] | None:
    r"""Find an escape that stands for no character, from a position on.

    >>> beyond_unicode(r'name: "\UFFFFFFFF"', 0)
    (7, '\\UFFFFFFFF is no character')
    """
    found = _BEYOND_UNICODE.search(text, start)
    return (found.start(), f"{found[0]} is no character") if found else None
