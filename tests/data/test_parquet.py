import re
import sys
from pathlib import Path

import pytest

from composer.data.examples import Span
from composer.errors import DataError, MissingExtraError
from tests.data.files import faults_of, found, read, write, write_parquet


def test_parquet_is_read_with_rows_from_one(tmp_path: Path):
    write_parquet(tmp_path, text=["a", "b"], label=["x", "y"], other=[b"1", b"2"])
    expected = [("a", "x", "a.parquet:1"), ("b", "y", "a.parquet:2")]
    assert found(read(tmp_path, "a.parquet")) == expected


def test_classes_stored_as_numbers_come_back_by_name(tmp_path: Path):
    import datasets

    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "go"])}
    write_parquet(tmp_path, features, text=["a", "b"], label=[1, 0])
    assert [example.label for example in read(tmp_path, "a.parquet")] == ["go", "no"]


def test_tags_stored_as_numbers_come_back_by_name(tmp_path: Path):
    import datasets

    tags = datasets.ClassLabel(names=["O", "B-x"])
    words = datasets.List(datasets.Value("string"))
    features = {"words": words, "tags": datasets.List(tags)}
    write_parquet(tmp_path, features, words=[["a", "b"]], tags=[[0, 1]])
    (example,) = read(tmp_path, "a.parquet", type="token-classification")
    assert example.spans == (Span(start=2, end=3, label="x"),)


def test_a_class_that_is_stored_as_missing_is_missing(tmp_path: Path):
    import datasets

    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "go"])}
    write_parquet(tmp_path, features, text=["a", "b", "c"], label=[1, -1, None])
    assert faults_of(lambda: read(tmp_path, "a.parquet")) == [
        "a.parquet:2: the label is missing",
        "a.parquet:3: the label is missing",
    ]


def test_empty_cells_of_parquet_are_refused_with_their_row(tmp_path: Path):
    write_parquet(tmp_path, text=["a", None, "c"], label=[1.5, 2.0, float("nan")])
    assert faults_of(lambda: read(tmp_path, "a.parquet", type="regression")) == [
        "a.parquet:2: 'text' must be text, not nothing",
        "a.parquet:3: the label is missing",
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1 junk", b"text,label\na,x\n"])
def test_what_is_not_parquet_is_refused(tmp_path: Path, content: bytes):
    write(tmp_path, "a.parquet", content)
    with pytest.raises(DataError, match=r"^a\.parquet: cannot be read as Parquet: "):
        read(tmp_path, "a.parquet")


def test_damaged_parquet_is_refused_or_read_and_says_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    write_parquet(tmp_path, text=["a"] * 50, label=["x"] * 50)
    good = (tmp_path / "a.parquet").read_bytes()
    refused = 0
    for place in range(0, len(good), 97):
        damaged = good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :]
        write(tmp_path, "a.parquet", damaged)
        try:
            read(tmp_path, "a.parquet")
        except DataError:
            refused += 1
    assert refused
    assert capfd.readouterr() == ("", "")


def test_parquet_without_rows_is_refused(tmp_path: Path):
    import datasets

    features = {"text": datasets.Value("string"), "label": datasets.Value("string")}
    write_parquet(tmp_path, features, text=[], label=[])
    with pytest.raises(DataError, match=r"a\.parquet: .* corresponds to no data"):
        read(tmp_path, "a.parquet")


def test_parquet_that_changed_is_read_anew_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "cache"
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for text in ("a", "b"):
        write_parquet(tmp_path, text=[text], label=["x"])
        assert read(tmp_path, "a.parquet")[0].text == text
    assert not cache.exists()
    assert not list((tmp_path / "temporary").iterdir())


# `datasets` leaves the CSV file open, which Python notes when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_our_reader_and_datasets_agree_on_well_formed_files(tmp_path: Path, name: str):
    import datasets

    csv = 'text,label\n"a, ""b""",x\nc,d\n"two\nlines",NA\n打开 灯,007\n'
    lines = '{"text": "a\\nb", "label": "x"}\n{"label": "NA", "text": "\\u6253 灯"}\n'
    write(tmp_path, name, csv if name == "a.csv" else lines)
    text = {"text": datasets.Value("string"), "label": datasets.Value("string")}
    read_by = {"a.csv": datasets.Dataset.from_csv, "a.jsonl": datasets.Dataset.from_json}[name]
    options = {"keep_default_na": False} if name == "a.csv" else {}
    theirs = read_by(
        str(tmp_path / name),
        cache_dir=str(tmp_path / "cache"),
        keep_in_memory=True,
        features=datasets.Features(text),
        **options,
    )
    ours = read(tmp_path, name)
    assert [(row["text"], row["label"]) for row in theirs] == [
        (example.text, example.label) for example in ours
    ]


def test_parquet_without_datasets_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, "a.parquet", b"")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=re.escape("adapter-composer[train]")):
        read(tmp_path, "a.parquet")
