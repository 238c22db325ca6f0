from pathlib import Path

import pytest

from composer.data.paths import find_file, source_files
from composer.errors import DataError
from composer.recipe.grammar.data import FileData, SplitPaths
from tests.data.files import write


def files(path: str | SplitPaths) -> FileData:
    return FileData(source="files", path=path)


def test_one_path_is_the_training_split(tmp_path: Path):
    write(tmp_path, "data/de.csv", "")
    found = source_files(files("data/$language.csv"), language="de", folder=tmp_path)
    assert {split: file.name for split, file in found.items()} == {"train": "data/de.csv"}


def test_all_missing_files_are_told_with_their_nearest_names(tmp_path: Path):
    write(tmp_path, "data/training.csv", "")
    paths = SplitPaths(train="data/trainin.csv", test="other/test.csv", validation="zzz.csv")
    with pytest.raises(DataError) as caught:
        source_files(files(paths), language="en", folder=tmp_path)
    assert sorted(map(str, caught.value.faults)) == [
        "data/trainin.csv: no such file; did you mean 'data/training.csv'?",
        "other/test.csv: no such file: the folder 'other' cannot be read",
        "zzz.csv: no such file",
    ]


def test_a_split_with_a_file_of_its_own_needs_no_other(tmp_path: Path):
    paths = SplitPaths(train="train/$language.csv", test="test/$language.csv")
    write(tmp_path, "test/fi.csv", "")
    found = source_files(files(paths), language="fi", folder=tmp_path, split="test")
    assert {split: file.name for split, file in found.items()} == {"test": "test/fi.csv"}
    for split in ("train", "validation", None):
        with pytest.raises(DataError, match=r"train/fi\.csv: no such file"):
            source_files(files(paths), language="fi", folder=tmp_path, split=split)


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "/etc/passwd", "data/../../secret.csv", "C:\\secret.csv", "\\\\host\\a.csv",
     "$language.csv"],
)  # fmt: skip
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str):
    write(tmp_path, "secret.csv", "")
    write(tmp_path, "recipe/data/a.csv", "")
    with pytest.raises(DataError, match="leads out of the recipe's folder, and a recipe reads"):
        find_file(path, language="../secret", folder=tmp_path / "recipe")


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path):
    write(tmp_path, "secret.csv", "")
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "data.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match=r"data\.csv: leads out of the recipe's folder"):
        find_file("data.csv", language="en", folder=tmp_path / "recipe")


def test_a_path_may_go_up_and_come_back(tmp_path: Path):
    write(tmp_path, "a.csv", "")
    (tmp_path / "data").mkdir()
    assert find_file("data/../a.csv", language="en", folder=tmp_path).path.is_file()


@pytest.mark.parametrize("absolute", [True, False])
def test_a_path_from_the_command_line_may_lie_anywhere(tmp_path: Path, absolute: bool):
    write(tmp_path, "a.csv", "")
    (tmp_path / "recipe").mkdir()
    path = str(tmp_path / "a.csv") if absolute else "../a.csv"
    file = find_file(path, language="en", folder=tmp_path / "recipe", outside=True)
    assert file.name == path


def test_a_folder_is_not_a_file(tmp_path: Path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv: is not a file"):
        find_file("a.csv", language="en", folder=tmp_path)


@pytest.mark.parametrize("path", ["a\0.csv", "a" * 5000 + ".csv", "loop/a.csv"])
def test_what_cannot_be_a_path_is_refused(tmp_path: Path, path: str):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match="cannot be a path|cannot be read"):
        find_file(path, language="en", folder=tmp_path)


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.csv.gz"])
def test_another_ending_is_refused(tmp_path: Path, name: str):
    write(tmp_path, name, "")
    with pytest.raises(DataError, match=r"is not read; known: \.csv, \.json, \.jsonl, \.ndjson"):
        find_file(name, language="en", folder=tmp_path)
