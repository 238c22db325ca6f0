import pytest

from composer.data.samples.assistant import LANGUAGES
from composer.recipe.grammar.relatives import _lines, is_placed, nearest_relatives

MEMBERS = ["en", "de", "fr", "ru", "zh-CN", "pl", "fi", "es"]


@pytest.mark.parametrize(
    ("language", "nearest"),
    [
        ("uk", ["ru"]),
        ("cs", ["pl"]),
        ("hr", ["ru", "pl"]),
        ("pt-BR", ["es"]),
        ("ca", ["es"]),
        ("ro", ["fr", "es"]),
        ("nl", ["de"]),
        ("sv", ["en", "de"]),
        ("et", ["fi"]),
        ("zh-HK", ["zh-CN"]),
        ("de-CH", ["de"]),
        ("hi", ["en", "de", "fr", "ru", "pl", "es"]),
        ("tr", []),
        ("eu", []),
    ],
)
def test_the_nearest_relatives_share_the_smallest_group(language: str, nearest: list[str]):
    assert nearest_relatives(language, MEMBERS) == nearest


def test_a_language_that_is_not_in_the_table_is_related_to_its_own_variants_only():
    assert nearest_relatives("xx-AB", ["en", "xx"]) == ["xx"]
    assert nearest_relatives("xx", ["en"]) == []


def test_all_sample_languages_but_the_isolate_are_in_the_table():
    assert [tag for tag in LANGUAGES if not is_placed(tag)] == ["eu"]


def test_each_language_stands_in_one_group():
    from composer.recipe.grammar.relatives import _GROUPS

    tags = [tag for line in _GROUPS.splitlines() if ": " in line for tag in line.split()[1:]]
    listed = [tag for tag in tags if tag in _lines()]
    assert len(listed) == len(_lines()) == len(set(listed))
