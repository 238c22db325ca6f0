import pytest

from composer.data.examples import Example
from composer.data.leakage import GRAM, LIKE, Leak, TestTexts, normalised


def examples(*texts: str, file: str = "test.csv") -> list[Example]:
    return [Example(text=text, place=f"{file}:{row}") for row, text in enumerate(texts, start=2)]


def leaks(tested: list[Example], learnt: list[Example]) -> list[Leak]:
    return [leak for _, leak in TestTexts(tested).seen_in(learnt)]


@pytest.mark.parametrize(
    "text",
    [
        "turn on the kitchen lamp",
        "Turn ON the kitchen lamp!",
        "  turn\ton the kitchen-lamp ...",
        "ｔｕｒｎ on the kitchen lamp",
        "turn_on the kitchen lamp",
    ],
)
def test_case_punctuation_and_how_letters_are_stored_do_not_make_another_text(text: str):
    (tested,) = examples("turn on the kitchen lamp")
    (learnt,) = examples(text, file="train.csv")
    assert leaks([tested], [learnt]) == [Leak(how="exact", tested=tested, learnt=learnt)]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("set a timer for 5 minutes", "set a timer for 12 minutes", True),
        ("please turn on the lights in the kitchen", "turn on the lights in the kitchen", True),
        ("turn on the lights in the kitchen", "turn off the lights in the bedroom", False),
        ("打开厨房里的所有的灯和电视机和风扇", "打开厨房里的所有的灯和电视机和风扇吧", True),
        ("打开灯", "打开门", False),  # short texts are alike by chance
        ("on", "off", False),
    ],
)
def test_near_texts_have_almost_the_same_letters(one: str, other: str, alike: bool):
    found = leaks(examples(one), examples(other))
    assert [leak.how for leak in found] == (["near"] if alike else [])


def test_prefix_filtering_finds_all_that_comparing_each_with_each_does():
    words = "turn switch on off the all lights lamp fan kitchen bedroom now please 5 70".split()
    texts = [
        " ".join(words[(start * step + at) % len(words)] for at in range(4 + start % 4))
        for start in range(15)
        for step in (1, 2, 4, 7)
    ]
    texts += [f"{text} now" for text in texts[:20]]

    def grams(text: str) -> set[str]:
        import re

        padded = f" {re.sub('[0-9]+', '0', normalised(text))} "
        return {padded[at : at + GRAM] for at in range(len(padded) - GRAM + 1)}

    tested, learnt = examples(*texts[::2]), examples(*texts[1::2])
    wanted = {
        (one.place, other.place)
        for one in tested
        for other in learnt
        if len(grams(one.text) & grams(other.text)) / len(grams(one.text) | grams(other.text))
        >= LIKE
    }
    found = {(leak.tested.place, leak.learnt.place) for leak in leaks(tested, learnt)}
    assert len(wanted) > 10
    assert found == wanted


def test_a_sentence_is_found_in_a_long_text():
    long = "It was late. " + "He read on and on. " * 15 + "Turn on the lamp in the hall. He slept."
    (leak,) = leaks(examples("turn on the lamp in the hall"), examples(long))
    assert leak.how == "exact"


def test_a_pair_is_compared_as_a_whole():
    one = Example(text="a cat sat on the mat", pair="the cat is sitting", place="test:1")
    other = Example(text="a cat sat on the mat", pair="no dog was ever there", place="train:1")
    assert leaks([one], [other]) == []
    assert [leak.how for leak in leaks([one], [one])] == ["exact"]


def test_a_text_without_words_is_no_leak_of_another():
    assert [leak.how for leak in leaks(examples("?!"), examples("..."))] == []


def test_only_a_handful_of_candidates_are_compared(monkeypatch: pytest.MonkeyPatch):
    words = ("dim", "brighten", "find")
    tested = examples(*(f"{word} the lights in the kitchen" for word in words))
    texts = TestTexts(tested)
    looked: list[int] = []
    grams = texts._grams

    class Counted(list):  # type: ignore[type-arg]
        def __getitem__(self, place):  # noqa: ANN001, ANN204
            looked.append(place)
            return grams[place]

    monkeypatch.setattr(texts, "_grams", Counted(grams))
    others = examples(*(f"sentence number {word} says nothing of it" for word in "abcdefghij" * 50))
    assert list(texts.seen_in(others)) == []
    assert looked == []
