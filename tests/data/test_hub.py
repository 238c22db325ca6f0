from collections.abc import Callable
from pathlib import Path

import pytest

from composer.data.examples import Example
from composer.data.sources import read_examples
from composer.errors import DataError
from composer.recipe.schema import (
    Columns,
    HubData,
    Split,
    TaskType,
)
from tests.data.files import found

COMMIT = "0123456789" * 4

Hub = Callable[..., list[tuple[object, ...]]]


class Builder:
    """Stands in for a builder of `datasets`, which would ask the hub."""

    def __init__(self, commit: str, splits: object) -> None:
        self.hash, self.splits = commit, splits

    def download_and_prepare(self) -> None:
        pass

    def as_dataset(self) -> object:
        return self.splits


def hub(**columns: str) -> HubData:
    return HubData(
        source="hub",
        name="owner/name",
        revision=COMMIT,
        config="$language",
        columns=Columns(**columns),
    )


def read_hub(
    source: HubData, split: Split, type: TaskType = "text-classification"
) -> list[Example]:
    return read_examples(source, type=type, language="de", split=split, folder=Path())


@pytest.fixture
def on_the_hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Put splits, or an error, onto a stand-in for the hub; returns what it was asked."""

    def put(splits: object, commit: str = COMMIT) -> list[tuple[object, ...]]:
        asked: list[tuple[object, ...]] = []

        def load(path: str, name: str | None, *, revision: str) -> Builder:
            asked.append((path, name, revision))
            if isinstance(splits, Exception):
                raise splits
            return Builder(commit, splits)

        monkeypatch.setattr("datasets.load_dataset_builder", load)
        return asked

    return put


def test_a_data_set_on_the_hub_is_read_at_its_commit(on_the_hub: Hub):
    import datasets

    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})
    asked = on_the_hub({"train": data, "test": data})
    assert found(read_hub(hub(), "test")) == [
        ("a", "x", "owner/name/de/test:1"),
        ("b", "y", "owner/name/de/test:2"),
    ]
    assert asked == [("hf://datasets/owner/name", "de", COMMIT)]


def test_a_split_that_the_hub_lacks_is_held_out(on_the_hub: Hub):
    import datasets

    texts = [f"text {number}" for number in range(500)]
    data = datasets.Dataset.from_dict({"text": texts, "label": ["x", "y"] * 250})
    on_the_hub({"train": data})
    assert 30 < len(read_hub(hub(), "validation")) < 70


def test_another_commit_out_of_the_cache_is_refused(on_the_hub: Hub):
    on_the_hub({}, commit="f" * 40)
    with pytest.raises(DataError, match=f"commit {COMMIT} cannot be reached, and what is kept"):
        read_hub(hub(), "test")


def test_a_data_set_without_training_split_is_refused(on_the_hub: Hub):
    on_the_hub({"all": None})
    with pytest.raises(DataError, match="owner/name/de: has no split called 'train'; there is"):
        read_hub(hub(), "test")


def test_a_split_on_the_hub_without_rows_is_refused(on_the_hub: Hub):
    import datasets

    data = datasets.Dataset.from_dict({"text": [], "label": []})
    on_the_hub({"train": data, "test": data})
    with pytest.raises(DataError, match="owner/name/de/test: no rows"):
        read_hub(hub(), "test")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("offline mode"), "owner/name/de: the hub cannot be reached: offline mo"),
        (ValueError("no config 'de'"), "owner/name/de: cannot be loaded from the hub: no config"),
    ],
)
def test_what_the_hub_answers_is_told(on_the_hub: Hub, error: Exception, message: str):
    on_the_hub(error)
    with pytest.raises(DataError, match=message):
        read_hub(hub(), "test")


@pytest.mark.network
def test_the_real_hub_is_read():
    from huggingface_hub import HfApi

    name = "cornell-movie-review-data/rotten_tomatoes"
    commit = str(HfApi().dataset_info(name).sha)
    source = HubData(source="hub", name=name, revision=commit)
    examples = read_hub(source, "test")
    assert {example.label for example in examples} == {"neg", "pos"}
