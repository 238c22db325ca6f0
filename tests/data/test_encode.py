import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from composer.data.bio import IGNORED, spans_of_tags, tags_of_spans
from composer.data.encode import Encoder, cut_texts
from composer.data.examples import Example, Span
from composer.errors import BackboneError, DataError
from tests.data.tokens import SENTENCES, unigram, word_piece

FAMILIES = pytest.mark.parametrize("tokenizer", [word_piece(), unigram()], ids=["bert", "xlm-r"])
LONG = Example(text=" ".join(SENTENCES), place="a.csv:7")


@FAMILIES
def test_ids_are_those_of_the_tokenizer(tokenizer: Tokenizer):
    examples = [Example(text=text) for text in SENTENCES] * 400  # more than one portion
    encoded = Encoder(tokenizer, max_tokens=64).encode(examples)
    assert [one.ids for one in encoded] == [tokenizer.encode(text).ids for text in SENTENCES] * 400


@FAMILIES
def test_pairs_are_encoded_with_their_types(tokenizer: Tokenizer):
    pairs = [("turn on", "the lamp"), ("", "x")]
    examples = [Example(text=text, pair=pair) for text, pair in pairs]
    encoded = Encoder(tokenizer, max_tokens=64).encode(examples)
    expected = [tokenizer.encode(*pair) for pair in pairs]
    assert [(one.ids, one.type_ids) for one in encoded] == [
        (one.ids, one.type_ids) for one in expected
    ]


def test_single_texts_and_pairs_may_be_mixed():
    examples = [Example(text="turn on"), Example(text="turn on", pair="lamp")]
    single, pair = Encoder(word_piece(), max_tokens=64).encode(examples)
    assert (max(single.type_ids), max(pair.type_ids)) == (0, 1)


@FAMILIES
def test_special_tokens_are_marked(tokenizer: Tokenizer):
    (one,) = Encoder(tokenizer, max_tokens=64).encode([Example(text="the lamp")])
    assert [one.special[0], *one.special[1:-1], one.special[-1]] == [
        1, *[0] * (len(one.ids) - 2), 1
    ]  # fmt: skip


@FAMILIES
def test_a_text_that_is_too_long_is_refused_with_its_place(tokenizer: Tokenizer):
    found = len(tokenizer.encode(LONG.text).ids)
    message = (
        rf"^a\.csv:7: {found} tokens, and the backbone takes 12, special ones included; "
        r"shorten the text, or cut it: 'truncate: true' on the data source, --truncate on"
    )
    with pytest.raises(DataError, match=message):
        Encoder(tokenizer, max_tokens=12).encode([Example(text="on"), LONG])


def test_all_texts_that_are_too_long_are_told():
    examples = [LONG, Example(text="on"), Example(text=LONG.text)]
    with pytest.raises(DataError) as caught:
        Encoder(word_piece(), max_tokens=12).encode(examples)
    assert [fault.place for fault in caught.value.faults] == ["a.csv:7", "example 3"]


@FAMILIES
def test_a_text_of_just_the_right_length_is_taken_whole(tokenizer: Tokenizer):
    length = len(tokenizer.encode(LONG.text).ids)
    (one,) = Encoder(tokenizer, max_tokens=length).encode([LONG], truncate=True)
    assert (len(one.ids), one.cut) == (length, 0)


@FAMILIES
@pytest.mark.parametrize("pair", [None, "the lamp", " ".join(SENTENCES)])
def test_a_text_is_cut_as_the_tokenizer_cuts_it(tokenizer: Tokenizer, pair: str | None):
    cutter = Tokenizer.from_str(tokenizer.to_str())
    cutter.enable_truncation(20)
    expected = cutter.encode(LONG.text, pair)
    example = Example(text=LONG.text, pair=pair)
    (one,) = Encoder(tokenizer, max_tokens=20).encode([example], truncate=True, offsets=True)
    assert (one.ids, one.type_ids, one.offsets) == (
        expected.ids, expected.type_ids, expected.offsets
    )  # fmt: skip
    assert one.cut == len(tokenizer.encode(LONG.text, pair).ids) - 20
    assert cut_texts([one]) == 1


