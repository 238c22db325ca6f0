"""Which files a source names, and that they may be read.

    path: data/$language.csv                                  one file a language
    path: {train: data/train.csv, test: data/test.csv}        one file a split

A path is relative to its recipe and stays inside the recipe's folder: a recipe may come from
somebody else. What the user types on a command line may lie anywhere (`outside`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PureWindowsPath

from composer.data.faults import FaultList
from composer.errors import DataError, Fault
from composer.recipe.grammar.data import FileData, Split, SplitPaths

ENDINGS = (".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".tsv", ".txt")


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file that was found.

    Attributes:
        name: As the recipe writes it, with `$language` replaced; how faults name it.
        path: Where it is.
    """

    name: str
    path: Path

    @property
    def ending(self) -> str:
        """Which format it is in: ".csv", always in small letters."""
        return self.path.suffix.lower()


def source_files(
    source: FileData,
    *,
    language: str,
    folder: Path,
    outside: bool = False,
    split: Split | None = None,
) -> dict[Split, DataFile]:
    """Find a source's files for one language.

    One path is the training split; what is not named is held out of it.

    Args:
        source: What names them.
        language: Replaces `$language` in paths.
        folder: The recipe's, which relative paths start from.
        outside: Whether they may lie outside `folder`.
        split: The only one that is read; if it has a file of its own, those of the others need
            not be there: a language may have test sentences and no more. None: all are read.

    Raises:
        DataError: Files that are missing, of an unknown kind, or outside the folder; all at once.
    """
    paths = source.path if isinstance(source.path, SplitPaths) else SplitPaths(train=source.path)
    named: dict[Split, str | None] = {
        "train": paths.train,
        "validation": paths.validation,
        "test": paths.test,
    }
    faults = FaultList()
    found: dict[Split, DataFile] = {}
    alone = split is not None and named[split] is not None
    for part, path in named.items():
        if path is None:
            continue
        if alone and part != split and not (folder / path.replace("$language", language)).exists():
            continue
        try:
            found[part] = find_file(path, language=language, folder=folder, outside=outside)
        except DataError as error:
            faults.extend(error)
    faults.raise_any()
    return found


def find_file(path: str, *, language: str, folder: Path, outside: bool = False) -> DataFile:
    """Find one file.

    Args:
        path: As the recipe writes it.
        language: Replaces `$language`.
        folder: The recipe's, which relative paths start from.
        outside: Whether it may lie outside `folder`.

    Raises:
        DataError: There is no such file, or it may not be read.
    """
    name = path.replace("$language", language)
    try:
        real, root = (folder / name).resolve(), folder.resolve()
        is_file = real.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a NUL
        raise DataError([Fault(name, f"cannot be a path: {error}")]) from error
    if not outside and not _stays_inside(name, real, root):
        message = (
            "leads out of the recipe's folder, and a recipe reads only what lies in it; "
            "move the file there, or give it on the command line"
        )
        raise DataError([Fault(name, message)])
    if not is_file:
        raise DataError([Fault(name, _why_missing(name, real))])
    if Path(name).suffix.lower() not in ENDINGS:
        ending = Path(name).suffix or "no ending"
        raise DataError([Fault(name, f"{ending} is not read; known: {', '.join(ENDINGS)}")])
    return DataFile(name=name, path=folder / name)


def _stays_inside(name: str, real: Path, root: Path) -> bool:
    windows = PureWindowsPath(name)
    absolute = Path(name).is_absolute() or bool(windows.drive) or bool(windows.root)
    return not absolute and real.is_relative_to(root)


def _why_missing(name: str, real: Path) -> str:
    if real.exists():
        return "is not a file"
    parent = Path(name).parent
    try:
        known = sorted(child.name for child in real.parent.iterdir())
    except OSError:  # then that is what is wrong
        return f"no such file: the folder {str(parent)!r} cannot be read"
    return "no such file" + _nearest(name, known)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(Path(name).name, known, n=1)
    return f"; did you mean {(Path(name).parent / near[0]).as_posix()!r}?" if near else ""
