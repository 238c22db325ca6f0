"""The one door to `datasets`, and the one way to examples: a file, a sample, or the hub.

    {source: files, path: data/$language.csv, columns: {text: utterance, label: intent}}
    {source: files, path: {train: train.jsonl, test: test.jsonl}}
    {source: sample, name: assistant/intent}
    {source: hub, name: owner/name, revision: 0123..., config: $language}
    {source: hub, name: owner/name, revision: 0123..., splits: {validation: 0.1, test: validation}}

Whatever is wrong is said at once, with file and row. Parquet and the hub are read through
`datasets`, which knows how they store the names of classes; a file of text needs a reader that
knows its rows, which is `composer.data.rows`. Nothing is cached but what the hub sent.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from composer.data.columns import Role, choose_columns, to_examples
from composer.data.examples import Example
from composer.data.faults import FaultList
from composer.data.paths import DataFile, source_files
from composer.data.rows import Row, Table, read_rows
from composer.data.splits import HELD_OUT, held_out
from composer.data.views import one_label
from composer.errors import DataError, Fault, MissingExtraError
from composer.recipe.grammar.data import (
    Columns,
    DataSource,
    FileData,
    HubData,
    HubSplits,
    SampleData,
    Split,
)
from composer.recipe.grammar.tasks import TaskType

Part = Callable[[], list[Example]]
Library = Any  # the module `datasets`, which has no type information
Dataset = Any  # datasets.Dataset

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, NotImplementedError)


def read_examples(
    source: DataSource,
    *,
    type: TaskType | None,
    language: str,
    split: Split,
    folder: Path,
    outside: bool = False,
) -> list[Example]:
    """Read one split of one language.

    A split without a file of its own is held out of training by the rule of
    `composer.data.splits`. A source with a `label` is read with all labels, so that every label
    has the same splits, and then reduced to that one.

    Args:
        source: Where the examples are.
        type: Of the task, which says what columns are read; None: plain text.
        language: Replaces `$language` in paths and configurations.
        split: Which examples.
        folder: The recipe's, which relative paths start from.
        outside: Whether files may lie outside `folder`.

    Raises:
        DataError: Whatever is wrong with the source and its rows, all at once.
        MissingExtraError: Parquet, the hub or a sample needs a library that is not installed.
    """
    if source.label is not None and type is not None:
        whole = source.model_copy(update={"label": None})
        examples = read_examples(
            whole,
            type="multi-label-classification",
            language=language,
            split=split,
            folder=folder,
            outside=outside,
        )
        return one_label(examples, source.label, split=split)
    shares = HELD_OUT
    match source:
        case SampleData():
            return _read_sample(source.name, type=type, language=language, split=split)
        case FileData():
            files = source_files(
                source, language=language, folder=folder, outside=outside, split=split
            )
            name = files.get("train", next(iter(files.values()))).name
            parts = {
                part: partial(_read_file, file, type=type, columns=source.columns)
                for part, file in files.items()
            }
        case HubData():
            config = source.config.replace("$language", language) if source.config else None
            name = f"{source.name}/{config}" if config else source.name
            loaded = _load_hub(source, config=config, name=name)
            shares = _shares(source)
            parts = {
                part: partial(
                    _examples_of, data, name=f"{name}/{part}", type=type, columns=source.columns
                )
                for part, data in loaded.items()
            }
    return _take(parts, split, shares=shares, name=name)


def _take(
    parts: Mapping[Split, Part], split: Split, *, shares: Mapping[Split, float], name: str
) -> list[Example]:
    if split in parts and split != "train":
        return parts[split]()
    fractions = {part: share for part, share in shares.items() if part not in parts}
    examples = held_out(parts["train"](), split, fractions)
    if not examples:
        message = (
            f"too few different texts to hold a {split} split out of; "
            f"give it a file of its own: path: {{train: ..., {split}: ...}}"
        )
        raise DataError([Fault(name, message)])
    return examples


def _read_sample(name: str, *, type: TaskType | None, language: str, split: Split) -> list[Example]:
    from composer.data.samples.assistant import sample_data, sample_examples

    data = sample_data(name)
    several = type == "multi-label-classification" and data.type == "text-classification"
    if type is not None and data.type != type and not several:
        message = f"holds {data.type or 'plain text'}, and the task is {type}"
        raise DataError([Fault(name, message)])
    examples = sample_examples(data.task, language=language, split=split)
    if type is None:
        return [Example(text=one.text, place=one.place) for one in examples]
    if several:
        return [replace(one, label=(str(one.label),)) for one in examples]
    return list(examples)


def _read_file(file: DataFile, *, type: TaskType | None, columns: Columns) -> list[Example]:
    if file.ending == ".txt" and type is not None:
        message = f"plain text has no labels; {type} reads .csv, .tsv, .jsonl or .parquet"
        raise DataError([Fault(file.name, message)])
    if file.ending == ".parquet":
        return _examples_of(_load_parquet(file), name=file.name, type=type, columns=columns)
    faults = FaultList()
    table = read_rows(file, faults)
    if not table.columns:
        faults.raise_any()
    chosen = _choose(
        table.columns, type=type, columns=columns, place=f"{file.name}:1", faults=faults
    )
    examples = to_examples(table, type=type, chosen=chosen, faults=faults)
    faults.raise_any()
    return examples


def _choose(
    found: Sequence[str],
    *,
    type: TaskType | None,
    columns: Columns,
    place: str,
    faults: FaultList,
) -> dict[Role, str]:
    before = len(faults)
    chosen = choose_columns(columns, type=type, found=found, place=place, faults=faults)
    if len(faults) > before:  # else every row would be a fault
        faults.raise_any()
    return chosen


def _examples_of(
    data: Dataset, *, name: str, type: TaskType | None, columns: Columns
) -> list[Example]:
    faults = FaultList()
    chosen = _choose(data.column_names, type=type, columns=columns, place=name, faults=faults)
    if not data.num_rows:
        raise DataError([Fault(name, "no rows")])
    data = data.select_columns(sorted(set(chosen.values())))
    cells = {
        column: _with_names(values, data.features[column]) for column, values in data[:].items()
    }
    rows = [
        Row(number, dict(zip(cells, values, strict=True)))
        for number, values in enumerate(zip(*cells.values(), strict=True), start=1)
    ]
    examples = to_examples(Table(name, list(cells), rows), type=type, chosen=chosen, faults=faults)
    faults.raise_any()
    return examples


def _with_names(cells: list[object], feature: object) -> list[object]:
    """Put names for the numbers of classes; a class below 0 is how a missing label is stored."""
    if hasattr(feature, "int2str"):
        names: list[str] = feature.names  # type: ignore[attr-defined]
        return [names[cell] if isinstance(cell, int) and cell >= 0 else None for cell in cells]
    inner = getattr(feature, "feature", None)
    if hasattr(inner, "int2str"):
        return [_with_names(cell, inner) if isinstance(cell, list) else cell for cell in cells]
    return cells


def _load_parquet(file: DataFile) -> Dataset:
    library = _datasets("reading Parquet")
    with tempfile.TemporaryDirectory() as cache, _quiet(library):
        try:
            return library.Dataset.from_parquet(
                str(file.path), cache_dir=cache, keep_in_memory=True
            )
        except _UNREADABLE + (library.exceptions.DatasetsError,) as error:
            message = f"cannot be read as Parquet: {error.__cause__ or error}"
            raise DataError([Fault(file.name, message)]) from error


def _load_hub(source: HubData, *, config: str | None, name: str) -> dict[Split, Dataset]:
    library = _datasets("reading the hub")
    with _quiet(library):
        try:
            # "hf://" keeps a folder that happens to have this name from being read instead.
            builder = library.load_dataset_builder(
                f"hf://datasets/{source.name}", config, revision=source.revision
            )
        except Exception as error:  # the hub's client raises whatever its transport does
            raise DataError([Fault(name, _why_not_loaded(error))]) from error
        if builder.hash != source.revision:  # `datasets` falls back on any copy it has kept
            message = (
                f"commit {source.revision} cannot be reached, and what is kept here is "
                f"{builder.hash}; go online once"
            )
            raise DataError([Fault(name, message)])
        try:
            builder.download_and_prepare()
            loaded = builder.as_dataset()
        except Exception as error:  # as above
            raise DataError([Fault(name, _why_not_loaded(error))]) from error
    return {split: loaded[theirs] for split, theirs in _splits_of(source, loaded, name).items()}


def _splits_of(source: HubData, loaded: Collection[object], name: str) -> dict[Split, str]:
    """Say which of a data set's splits are read; what is held out of another is none."""
    given = source.splits or HubSplits()
    chosen: dict[Split, str] = {"train": given.train}
    named: dict[Split, str | float | None] = {"validation": given.validation, "test": given.test}
    for split, said in named.items():
        if isinstance(said, str) or (said is None and split in loaded):
            chosen[split] = said or split
    faults = FaultList()
    for wanted in chosen.values():
        if wanted not in loaded:
            there = ", ".join(map(str, loaded))
            faults.add(name, f"has no split called {wanted!r}; there is: {there}")
    faults.raise_any()
    return chosen


