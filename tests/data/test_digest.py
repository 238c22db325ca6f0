import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from composer.data.digest import data_digest
from composer.errors import DataError
from composer.recipe.grammar.data import DataSource, FileData, HubData, SampleData, SplitPaths
from tests.data.files import write

COMMIT = "0123456789" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for language in ("en", "de"):
        write(tmp_path, f"data/{language}.csv", f"text,label\n{language},x\n")
    return tmp_path


def files(path: str | SplitPaths) -> FileData:
    return FileData(source="files", path=path)


def digest(folder: Path, path: str | SplitPaths, *languages: str) -> str:
    return data_digest(files(path), languages=languages or ("en", "de"), folder=folder)


def test_the_digest_is_pinned(folder: Path):
    # If this changes, results of earlier runs no longer hold: raise READING_VERSION.
    pinned = "fe8dab7dae460c84d7000a215b2da6738f2146aef8f09ffd5437557bcf81cab0"
    assert digest(folder, "data/$language.csv") == pinned


def test_where_the_files_lie_does_not_matter(folder: Path):
    before = digest(folder, "data/$language.csv")
    shutil.copytree(folder / "data", folder / "elsewhere" / "deep")
    assert digest(folder / "elsewhere", "deep/$language.csv") == before


def test_what_is_there_counts_whichever_split_is_read(folder: Path):
    source = files(SplitPaths(train="data/$language.csv", test="test/$language.csv"))
    write(folder, "test/en.csv", "text,label\nen,y\n")
    write(folder, "test/fi.csv", "text,label\nfi,y\n")
    whole, part = (
        data_digest(source, languages=("en",), folder=folder, split=split)
        for split in (None, "test")
    )
    assert whole == part
    assert data_digest(source, languages=("fi",), folder=folder, split="test")


def test_a_byte_more_is_another_digest(folder: Path):
    before = digest(folder, "data/$language.csv")
    write(folder, "data/de.csv", "text,label\nde,x\n\n")
    assert digest(folder, "data/$language.csv") != before


def test_a_language_that_is_not_used_does_not_matter(folder: Path):
    before = digest(folder, "data/$language.csv", "en")
    write(folder, "data/de.csv", "other")
    assert digest(folder, "data/$language.csv", "en") == before


def test_who_plays_which_part_matters(folder: Path):
    digests = {
        digest(folder, "data/en.csv"),
        digest(folder, SplitPaths(train="data/en.csv", test="data/de.csv")),
        digest(folder, SplitPaths(train="data/de.csv", test="data/en.csv")),
        digest(folder, SplitPaths(train="data/en.csv", validation="data/de.csv")),
        digest(folder, "data/$language.csv"),
        digest(folder, "data/$language.csv", "de", "en"),
    }
    assert len(digests) == 6


def test_one_path_is_the_same_as_naming_it_the_training_split(folder: Path):
    assert digest(folder, "data/en.csv") == digest(folder, SplitPaths(train="data/en.csv"))


def test_the_format_matters(folder: Path):
    shutil.copy(folder / "data/en.csv", folder / "data/en.tsv")
    assert digest(folder, "data/en.csv") != digest(folder, "data/en.tsv")


def test_all_missing_files_are_told_once(folder: Path):
    paths = SplitPaths(train="data/$language.csv", test="test.csv")
    with pytest.raises(DataError) as caught:
        digest(folder, paths, "en", "fr", "pl")
    assert [fault.place for fault in caught.value.faults] == [
        "data/fr.csv",
        "data/pl.csv",
        "test.csv",
    ]


@pytest.mark.parametrize(
    "change",
    [{"name": "owner/other"}, {"revision": "f" * 40}, {"config": "de"}],
    ids=["name", "revision", "config"],
)
def test_a_hub_source_is_its_name_configuration_and_commit(tmp_path: Path, change: dict[str, str]):
    source = HubData(source="hub", name="owner/name", revision=COMMIT)
    other = source.model_copy(update=change)
    digests = [
        data_digest(one, languages=("en",), folder=tmp_path) for one in (source, source, other)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_sample_data_has_a_digest(tmp_path: Path):
    names = ("assistant/intent", "assistant/slots")
    digests = [
        data_digest(SampleData(source="sample", name=name), languages=("en",), folder=tmp_path)
        for name in names
    ]
    assert digests[0] != digests[1]


SOURCES: list[DataSource] = [
    files("data/$language.csv"),
    SampleData(source="sample", name="assistant/intent"),
    HubData(source="hub", name="owner/name", revision=COMMIT),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.source)
def test_digests_import_nothing_heavy(folder: Path, source: DataSource):
    code = (
        "import sys; from pathlib import Path; from composer.data.digest import data_digest\n"
        "from pydantic import TypeAdapter; from composer.recipe.grammar.data import DataSource\n"
        f"source = TypeAdapter(DataSource).validate_json({source.model_dump_json()!r})\n"
        f"data_digest(source, languages=('en', 'de'), folder=Path({str(folder)!r}))\n"
        "heavy = {'torch', 'datasets', 'transformers', 'hassil', 'pandas', 'sklearn', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
