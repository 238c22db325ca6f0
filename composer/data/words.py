"""Where words begin, so that all pieces of one can be hidden together.

    turn  off  the  bed  ##side  lamp        0 0 0 0 1 0
    ▁turn ▁off ▁the ▁bed side ▁lamp .        0 0 0 0 1 0 0

What a tokenizer cuts at before it looks for pieces (spaces, mostly), and the mark of a beginning
that pieces may bear, make words. A sign of punctuation is a word of its own. So is each piece in
the scripts that are written without spaces, as nothing here knows where their words end.
"""

import unicodedata
from functools import lru_cache

from tokenizers import Encoding

_BEGINNINGS = ("▁", "Ġ")  # SentencePiece's and byte-level BPE's mark of a space before a piece
_WITHOUT_SPACES = (
    *("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "BOPOMOFO", "YI"),
    *("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE", "TAI"),
)


def continuations(encoding: Encoding, *texts: str) -> list[int]:
    """Say of each token whether it goes on with the word of the token before: 1, else 0.

    Args:
        encoding: Of one text or of two.
        texts: What was encoded.
    """
    found = [0] * len(encoding.ids)
    words, sequences = encoding.word_ids, encoding.sequence_ids
    for at in range(1, len(found)):
        sequence = sequences[at]
        same = sequence is not None and words[at] == words[at - 1]
        if not same or sequence != sequences[at - 1]:
            continue
        if encoding.tokens[at].startswith(_BEGINNINGS):
            continue
        text, start, before = texts[sequence], encoding.offsets[at][0], encoding.offsets[at - 1][1]
        first, last = text[start : start + 1], text[max(before - 1, 0) : before]
        found[at] = int(not _alone(first) and not _alone(last))
    return found


@lru_cache(maxsize=4096)
def _alone(character: str) -> bool:
    """Say whether a character is no part of a longer word.

    >>> _alone("灯"), _alone("."), _alone("a"), _alone("")
    (True, True, False, False)
    """
    if not character:
        return False
    if unicodedata.category(character)[0] in "PS":
        return True
    return unicodedata.name(character, "").startswith(_WITHOUT_SPACES)
