from pathlib import Path

import pytest
from tokenizers import Tokenizer

# Ids that the package's own tokenizer (e5.c, compiled) gives; the first are also XLM-R's.
KNOWN = [
    ("Hello world", [35378, 8999]),
    ("Hello world!", [35378, 8999, 38]),
    ("Schalte das Licht im Wohnzimmer aus", [117319, 67, 381, 49300, 566, 214539, 1312]),
    ("включи свет на кухне", [76360, 8802, 29, 81402, 336]),
    ("打开卧室的灯", [6, 55308, 157418, 8481, 43, 36480]),
    ("keittiön valo päälle", [116678, 19, 32391, 48132]),
    ("¿Cuál es la temperatura?", [3936, 113761, 198, 21, 17294, 32]),
    ("zażółć gęślą jaźń", [80, 138371, 1032, 6, 68322, 3124, 35091, 79, 17469, 6419]),
    ("température à 21,5 °C", [124340, 253, 116, 57626, 16207, 441]),
    ("مرحبا بالعالم", [665, 193478, 258, 1705, 77796]),
    ("नमस्ते दुनिया", [68700, 97883, 29405]),
    ("สวัสดีชาวโลก", [6, 92185, 36955, 3641, 27858, 25834]),
    ("안녕하세요", [107687]),
    ("ﬁne ① ㎏", [5885, 106, 5279]),
    ("full\u3000width\u3000ＡＢＣ", [4393, 6, 146984, 47457]),
    ("a  b\tc", [10, 876, 501]),
    ("好～", [6, 1322, 6087]),
    ("😀", [21119]),
    ("zero\u200bwidth", [45234, 6, 146984]),
]


@pytest.fixture(scope="module")
def tokenizer(e5: Path) -> Tokenizer:
    return Tokenizer.from_file(str(e5 / "tokenizer.json"))


@pytest.mark.parametrize(("text", "ids"), KNOWN, ids=lambda value: str(value)[:12])
def test_a_text_has_the_ids_that_the_package_gives_it(
    text: str, ids: list[int], tokenizer: Tokenizer
):
    assert tokenizer.encode(text).ids == [0, *ids, 2]


def test_a_space_at_the_end_makes_no_token(tokenizer: Tokenizer):
    assert tokenizer.encode("on ").ids == tokenizer.encode("on").ids


def test_a_pair_is_parted_by_two_ends(tokenizer: Tokenizer):
    assert tokenizer.encode("Hello", "world").tokens == [
        *("<s>", "▁Hello", "</s>", "</s>", "▁world", "</s>")
    ]
    assert set(tokenizer.encode("Hello", "world").type_ids) == {0}


def test_there_is_a_mask(tokenizer: Tokenizer):
    assert tokenizer.token_to_id("<mask>") == 250001
    assert tokenizer.encode("turn on <mask> lamp").ids == [0, 15504, 98, 250001, 36389, 2]


def test_a_token_begins_at_its_letters_and_not_at_the_space(tokenizer: Tokenizer):
    assert tokenizer.encode("turn  on lamp").offsets[1:-1] == [(0, 4), (6, 8), (9, 13)]


def test_nothing_is_cut_or_padded(tokenizer: Tokenizer):
    assert tokenizer.truncation is None
    assert tokenizer.padding is None
