from collections.abc import Callable
from pathlib import Path

import pytest

from composer.data.examples import Example
from composer.data.sources import read_examples
from composer.errors import DataError
from composer.recipe.grammar.data import Columns, HubData, HubSplits, Split
from composer.recipe.grammar.tasks import TaskType
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


def halves() -> object:
    """Give a data set whose classes are numbers with names, in splits of its own names."""
    import datasets

    features = datasets.Features(
        {"a": datasets.Value("string"), "b": datasets.Value("string"),
         "label": datasets.ClassLabel(names=["other", "same"])}
    )  # fmt: skip

    def rows(name: str, count: int, label: int | None) -> object:
        numbers = range(count)
        labels = [number % 2 if label is None else label for number in numbers]
        texts = [f"{name} {number}" for number in numbers]
        values = {"a": texts, "b": [f"{one}, too" for one in texts], "label": labels}
        return datasets.Dataset.from_dict(values, features=features)

    # the labels of a hidden test set are -1, as on GLUE
    return {"learn": rows("l", 1000, None), "dev": rows("d", 20, None), "test": rows("t", 9, -1)}


def with_splits(**splits: object) -> HubData:
    return hub(text="a", pair="b").model_copy(update={"splits": HubSplits(**splits)})  # type: ignore[arg-type]


def test_splits_are_read_by_the_names_they_have_there(on_the_hub: Hub):
    on_the_hub(halves())
    source = with_splits(train="learn", validation=0.1, test="dev")
    train, validation, test = (read_hub(source, one) for one in ("train", "validation", "test"))
    assert (len(train) + len(validation), len(test)) == (1000, 20)
    assert 80 < len(validation) < 120
    assert not {one.text for one in train} & {one.text for one in validation}
    first = test[1]
    assert (first.text, first.pair, first.label) == ("d 1", "d 1, too", "same")


@pytest.mark.parametrize(("share", "least", "most"), [(0.02, 5, 40), (0.5, 440, 560)])
def test_a_share_is_held_out_of_training(on_the_hub: Hub, share: float, least: int, most: int):
    on_the_hub(halves())
    source = with_splits(train="learn", validation=share, test="dev")
    assert least < len(read_hub(source, "validation")) < most


def test_a_split_that_is_named_and_not_there_is_refused(on_the_hub: Hub):
    on_the_hub(halves())
    source = with_splits(train="train", test="dve")
    with pytest.raises(DataError) as caught:
        read_hub(source, "train")
    assert [fault.message for fault in caught.value.faults] == [
        f"has no split called {name!r}; there is: learn, dev, test" for name in ("train", "dve")
    ]


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
