"""Text whose pieces are all kept is cut as before, whatever the vocabulary; checked on any text."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from composer.data.vocabulary import kept_rows, read_tokenizer_values, trimmed_tokenizer
from composer.errors import BackboneError
from tests.tiny import SENTENCES, tiny_tokenizer

Values = dict[str, Any]

LETTERS = "abc"
WORDS = st.text(LETTERS + "d", min_size=1, max_size=6)  # no vocabulary here knows "d"
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=8)
PIECES = st.sets(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=14)
SPECIAL = ["<s>", "<pad>", "<unk>"]


def tokenizer_values(model: Values, *, first: str = "Whitespace", unknown: int = 2) -> Values:
    """Put a whole `tokenizer.json` around a model, whose first pieces are special tokens."""
    pre: Values = {"type": first}
    if first == "Metaspace":
        pre |= {"replacement": "▁", "prepend_scheme": "always", "split": True}
    if first == "ByteLevel":
        pre |= {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": piece, "special": True, **flags}
            for number, piece in zip((0, 1, unknown), SPECIAL, strict=True)
        ],
        "normalizer": None,
        "pre_tokenizer": pre,
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["<pad>", 1],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": None,
        "model": model,
    }


@st.composite
def unigrams(draw: st.DrawFn) -> Values:
    """Draw pieces with few different scores, so that paths tie; a letter may be missing.

    Some are so low that a path over an unknown letter, 10 below the lowest, may be the better.
    """
    pieces = draw(PIECES) | {f"▁{piece}" for piece in draw(PIECES)} | {"▁"}
    scores = st.sampled_from([-1.0, -2.0, -2.5, -14.0, -30.0])
    vocabulary = [["<s>", 0.0], ["<pad>", 0.0]]
    vocabulary += [[piece, draw(scores)] for piece in sorted(pieces)] + [["<unk>", 0.0]]
    unknown = len(vocabulary) - 1
    model = {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": False}
    return tokenizer_values(model, first="Metaspace", unknown=unknown)


@st.composite
def word_pieces(draw: st.DrawFn) -> Values:
    pieces = [*SPECIAL, *sorted(draw(PIECES)), *sorted(f"##{one}" for one in draw(PIECES))]
    model = {
        "type": "WordPiece",
        "unk_token": "<unk>",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {piece: number for number, piece in enumerate(pieces)},
    }
    return tokenizer_values(model)


@st.composite
def byte_pairs(draw: st.DrawFn, *, first: str = "Whitespace") -> Values:
    """Draw merges of what earlier merges made."""
    parts, merges = [*LETTERS, *("Ġ" if first == "ByteLevel" else "")], []
    for _ in range(draw(st.integers(0, 14))):
        pair = [draw(st.sampled_from(parts)), draw(st.sampled_from(parts))]
        if len("".join(pair)) <= 6 and pair not in merges:
            merges.append(pair)
            parts += ["".join(pair)] * ("".join(pair) not in parts)
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *parts])}
    as_text = draw(st.booleans())
    model = {
        "type": "BPE",
        "unk_token": "<unk>",
        "fuse_unk": False,
        "byte_fallback": False,
        "vocab": vocabulary,
        "merges": [" ".join(pair) for pair in merges] if as_text else merges,
    }
    return tokenizer_values(model, first=first)


def read(values: Mapping[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(values))


def trim(values: Values, texts: list[str], **how: int) -> tuple[dict[int, int], Tokenizer]:
    """Keep what texts use; give the new number of each row, and the tokenizer."""
    checked = read_tokenizer_values(json.dumps(values).encode(), place="tokenizer.json")
    used = {one for found in read(values).encode_batch(texts) for one in found.ids}
    rows = kept_rows(checked, used, **{"through": 1, **how})
    data = trimmed_tokenizer(checked, rows, types=2, place="tokenizer.json")
    return {old: new for new, old in enumerate(rows)}, Tokenizer.from_str(data.decode())


def check_exact(values: Values, texts: list[str], *, unknown_too: bool = True) -> None:
    number, after = trim(values, texts[::2])
    whole, cut = read(values).encode_batch(texts), after.encode_batch(texts)
    for one, other in zip(whole, cut, strict=True):
        if not unknown_too and "<unk>" in one.tokens:
            continue
        if all(piece in number for piece in one.ids):
            assert other.tokens == one.tokens
            assert other.ids == [number[piece] for piece in one.ids]
            assert other.offsets == one.offsets


@settings(max_examples=60)
@given(unigrams(), TEXTS)
def test_unigrams_cut_text_of_kept_pieces_as_before(values: Values, texts: list[str]):
    check_exact(values, texts)


@settings(max_examples=60)
@given(word_pieces(), TEXTS)
def test_word_pieces_cut_known_words_of_kept_pieces_as_before(values: Values, texts: list[str]):
    check_exact(values, texts, unknown_too=False)


@settings(max_examples=60)
@given(byte_pairs(), TEXTS)
def test_byte_pairs_cut_text_of_kept_pieces_as_before(values: Values, texts: list[str]):
    check_exact(values, texts)


@settings(max_examples=60)
@given(byte_pairs(first="ByteLevel"), TEXTS)
def test_byte_pairs_of_bytes_cut_text_of_kept_pieces_as_before(values: Values, texts: list[str]):
    check_exact(values, texts)


@settings(max_examples=60)
@given(unigrams(), TEXTS)
def test_all_the_texts_that_chose_the_pieces_are_cut_as_before(values: Values, texts: list[str]):
    number, after = trim(values, texts)
    for one, other in zip(read(values).encode_batch(texts), after.encode_batch(texts), strict=True):
        assert other.ids == [number[piece] for piece in one.ids]


def tiny_values() -> Values:
    return json.loads(tiny_tokenizer().to_str())  # type: ignore[no-any-return]


def test_words_that_are_not_used_go_and_special_tokens_and_letters_stay():
    values = tiny_values()
    number, after = trim(values, SENTENCES[:2], through=0)
    whole = read(values)
    kept = {whole.id_to_token(one) for one in number}
    assert {"lamp", "[MASK]", "z", "##z", "9"} <= kept
    assert "cuisine" not in kept
    assert after.encode("cuisine").tokens == ["[CLS]", "c", *(f"##{x}" for x in "uisine"), "[SEP]"]
    assert len(number) == after.get_vocab_size() < whole.get_vocab_size()


def test_post_processor_and_padding_are_renumbered():
    values = tiny_values()
    values["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 4,
        "pad_type_id": 0,
        "pad_token": "[MASK]",
    }
    # Special tokens in the middle, so that their numbers change.
    vocabulary = values["model"]["vocab"]
    moved = {piece: (number + 40) % len(vocabulary) for piece, number in vocabulary.items()}
    values["model"]["vocab"] = moved
    for token in values["added_tokens"]:
        token["id"] = moved[token["content"]]
    for name, special in values["post_processor"]["special_tokens"].items():
        special["ids"] = [moved[name]]
    values["padding"]["pad_id"] = moved["[MASK]"]
    number, after = trim(values, SENTENCES[:1], through=0)
    whole, (one, other) = read(values), after.encode_batch([SENTENCES[0], "turn"])
    assert one.ids == [number[piece] for piece in whole.encode(SENTENCES[0]).ids]
    assert other.ids[-1] == number[moved["[MASK]"]] != moved["[MASK]"]


def test_a_vocabulary_is_filled_up_with_frequent_pieces_of_the_same_letters():
    values = tiny_values()
    few, _ = trim(values, ["the lamp"], through=0)
    more, _ = trim(values, ["the lamp"], through=0, at_least=len(few) + 1)
    (added,) = more.keys() - few.keys()
    whole = read(values)
    written = set("thelamp#")
    fitting = [one for one in range(added) if set(whole.id_to_token(one)) <= written]
    assert set(whole.id_to_token(added)) <= written
    assert set(fitting) <= few.keys()  # those before it are kept already


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "WordLevel"}, "a tokenizer of kind 'WordLevel' cannot be trimmed; Unigram, Word"),
        ({"type": "BPE", "ignore_merges": True}, "model.ignore_merges: 'True': a BPE tokenizer"),
        ({"type": "BPE", "end_of_word_suffix": "</w>"}, "model.end_of_word_suffix: '</w>'"),
        ({"type": "BPE", "dropout": 0.1}, "model.dropout: '0.1'"),
        ({"type": "Unigram", "unk_id": None}, "model.unk_id: null: without an unknown piece"),
    ],
)
def test_what_cannot_be_trimmed_exactly_is_refused_by_name(change: Values, message: str):
    values = {**tiny_values(), "model": {"vocab": {}, **change}}
    with pytest.raises(BackboneError, match=message):
        read_tokenizer_values(json.dumps(values).encode(), place="tokenizer.json")


def test_a_piece_that_is_there_twice_is_refused():
    model = {"type": "Unigram", "unk_id": 2, "vocab": [[one, 0.0] for one in [*SPECIAL, "a", "a"]]}
    with pytest.raises(BackboneError, match="'a' would be row 4 of the trimmed vocabulary, not 3"):
        trim(tokenizer_values(model, first="Metaspace"), ["a"])


def test_an_unknown_letter_costs_as_much_as_before():
    """It costs 10 more than the worst piece, which no text here uses."""
    pieces = {"▁ab": -1.0, "▁a": -20.0, "bc": -20.0, "zz": -35.0}
    vocabulary = [["<s>", 0.0], ["<pad>", 0.0], ["<unk>", 0.0], *map(list, pieces.items())]
    model = {"type": "Unigram", "unk_id": 2, "vocab": vocabulary}
    values = tokenizer_values(model, first="Metaspace")
    _, after = trim(values, ["abc", "ab"])
    assert read(values).encode("abc").tokens == ["<s>", "▁a", "bc", "<pad>"]
    assert after.encode("abc").tokens == ["<s>", "▁a", "bc", "<pad>"]
