from pathlib import Path

import pytest

from composer.recipe.checking.advice import warnings
from tests.recipe.recipes import SOUND, load


def advice(folder: Path, *changes: tuple[str, str]) -> list[str]:
    text = SOUND
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return list(map(str, warnings(load(folder, text).recipe)))


MEAN = ('  mean: {expression: "average(intent, domain)", task: domain}\n', "")


def test_nothing_is_said_of_what_is_as_it_should_be(tmp_path: Path):
    assert advice(tmp_path, MEAN) == []


def test_a_fusion_without_the_tasks_own_adapter_is_told(tmp_path: Path):
    other = ("compositions:\n", "  other: {type: text-classification, data: intent, "
             "languages: [en], adapter: thin}\ncompositions:\n")  # fmt: skip
    change = ("train: {task: intent,", "train: {task: other,")
    (told,) = advice(tmp_path, MEAN, other, change)
    assert told == (
        "compositions.few-shot.expression: other's own adapter is not in the fusion; without it "
        "the fusion can only mix what other tasks kept, and a bare head is often better; add other"
    )


@pytest.mark.parametrize("expression", ["$language > intent", "none"])
def test_a_head_alone_needs_no_own_adapter(tmp_path: Path, expression: str):
    change = ("$language > fuse(intent, domain)\n    train: {task: intent", f"{expression}\n"
              "    train: {task: domain")  # fmt: skip
    assert advice(tmp_path, MEAN, change) == []


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("average(intent, domain)", True),
        ("de > average(intent, domain)", False),
        ("$language > domain > intent", False),
        ("domain > $language > intent", False),
        ("intent > $language > domain", True),
        ("average(de > intent, domain)", False),
        ("average(de, ru) > intent", False),
        ("average(de, intent)", True),
    ],
)
def test_a_task_trained_over_languages_with_none_under_it_is_told(
    tmp_path: Path, expression: str, told: bool
):
    found = advice(tmp_path, ("average(intent, domain)", expression))
    message = (
        "compositions.mean.expression: intent was trained over language adapters, and none is "
        "under it here; write $language > intent"
    )
    assert found == [message] * told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("data/own.csv", True),
        ("data/$language.csv", False),
        ("{train: a/$language.csv, test: a.csv}", True),
        ("{train: a/$language.csv, test: b/$language.csv}", False),
    ],
)
def test_a_file_that_is_read_for_several_languages_is_told(tmp_path: Path, path: str, told: bool):
    found = advice(
        tmp_path,
        MEAN,
        ("  domain: {source: sample, name: assistant/domain}", f"  domain: {{source: files, path: "
         f"{path}}}"),
    )  # fmt: skip
    message = (
        "data.domain.path: the same file is read for en, ru; if it is not all of them, put "
        "$language into the path"
    )
    assert found == [message] * told


def test_places_are_taken_from_the_file_where_they_are_known(tmp_path: Path):
    loaded = load(tmp_path)
    (told,) = warnings(loaded.recipe, loaded.place)
    assert told.place == f"{tmp_path}/home.yaml:23:22"
    assert told.message.startswith("compositions.mean.expression: intent was trained over")
