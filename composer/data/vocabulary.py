"""Fewer pieces for the same texts: which rows of a vocabulary to keep, and the tokenizer of those.

    {"vocab": [["<s>", 0.0], ..., ["▁lamp", -9.1], ["▁ランプ", -12.4]]}      250,002 pieces
    ->  {"vocab": [["<s>", 0.0], ..., ["▁lamp", -9.1]]}                       rows 0, 1, ..., 9127

A text all of whose pieces are kept is cut into the same pieces as before, and that is exact:

    Unigram     its best path is there still, with the same score, and no new path beats it: one
                piece of the lowest score stays, which the price of an unknown character hangs on
    BPE         kept pieces keep the merges that make them, in their order; merges that are gone
                made none of this text
    WordPiece   the longest match is there still, and no longer one came; but of a word that was
                unknown as a whole the beginning may be known now

Always kept: special and added tokens, whatever the post-processor names, single characters and
single bytes, so that other text is cut finer and not lost. What cannot be kept exact is refused.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from composer.bundle.jsontext import parse_json
from composer.data.tokenizer import parse_tokenizer, special_ids
from composer.errors import BackboneError

KINDS = ("Unigram", "WordPiece", "BPE")

_BYTE = re.compile("<0x[0-9A-F]{2}>")
_Values = Mapping[str, Any]  # of a tokenizer.json; screened before

# What a model may say that makes it another algorithm: kind -> name -> values that do not.
_PLAIN: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    "BPE": {
        "continuing_subword_prefix": (None, ""),
        "end_of_word_suffix": (None, ""),
        "ignore_merges": (None, False),
        "dropout": (None, 0, 0.0),
    },
}


def read_tokenizer_values(data: bytes, *, place: str) -> dict[str, Any]:
    """Read a `tokenizer.json` that can be trimmed.

    Raises:
        BackboneError: It is no tokenizer, or of a kind that cannot be trimmed exactly.
    """
    values = parse_json(data, place=place, error=BackboneError)
    model = values.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or kind not in KINDS:
        raise BackboneError(
            f"{place}: a tokenizer of kind {str(kind)[:80]!r} cannot be trimmed; "
            f"{', '.join(KINDS)} can"
        )
    for name, plain in _PLAIN.get(kind, {}).items():
        if model.get(name) not in plain:
            raise BackboneError(
                f"{place}: model.{name}: {str(model[name])[:80]!r}: a {kind} tokenizer with it "
                "cannot be trimmed exactly; use the whole vocabulary"
            )
    if kind == "Unigram":
        _check_unigram(model, place)
    return values


def kept_rows(
    values: _Values, used: Collection[int], *, through: int, at_least: int = 0
) -> tuple[int, ...]:
    """Choose the rows to keep, ascending.

    Args:
        values: Of the whole `tokenizer.json`.
        used: Ids that texts were cut into.
        through: This id and all before it stay what they are: the padding's, as some
            architectures count positions from it.
        at_least: Fill up to so many with further pieces of characters that the texts use, lowest
            id first, which is the most frequent first.
    """
    pieces = _pieces(values)
    kept = {*range(through + 1), *_always(values, pieces), *(one for one in used if one in pieces)}
    if len(kept) < at_least:
        added = {token["id"] for token in values.get("added_tokens") or ()}
        alphabet = {one for number in used if number not in added for one in pieces.get(number, "")}
        more = [one for one in sorted(pieces.keys() - kept) if alphabet.issuperset(pieces[one])]
        kept.update(more[: at_least - len(kept)])
    return tuple(sorted(kept | _makings(values, pieces, kept)))


def trimmed_tokenizer(values: _Values, rows: Sequence[int], *, types: int, place: str) -> bytes:
    """Give the `tokenizer.json` of the kept rows; row 0 is the first of them, and so on.

    Args:
        values: Of the whole one.
        rows: Of `kept_rows`.
        types: Of token types that the backbone tells apart.
        place: For messages.

    Raises:
        BackboneError: Its numbering cannot be closed up.
    """
    number = {old: new for new, old in enumerate(rows)}
    trimmed = {
        **values,
        "model": _model(values["model"], number),
        "added_tokens": [
            {**token, "id": number[token["id"]]} for token in values.get("added_tokens") or ()
        ],
        "post_processor": _renumbered(values.get("post_processor"), number),
    }
    if values.get("padding"):
        trimmed["padding"] = {**values["padding"], "pad_id": number[values["padding"]["pad_id"]]}
    data = json.dumps(trimmed, ensure_ascii=False, separators=(",", ":")).encode()
    tokenizer = parse_tokenizer(data, place=place, rows=len(rows), types=types)
    for old, piece in _pieces(values).items():
        found = tokenizer.token_to_id(piece)
        if found != number.get(old):
            raise BackboneError(
                f"{place}: {piece[:80]!r} would be row {found} of the trimmed vocabulary, not "
                f"{number.get(old)}: its ids have gaps, or a piece is there twice; use "
                "the whole one"
            )
    return data


def _check_unigram(model: _Values, place: str) -> None:
    if model.get("unk_id") is None:
        raise BackboneError(
            f"{place}: model.unk_id: null: without an unknown piece, text whose pieces are left "
            "out could not be read; use the whole vocabulary"
        )


def _pieces(values: _Values) -> dict[int, str]:
    """Give every id that a text may get -> its piece."""
    vocabulary = values["model"]["vocab"]
    if isinstance(vocabulary, list):
        found = {number: str(entry[0]) for number, entry in enumerate(vocabulary)}
    else:
        found = {number: piece for piece, number in vocabulary.items()}
    return found | {token["id"]: token["content"] for token in values.get("added_tokens") or ()}


def _always(values: _Values, pieces: Mapping[int, str]) -> Iterator[int]:
    model = values["model"]
    prefix = model.get("continuing_subword_prefix") or ""
    for number, piece in pieces.items():
        if len(piece.removeprefix(prefix)) <= 1 or _BYTE.fullmatch(piece):
            yield number
    yield from (token["id"] for token in values.get("added_tokens") or ())
    for _, one in special_ids(values.get("post_processor")):
        if isinstance(one, int):
            yield one
    if values.get("padding"):
        yield values["padding"]["pad_id"]
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        yield model["unk_id"]
        yield scores.index(min(scores))
    else:
        yield from (number for number, piece in pieces.items() if piece == model.get("unk_token"))


def _makings(values: _Values, pieces: Mapping[int, str], kept: Collection[int]) -> set[int]:
    """Give the pieces that byte-pair encoding makes on its way to the kept ones."""
    model = values["model"]
    if model["type"] != "BPE":
        return set()
    ranks = {pair: rank for rank, pair in enumerate(_merges(model))}
    made = {part for one in kept for part in _merged(pieces.get(one, ""), ranks)}
    return {model["vocab"][part] for part in made if part in model["vocab"]}


def _merged(piece: str, ranks: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Put a piece together as byte-pair encoding does; give every part on the way."""
    parts = list(piece)
    yield from parts
    while len(parts) > 1:
        ranked = [
            (ranks[pair], at)
            for at, pair in enumerate(zip(parts, parts[1:], strict=False))
            if pair in ranks
        ]
        if not ranked:
            return
        _, at = min(ranked)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        yield parts[at]


