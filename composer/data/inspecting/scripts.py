"""Which script a text is written in, and whether that is the script of its language.

    scripts_of("ru")                        {"CYRILLIC"}
    script_of("включи лампу в kitchen")     "CYRILLIC": that of most of its letters

By Unicode's names of letters, so nothing is needed for it. It cannot tell languages of one script
from each other, such as English text among German, nor Chinese from Japanese without kana.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache

from composer.data.inspecting.parts import Part, share, shown
from composer.errors import Fault

FEWEST = 3  # letters, from which a text is judged

_HAN = "HAN"  # with the kana and letters that are written among it
_AS_HAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO"})
_WRITTEN: Mapping[str, str] = {  # script -> languages that are written in it alone
    "ARABIC": "ar arz ckb fa ps sd ug ur",
    "ARMENIAN": "hy hyw",
    "BENGALI": "as bn",
    "CYRILLIC": "ba be bg ce cv kk ky mk mn os ru tg tt uk",
    "DEVANAGARI": "bho hi mai mr ne sa",
    "ETHIOPIC": "am ti",
    "GEORGIAN": "ka xmf",
    "GREEK": "el grc",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    _HAN: "ja wuu yue zh",
    "HANGUL": "ko",
    "HEBREW": "he yi",
    "KANNADA": "kn",
    "KHMER": "km",
    "LAO": "lo",
    "LATIN": (
        "af br ca ceb cs cy da de en eo es et eu fi fil fo fr fy ga gd gl hr ht hu id is it jv la "
        "lb lt lv mg mi ms mt nb nl nn no oc pl pt qu ro sk sl so sq sv sw tl tr vi xh yo zu"
    ),
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "ORIYA": "or",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
    "TIBETAN": "bo dz",
}
_SCRIPTS = {tag: script for script, tags in _WRITTEN.items() for tag in tags.split()}
_CODES: Mapping[str, str] = {  # of a language tag, ISO 15924
    "arab": "ARABIC", "cyrl": "CYRILLIC", "deva": "DEVANAGARI", "grek": "GREEK", "hans": _HAN,
    "hant": _HAN, "hebr": "HEBREW", "jpan": _HAN, "kore": "HANGUL", "latn": "LATIN",
}  # fmt: skip


def expected_script(language: str) -> str | None:
    """Name the script of a language; None: it has several, or is not in the table.

    >>> expected_script("ru"), expected_script("sr-Latn"), expected_script("sr")
    ('CYRILLIC', 'LATIN', None)
    """
    first, *rest = language.lower().split("-")
    named = [_CODES[part] for part in rest if part in _CODES]
    return named[0] if named else _SCRIPTS.get(first)


def script_of(text: str) -> str | None:
    """Name the script of most letters of a text; None: it has next to no letters.

    >>> script_of("включи лампу"), script_of("電気をつけて"), script_of("5 °C")
    ('CYRILLIC', 'HAN', None)
    """
    found = Counter(map(_script, filter(str.isalpha, unicodedata.normalize("NFKC", text))))
    if found.total() < FEWEST:
        return None
    return min(found, key=lambda script: (-found[script], script))


def script_warnings(part: Part) -> Iterator[Fault]:
    """Say which texts are not in the script of their language.

    Of a language that is not in the table, it is the script of most of its texts.
    """
    scripts = [script_of(one.text) for one in part.examples]
    counts = Counter(script for script in scripts if script is not None)
    usual = expected_script(part.language) or max(counts, key=counts.__getitem__, default=None)
    odd = [
        one
        for one, script in zip(part.examples, scripts, strict=True)
        if script is not None and script != usual
    ]
    if odd:
        others = ", ".join(sorted({script for script in counts if script != usual}))
        yield Fault(
            part.place,
            f"{share(len(odd), len(part.examples))} are in another script than {usual} ({others}): "
            f"{shown(odd)}; take them out, or give them to their own language",
        )


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
    return _HAN if name in _AS_HAN else name
