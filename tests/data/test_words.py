"""Which pieces go on with a word, for each kind of tokenizer."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from composer.data.encode import Encoder
from composer.data.examples import Example
from tests.tiny import tiny_tokenizer


def wordpiece() -> Tokenizer:
    return tiny_tokenizer()


def unigram() -> Tokenizer:
    pieces = ["<unk>", "<s>", "</s>", "<mask>", "▁", "▁turn", "▁bed", "side", ".", "▁打", "打",
              "开", "灯", "▁don", "'", "t", "▁the"]  # fmt: skip
    tokenizer = Tokenizer(
        models.Unigram([(piece, -1.0 - n / 100) for n, piece in enumerate(pieces)], unk_id=0)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return _with_specials(tokenizer)


def unigram_without_words() -> Tokenizer:
    """One that replaces spaces and cuts nothing: only the marks tell words apart."""
    tokenizer = unigram()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    return tokenizer


def byte_level() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<unk>", "<s>", "</s>", "<mask>", *letters]
    tokenizer = Tokenizer(models.BPE({p: n for n, p in enumerate(pieces)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return _with_specials(tokenizer)


def _with_specials(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    """Join the pieces of each word."""
    (found,) = Encoder(tokenizer, max_tokens=128).encode([Example(text=text)], words=True)
    joined: list[str] = []
    for id_, special, goes_on in zip(found.ids, found.special, found.continues, strict=True):
        piece = tokenizer.id_to_token(id_)
        if special:
            assert not goes_on
        elif goes_on:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


@pytest.mark.parametrize(
    ("tokenizer", "text", "expected"),
    [
        (wordpiece, "turn on bet.", ["turn", "on", "b##e##t", "[UNK]"]),
        (unigram, "turn the bedside.", ["▁turn", "▁the", "▁bedside", "."]),
        (unigram, "don't turn", ["▁don", "'", "t", "▁turn"]),
        (unigram, "打开灯", ["▁打", "开", "灯"]),
        (unigram_without_words, "turn the bedside", ["▁turn", "▁the", "▁bedside"]),
        (byte_level, "on bed.", ["Ġon", "Ġbed", "."]),
    ],
)
def test_pieces_are_joined_to_words(tokenizer: object, text: str, expected: list[str]):
    assert words(tokenizer(), text) == expected  # type: ignore[operator]


def test_words_of_a_pair_end_with_their_text():
    encoder = Encoder(tiny_tokenizer(), max_tokens=64)
    (found,) = encoder.encode([Example(text="bet", pair="bet")], words=True)
    assert found.continues == [0, 0, 1, 1, 0, 0, 1, 1, 0]


def test_nothing_is_looked_up_unless_asked_for():
    (found,) = Encoder(tiny_tokenizer(), max_tokens=64).encode([Example(text="bet")])
    assert found.continues == []
