import subprocess
import sys
from pathlib import Path

import pytest

from composer.data.sources import read_examples
from composer.errors import DataError
from composer.recipe.grammar.data import FileData, SampleData, Split, SplitPaths
from tests.data.files import write, write_parquet


def numbered(count: int) -> str:
    return "text,label\n" + "".join(f"text {number},l{number % 2}\n" for number in range(count))


def read_split(folder: Path, path: str | SplitPaths, split: Split) -> list[str]:
    source = FileData(source="files", path=path)
    examples = read_examples(
        source, type="text-classification", language="en", split=split, folder=folder
    )
    return [example.text for example in examples]


def test_one_file_is_shared_out_over_three_splits(tmp_path: Path):
    write(tmp_path, "a.csv", numbered(1000))
    parts = [read_split(tmp_path, "a.csv", split) for split in ("train", "validation", "test")]
    assert sorted(sum(parts, [])) == sorted(f"text {number}" for number in range(1000))
    assert [round(len(part), -2) for part in parts] == [800, 100, 100]


def test_a_split_that_has_a_file_is_read_from_it_and_the_others_held_out(tmp_path: Path):
    write(tmp_path, "a.csv", numbered(1000))
    write(tmp_path, "t.csv", "text,label\nother,l0\n")
    paths = SplitPaths(train="a.csv", test="t.csv")
    assert read_split(tmp_path, paths, "test") == ["other"]
    train, validation = (read_split(tmp_path, paths, split) for split in ("train", "validation"))
    assert len(train) + len(validation) == 1000
    assert 80 < len(validation) < 120


def test_a_language_that_has_test_texts_alone_is_read(tmp_path: Path):
    write(tmp_path, "test/en.csv", "text,label\nlights on,l0\n")
    paths = SplitPaths(train="train/$language.csv", test="test/$language.csv")
    assert read_split(tmp_path, paths, "test") == ["lights on"]
    with pytest.raises(DataError, match=r"train/en\.csv: no such file"):
        read_split(tmp_path, paths, "train")


def test_a_file_too_small_to_share_out_says_what_to_do(tmp_path: Path):
    write(tmp_path, "a.csv", "text,label\na,x\nb,y\n")
    message = r"a\.csv: too few different texts to hold a validation split out of; give it a file"
    with pytest.raises(DataError, match=message):
        read_split(tmp_path, "a.csv", "validation")


def test_the_language_is_put_into_the_path(tmp_path: Path):
    write(tmp_path, "data/zh-CN.csv", "text,label\n你好,x\n")
    write(tmp_path, "train.csv", "text,label\na,x\n")
    paths = SplitPaths(train="train.csv", test="data/$language.csv")
    source = FileData(source="files", path=paths)
    (example,) = read_examples(
        source, type="text-classification", language="zh-CN", split="test", folder=tmp_path
    )
    assert example.place == "data/zh-CN.csv:2"


def test_sample_data_is_read_by_its_name():
    source = SampleData(source="sample", name="assistant/intent")
    examples = read_examples(
        source, type="text-classification", language="en", split="test", folder=Path()
    )
    assert examples
    assert all(isinstance(example.label, str) for example in examples)


def test_sample_data_read_as_plain_text_has_no_labels():
    source = SampleData(source="sample", name="assistant/intent")
    examples = read_examples(source, type=None, language="en", split="test", folder=Path())
    assert examples
    assert all(example.label is None for example in examples)


def test_sample_data_of_another_type_is_refused():
    source = SampleData(source="sample", name="assistant/slots")
    with pytest.raises(DataError, match="assistant/slots: holds token-classification, and the t"):
        read_examples(
            source, type="text-classification", language="en", split="test", folder=Path()
        )


def test_unknown_sample_data_is_refused_with_the_nearest_name():
    source = SampleData(source="sample", name="assistant/intents")
    with pytest.raises(DataError, match="did you mean 'assistant/intent'"):
        read_examples(source, type=None, language="en", split="test", folder=Path())


def test_examples_are_read_and_encoded_without_torch(tmp_path: Path):
    write_parquet(tmp_path, text=["a"], label=["x"])
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "import composer.data.tasks, composer.data.encode, composer.data.batches\n"
        "import composer.data.masking\n"
        "from tests.data.files import read\n"
        f"assert read(Path({str(tmp_path)!r}), 'a.parquet')[0].text == 'a'\n"
        "print(sorted({'torch', 'transformers', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_files_of_text_are_read_without_datasets(tmp_path: Path, ending: str):
    write(tmp_path, "a.csv", "text,label\na,x\n")
    write(tmp_path, "a.jsonl", '{"text": "a", "label": "x"}\n')
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.data.files import read\n"
        f"assert read(Path({str(tmp_path)!r}), 'a.{ending}')[0].text == 'a'\n"
        "print(sorted({'datasets', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