def _merges(model: _Values) -> list[tuple[str, str]]:
    """List the merges; they are written as "a b", or as ["a", "b"]."""
    pairs = [one.split(" ") if isinstance(one, str) else one for one in model["merges"]]
    return [(first, second) for first, second in pairs]


def _model(model: _Values, number: Mapping[int, int]) -> dict[str, Any]:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        entries = [entry for old, entry in enumerate(vocabulary) if old in number]
        return {**model, "vocab": entries, "unk_id": number[model["unk_id"]]}
    left = {piece: number[old] for piece, old in vocabulary.items() if old in number}
    if model["type"] != "BPE":
        return {**model, "vocab": left}
    merges = [
        written
        for written, (first, second) in zip(model["merges"], _merges(model), strict=True)
        if {first, second, first + second} <= left.keys()
    ]
    return {**model, "vocab": left, "merges": merges}


def _renumbered(values: object, number: Mapping[int, int]) -> object:
    """Copy a post-processor with its ids renumbered: {"ids": [101]}, "sep": ["[SEP]", 102]."""
    if isinstance(values, list):
        return [_renumbered(one, number) for one in values]
    if not isinstance(values, dict):
        return values
    found: dict[str, object] = {}
    for name, value in values.items():
        if name == "ids" and isinstance(value, list):
            found[name] = [number[one] for one in value]
        elif name in ("sep", "cls") and isinstance(value, list) and len(value) == 2:
            found[name] = [value[0], number[value[1]]]
        else:
            found[name] = _renumbered(value, number)
    return found
