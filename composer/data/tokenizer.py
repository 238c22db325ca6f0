"""A tokenizer from elsewhere: `tokenizer.json` screened as plain data, then loaded.

The bytes that are screened are the bytes that the library is given, so nothing changes between.
What could be harmful in such a file, and is refused:

    ids that the embeddings have no row for     an index error in the middle of a run
    {"Regex": "(a+)+b"}                         minutes of search in one line of text
    "max_input_chars_per_word": 100000000       time squared in the length of a word
    "dropout": 0.5                              other tokens each time
    {"type": "Prepend", "prepend": "aaaa..."}   a text that grows without bound
    {"type": "Precompiled", ...}                a table that leads out of itself: the library dies
"""

import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from composer.bundle.files import read_bytes
from composer.bundle.jsontext import parse_json
from composer.errors import BackboneError

TOKENIZER = "tokenizer.json"
TOKENIZER_LIMIT = 2**26  # bytes; the largest in use, of 250,000 pieces, has 17 MB
LONGEST_WORD = 1000  # characters that WordPiece looks at as one word
LONGEST_TEXT = 64  # characters that a normalizer may put in the place of others
_FAULTS_SHOWN = 20

# A plain run of characters and classes, with one repetition at its end: linear in any text.
_PLAIN = r"(?:[^\\.^$*+?{}\[\]|()]|\\[^0-9gkpPxucC]|\\[pP]\{\^?\w+\}|\[\^?(?:[^\\\[\]&]|\\.)+\])"
_LINEAR = re.compile(rf"{_PLAIN}{{1,64}}(?:[+]|\{{\d{{1,3}}(?:,\d{{0,3}})?\}})?")
_PROBE = "Turn on the lamp, 3 × ½ ﷺ 東京 मुंबई 👩‍🚀 e\u0301\x00"


def read_tokenizer(folder: Path, *, rows: int, types: int) -> Tokenizer:
    """Screen and load a tokenizer; it neither pads nor cuts.

    Args:
        folder: With `tokenizer.json`.
        rows: Of the token embeddings.
        types: Of token types that the backbone tells apart.

    Raises:
        BackboneError: It is not safe, does not fit the backbone, or cannot be read.
    """
    file = folder / TOKENIZER
    data = read_bytes(file, TOKENIZER_LIMIT, error=BackboneError)
    return parse_tokenizer(data, place=str(file), rows=rows, types=types)


def parse_tokenizer(data: bytes, *, place: str, rows: int, types: int) -> Tokenizer:
    """Screen and load the bytes of a `tokenizer.json`; as `read_tokenizer`."""
    values = parse_json(data, place=place, error=BackboneError)
    faults = [*_id_faults(values, rows), *_faults(values, "", types)]
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        shown = [f"{place}: {fault}" for fault in faults[:_FAULTS_SHOWN]]
        raise BackboneError("\n".join([*shown, f"and {more:,} more"] if more > 0 else shown))
    return _load(place, data.decode())


def _load(place: str, text: str) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode(_PROBE)  # a crafted table may read, and then fail at the first text
        return tokenizer
    except Exception as error:  # the library raises bare Exception, and nothing narrower
        raise BackboneError(f"{place}: cannot be read: {error}") from error
    except BaseException as error:  # a panic of the library, which Python does not see as an error
        if type(error).__name__ != "PanicException":
            raise
        raise BackboneError(f"{place}: the library gave up on it: {error}") from error


def _id_faults(values: Mapping[str, object], rows: int) -> Iterator[str]:
    """Hold every token id to the rows of the embeddings."""
    beyond = f"is no id of the backbone's {rows:,} tokens (0 to {rows - 1:,})"
    for place, one in _ids(values):
        if type(one) is not int or not 0 <= one < rows:
            yield f"{place[:200]}: {str(one)[:80]} {beyond}"


