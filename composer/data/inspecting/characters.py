r"""Characters that no reader sees, and texts that were decoded as what they are not.

"turn\u200b on"     a zero-width space: another token, the same look
"kÃ¼che"            "küche" in UTF-8, read as Latin-1
"k\ufffdche"        what is put for a byte that could not be read
"""

import re
import unicodedata
from collections.abc import Iterator

from composer.data.inspecting.parts import Part, share, shown, whole
from composer.errors import Fault

_HARMLESS = frozenset("\t\n\r\u200c\u200d")  # joiners belong to the spelling of many languages
_LOST = "\ufffd"
_FOREIGN = re.compile(r"[^\x00-\x7f]{2,}")


def character_warnings(part: Part) -> Iterator[Fault]:
    """Say which texts hold characters that are probably not meant."""
    for holds, what, remedy in (
        (holds_control, "hold control or invisible characters", "take them out"),
        (lambda text: _LOST in text, "hold U+FFFD, put for what could not be read",
         "read the file anew with its own encoding"),
        (is_misread, "look like UTF-8 that was read as Latin-1",
         "read the file anew as UTF-8"),
    ):  # fmt: skip
        found = [one for one in part.examples if holds(whole(one))]
        if found:
            said = f"{share(len(found), len(part.examples))} {what}: {shown(found)}; {remedy}"
            yield Fault(part.place, said)


def holds_control(text: str) -> bool:
    r"""Say whether a text holds a control character, or one that is not seen.

    >>> holds_control("turn\u200b on"), holds_control("turn\ton"), holds_control("\u0645\u200c")
    (True, False, False)
    """
    return not text.isprintable() and any(
        unicodedata.category(one) in ("Cc", "Cf") and one not in _HARMLESS for one in text
    )


def is_misread(text: str) -> bool:
    """Say whether a text is UTF-8 that was read as Latin-1 or Windows-1252.

    >>> is_misread("kÃ¼che"), is_misread("küche"), is_misread("Ã")
    (True, False, False)
    """
    return any(_decodes(run) for run in _FOREIGN.findall(text))


def _decodes(run: str) -> bool:
    for encoding in ("latin-1", "cp1252"):
        try:
            run.encode(encoding).decode()
        except UnicodeError:
            continue
        return True
    return False