def test_the_side_that_a_tokenizer_cuts_from_is_kept():
    tokenizer = Tokenizer.from_str(word_piece().to_str())
    tokenizer.enable_truncation(64, direction="left")
    (one,) = Encoder(tokenizer, max_tokens=6).encode([LONG], truncate=True)
    whole = word_piece().encode(LONG.text).ids
    assert one.ids == [whole[0], *whole[-5:-1], whole[-1]]


def test_a_tokenizer_that_pads_and_cuts_is_not_changed_and_not_obeyed():
    tokenizer = Tokenizer.from_str(word_piece().to_str())
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8, pad_id=7, pad_token="[PAD]")
    before = tokenizer.to_str()
    encoder = Encoder(tokenizer, max_tokens=300)
    encoded = encoder.encode([Example(text="on"), LONG])
    assert [len(one.ids) for one in encoded] == [
        len(word_piece().encode(text).ids) for text in ("on", LONG.text)
    ]
    assert encoder.pad_id == 7
    assert tokenizer.to_str() == before


def test_the_tokens_that_pad_and_mask_are_found():
    bert, xlm_r = Encoder(word_piece(), max_tokens=9), Encoder(unigram(), max_tokens=9)
    assert (bert.pad_id, bert.mask_id) == (0, 4)
    assert (xlm_r.pad_id, xlm_r.mask_id) == (1, 4)


def test_a_backbone_must_take_more_than_special_tokens():
    with pytest.raises(BackboneError, match="max_tokens: 4 leaves no room for a text"):
        Encoder(unigram(), max_tokens=4)


def test_offsets_are_kept_only_where_they_are_asked_for():
    encoder = Encoder(word_piece(), max_tokens=64)
    assert encoder.encode([LONG.__class__(text="on")])[0].offsets == []


@FAMILIES
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("turn on the bed lamp", "bed lamp"),
        ("  turn on   the bed  lamp ", "bed  lamp"),
        ("Schalte die Küchenlampe ein", "Küchenlampe"),
        ("Schalte die Ku\u0308chenlampe ein", "Ku\u0308chenlampe"),
        ("включи свет на кухне", "кухне"),
        ("أشعل الضوء في المطبخ", "المطبخ"),
        ("灯", "灯"),
    ],
)
def test_whole_words_come_back_through_the_tokens(tokenizer: Tokenizer, text: str, name: str):
    start = text.index(name)
    spans = (Span(start=start, end=start + len(name), label="name"),)
    example = Example(text=text, spans=spans)
    (one,) = Encoder(tokenizer, max_tokens=64).encode([example], offsets=True)
    tags = tags_of_spans(spans, text=text, offsets=one.offsets, labels=["name"])
    assert tags.misaligned == 0
    assert tags.ids[0] == tags.ids[-1] == IGNORED
    assert spans_of_tags(tags.ids, text=text, offsets=one.offsets, labels=["name"]) == spans


@FAMILIES
@given(words=st.lists(st.sampled_from(" ".join(SENTENCES).split()), min_size=1), data=st.data())
def test_any_whole_words_come_back(tokenizer: Tokenizer, words: list[str], data: st.DataObject):
    text = " ".join(words)
    starts = [len(" ".join([*words[:number], ""])) for number in range(len(words))]
    chosen = data.draw(st.lists(st.integers(0, len(words) - 1), unique=True))
    spans = tuple(
        Span(start=starts[number], end=starts[number] + len(words[number]), label="name")
        for number in sorted(chosen)
    )
    encoder = Encoder(tokenizer, max_tokens=1000)
    (one,) = encoder.encode([Example(text=text)], offsets=True)
    tags = tags_of_spans(spans, text=text, offsets=one.offsets, labels=["name"])
    assert spans_of_tags(tags.ids, text=text, offsets=one.offsets, labels=["name"]) == spans