def _shares(source: HubData) -> dict[Split, float]:
    """Say how much of the training split is held out for each that is not read."""
    given = source.splits or HubSplits()
    said = {"validation": given.validation, "test": given.test}
    return {
        split: share if isinstance(share := said[split], float) else tenth
        for split, tenth in HELD_OUT.items()
    }


def _why_not_loaded(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        unreachable = isinstance(cause, ConnectionError | TimeoutError)
        if unreachable or "Connect" in type(cause).__name__:
            return f"the hub cannot be reached: {error}; what was read once is kept"
        cause = cause.__cause__ or cause.__context__
    return f"cannot be loaded from the hub: {error}"


def _datasets(needed_for: str) -> Library:
    try:
        import datasets  # takes seconds
        import datasets.exceptions
    except ImportError as error:
        raise MissingExtraError(library="datasets", needed_for=needed_for, extra="train") from error
    return datasets


@contextmanager
def _quiet(library: Library) -> Iterator[None]:
    """Let `datasets` neither draw progress nor log what is raised here anyway."""
    bars, level = not library.are_progress_bars_disabled(), library.utils.logging.get_verbosity()
    library.disable_progress_bars()
    library.utils.logging.set_verbosity(library.utils.logging.CRITICAL)
    try:
        yield
    finally:
        library.utils.logging.set_verbosity(level)
        if bars:
            library.enable_progress_bars()