def _ids(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    model = values.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        for piece, number in vocabulary.items():
            yield f"model.vocab[{piece!r}]", number
    elif isinstance(vocabulary, list) and vocabulary:
        yield f"model.vocab[{len(vocabulary) - 1}]", len(vocabulary) - 1
        if isinstance(model, dict) and model.get("unk_id") is not None:
            yield "model.unk_id", model["unk_id"]
    added = values.get("added_tokens")
    for number, token in enumerate(added if isinstance(added, list) else []):
        if isinstance(token, dict):
            yield f"added_tokens[{number}].id", token.get("id")
    yield from special_ids(values.get("post_processor"))


def special_ids(values: object, place: str = "post_processor") -> Iterator[tuple[str, object]]:
    """Find the ids in a post-processor, each with its place: {"ids": [101]}, "sep": ["[SEP]", 102].

    >>> list(special_ids({"sep": ["[SEP]", 102]}))
    [('post_processor.sep', 102)]
    """
    for name, value in _items(values):
        inner = f"{place}.{name}"
        if name == "ids" and isinstance(value, list):
            yield from ((f"{inner}[{number}]", one) for number, one in enumerate(value))
        elif name in ("sep", "cls") and isinstance(value, list) and len(value) == 2:
            yield inner, value[1]
        else:
            yield from special_ids(value, inner)


def _faults(values: object, place: str, types: int) -> Iterator[str]:
    """Look at all but the vocabulary for what takes too long, or is another each time."""
    for name, value in _items(values):
        inner = f"{place}.{name}".lstrip(".")
        if name in ("vocab", "merges", "added_tokens"):
            continue
        if name == "Regex" and not (isinstance(value, str) and _LINEAR.fullmatch(value)):
            yield (
                f"{inner}: {str(value)[:80]!r} may take for ever; allowed are characters and "
                "classes, the last of them repeated"
            )
        elif name == "String" and value == "":
            yield f"{inner}: an empty pattern is everywhere; give at least one character"
        elif (
            name in ("content", "prepend") and isinstance(value, str) and len(value) > LONGEST_TEXT
        ):
            yield f"{inner}: {len(value):,} characters; at most {LONGEST_TEXT} are put into a text"
        elif name == "precompiled_charsmap" and (fault := _table_fault(value)):
            yield f"{inner}: {fault}; save the tokenizer again from its original"
        elif name == "max_input_chars_per_word" and not _within(value, LONGEST_WORD):
            yield f"{inner}: {str(value)[:80]}; allowed is 0 to {LONGEST_WORD:,}"
        elif name == "type_id" and not _within(value, max(types, 2) - 1):
            yield f"{inner}: {str(value)[:80]}; allowed is 0 to {max(types, 2) - 1}"
        elif name == "dropout" and value:
            yield f"{inner}: {str(value)[:80]} gives other tokens each time; must be null"
        else:
            yield from _faults(value, inner, types)


def _items(values: object) -> Iterator[tuple[str, object]]:
    if isinstance(values, dict):
        yield from values.items()
    elif isinstance(values, list):
        yield from ((str(number), value) for number, value in enumerate(values))


def _within(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _table_fault(value: object) -> str:
    """Follow SentencePiece's table of characters: a trie in an array, and what it leads to.

    4 bytes      length of the trie, little endian
    trie         units of 4 bytes (darts-clone): label, offset, "has a leaf", or a leaf's value
    the rest     texts, each ended by a zero byte

    A lookup goes from unit p to `p ^ offset ^ byte`, and from a leaf into the texts, and checks
    neither (tokenizers 0.22). Here all of them are checked at once.
    """
    try:
        data = binascii.a2b_base64(str(value), strict_mode=True)
    except binascii.Error:
        return "is no base64"
    length = int.from_bytes(data[:4], "little")
    if length % 4 or length == 0 or 4 + length > len(data):
        return f"a trie of {length:,} bytes in a table of {len(data):,}"
    units = np.frombuffer(data, "<u4", length // 4, 4).astype(np.int64)
    texts = np.frombuffer(data, np.uint8, offset=4 + length)
    inner = np.flatnonzero(units < 2**31)
    offsets = (units[inner] >> 10) << ((units[inner] & 2**9) >> 6)
    beneath = inner ^ offsets
    if (beneath | 255).max(initial=0) >= len(units):
        return "a trie that leads out of itself"
    leaves = beneath[(units[inner] >> 8) & 1 == 1]
    starts = units[leaves] & (2**31 - 1)
    if starts.max(initial=-1) >= len(texts):
        return "a trie that leads out of its texts"
    if ((texts[starts] & 0xC0) == 0x80).any():
        return "a trie that leads into the middle of a character"
    ends = np.append(np.flatnonzero(texts == 0), len(texts))
    if (ends[np.searchsorted(ends, starts)] - starts).max(initial=0) > LONGEST_TEXT:
        return f"puts more than {LONGEST_TEXT} bytes in the place of a character"
    return ""
