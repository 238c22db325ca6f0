"""The digest of the data that a stage reads: another digest, another result.

    files    the bytes of every file of the languages used, and how composer reads them
    sample   what the sample package says of itself: its version and that of the sampling
    hub      name, configuration and commit, which fix the bytes

Nothing is parsed and nothing heavy imported, so that a plan of many languages is quick. No
path is in it: a file that was moved is the same data.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from composer.data.faults import FaultList
from composer.data.paths import DataFile, source_files
from composer.errors import DataError, Fault
from composer.recipe.grammar.data import DataSource, FileData, HubData, SampleData, Split

READING_VERSION = 1  # raise it when the same bytes are read or split another way


Use = tuple[DataSource, Sequence[str], Split | None]  # the only split that is read; None: all


def data_digest(
    source: DataSource,
    *,
    languages: Sequence[str],
    folder: Path,
    outside: bool = False,
    split: Split | None = None,
) -> str:
    """Digest what `source` holds for `languages`, all splits of it that are there.

    Args:
        source: Where the examples come from.
        languages: In the order they are used.
        folder: The recipe's, which relative paths start from.
        outside: Whether files may lie outside `folder`.
        split: The only one that is read, as `composer.data.paths.source_files` has it.

    Raises:
        DataError: Files are missing or may not be read; all of them at once.
    """
    said: dict[str, object] = {"source": source.source, "languages": list(languages)}
    match source:
        case FileData():
            said["reading"] = READING_VERSION
            said["files"] = _files(
                source, languages=languages, folder=folder, outside=outside, split=split
            )
        case SampleData():
            from composer.data.samples.assistant import check_language, sample_digest

            for language in languages:
                check_language(source.name, language)
            said["sample"] = sample_digest(source.name)
        case HubData():
            said["reading"] = READING_VERSION
            said["hub"] = [source.name, source.config, source.revision]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def uses_digest(uses: Sequence[Use], *, folder: Path, outside: bool = False) -> str:
    """Digest what several sources hold, each for its languages; "" for none; see `data_digest`.

    Raises:
        DataError: Files are missing or may not be read; all of them at once.
    """
    faults = FaultList()
    digests = []
    for source, languages, split in uses:
        try:
            digests.append(
                data_digest(
                    source, languages=languages, folder=folder, outside=outside, split=split
                )
            )
        except DataError as error:
            faults.extend(error)
    faults.raise_any()
    if len(digests) < 2:
        return "".join(digests)
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _files(
    source: FileData,
    *,
    languages: Sequence[str],
    folder: Path,
    outside: bool,
    split: Split | None,
) -> list[list[str]]:
    faults = FaultList()
    digests: dict[Path, str] = {}  # one file may serve several languages
    listed = []
    for language in languages:
        try:
            files = source_files(
                source, language=language, folder=folder, outside=outside, split=split
            )
            for part, file in files.items():
                digests[file.path] = digests.get(file.path) or _digest(file)
                listed.append([language, part, file.ending, digests[file.path]])
        except DataError as error:
            faults.extend(error)
    faults.raise_any()
    return listed


def _digest(file: DataFile) -> str:
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError([Fault(file.name, f"cannot be read: {error.strerror}")]) from error
