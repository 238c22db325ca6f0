"""Small files to read, and what is read out of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from composer.data.examples import Example
from composer.data.sources import read_examples
from composer.errors import DataError
from composer.recipe.grammar.data import Columns, FileData, Split, SplitPaths
from composer.recipe.grammar.tasks import TaskType


def write(folder: Path, name: str, content: str | bytes) -> str:
    """Write a file as it is, line ends included, and return its name."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def read(
    folder: Path,
    name: str,
    *,
    type: TaskType | None = "text-classification",
    split: Split = "test",
    **columns: str,
) -> list[Example]:
    """Read all of a file, as the split that has it to itself."""
    path = SplitPaths(train=name, validation=name, test=name)
    source = FileData(source="files", path=path, columns=Columns(**columns))
    return read_examples(source, type=type, language="en", split=split, folder=folder)


def found(examples: list[Example]) -> list[tuple[str, str | float | None, str]]:
    """Show text, label and place of each example."""
    return [(example.text, example.label, example.place) for example in examples]


def faults_of(call: Callable[[], object]) -> list[str]:
    """List the faults of a `DataError` that must be raised."""
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value).split("\n")


def write_parquet(
    folder: Path, features: dict[str, object] | None = None, **columns: list[object]
) -> str:
    """Write columns with `datasets`, which does not draw its progress then."""
    import datasets

    datasets.disable_progress_bars()
    named = datasets.Features(features) if features else None
    datasets.Dataset.from_dict(columns, features=named).to_parquet(folder / "a.parquet")
    return "a.parquet"
