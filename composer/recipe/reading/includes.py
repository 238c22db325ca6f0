"""Files that a recipe includes: read, and merged under it, each part knowing where it stands.

    include: [parts/adapters.yaml, parts/data.yaml]

The recipe is merged over what it includes, as a profile is over the recipe: mappings merge deeply,
lists replace, `null` takes a key away. Of two files beside each other the later is merged over the
earlier, but a name that both define is a fault: nobody could tell which one is meant. A file that
is included may include others, by paths from its own folder. All lie in the recipe's folder, and
paths of data and backbones in them are seen from there.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from composer.errors import Fault, RecipeError, did_you_mean
from composer.recipe.checking.paths import why_outside
from composer.recipe.document.documents import MAX_NODES, read_document
from composer.recipe.document.findings import show
from composer.recipe.document.tree import Node, merged
from composer.recipe.reading.content import read_content

MAX_FILES = 50
MAX_DEPTH = 8
INCLUDE = "include"

_NAMES = ("adapters", "data", "tasks", "compositions", "evaluations", "bundles", "profiles")


@dataclass(frozen=True)
class Included:
    """A recipe with all that it includes.

    Attributes:
        root: Without the key `include`, unless that is not a list of texts.
        sources: Names of the files, as marks have them.
        faults: Found on the way.
    """

    root: Node
    sources: frozenset[str]
    faults: tuple[Fault, ...]


def read_included(path: Path) -> Included:
    """Read a recipe and the files that it includes.

    Raises:
        RecipeError: Nothing can be made of one of them; everything else is in `faults`.
    """
    files = _Files(path.parent)
    root = files.read(path, ())
    return Included(root, frozenset(files.sources), tuple(dict.fromkeys(files.faults)))


class _Files:
    """What was read so far; each file is read once, however often it is included."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[Fault] = []
        self.sources: list[str] = []
        self._read: dict[Path, Node] = {}
        self._size = 0

    def read(self, path: Path, above: tuple[Path, ...]) -> Node:
        """Read a file and what it includes; `above` are the files that lead to it."""
        place = _real(path)
        if place not in self._read:
            document = read_document(read_content(path), str(path))
            self.faults += document.faults
            self.sources.append(str(path))
            self._size += document.root.size
            if self._size > MAX_NODES:
                message = f"with the files before it, more than {MAX_NODES} keys and values"
                raise RecipeError([*self.faults, Fault(str(path), message)])
            self._read[place] = self._merged(document.root, path, (*above, place))
        return self._read[place]

    def _merged(self, root: Node, path: Path, above: tuple[Path, ...]) -> Node:
        listed = root.child(INCLUDE)
        if listed is None or not isinstance(root.value, dict) or not _is_list_of_texts(listed):
            return root
        own = replace(root, value={k: one for k, one in root.value.items() if k != INCLUDE})
        base = Node({}, root.mark)
        for node in listed.value if isinstance(listed.value, tuple) else ():
            found = self._one(node, path, above)
            if found is not None:
                self.faults += _given_twice(base, found)
                base = merged(base, found)
        return replace(merged(base, own), mark=root.mark)

    def _one(self, node: Node, path: Path, above: tuple[Path, ...]) -> Node | None:
        """Read one of the files that a file includes; None: it was not read, as a fault says."""
        name = str(node.value)
        wanted = path.parent / name
        fault = self._fault(name, wanted, above)
        if fault is None:
            plain = Path(os.path.normpath(wanted))  # reads better, where no link makes it another
            return self.read(plain if plain.resolve() == wanted.resolve() else wanted, above)
        self.faults.append(Fault(str(node.mark), f"{INCLUDE}: {fault}"))
        return None

    def _fault(self, name: str, wanted: Path, above: tuple[Path, ...]) -> str | None:
        outside = why_outside(name, within_parent=True)
        if outside is not None:
            return f"{show(name)} {outside}"
        try:
            place = wanted.resolve()
            inside = place.is_relative_to(self.folder.resolve())
            there = inside and place.exists()
        except (OSError, RuntimeError, ValueError):  # a link to itself; a name with a null
            return f"{show(name)} cannot be followed"
        if not inside:
            return f"{show(name)} leads out of the recipe's folder; move the file into it"
        if not there:
            beside = [one.name for one in wanted.parent.glob("*.y*ml")]
            hint = f"; {did_you_mean(wanted.name, beside)}" if beside else ""
            return f"there is no file {show(name)}{hint}"
        if place in above:
            return f"{show(name)} includes this file in turn; take one of the two lines out"
        if len(above) > MAX_DEPTH:
            return f"{show(name)}: files are included at most {MAX_DEPTH} deep"
        if len(self.sources) > MAX_FILES and place not in self._read:
            return f"{show(name)}: at most {MAX_FILES} files are included"
        return None


def _real(path: Path) -> Path:
    """Follow links; what cannot be followed is told when it is read."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a link to itself; a name with a null
        return path


def _is_list_of_texts(node: Node) -> bool:
    return isinstance(node.value, tuple) and all(isinstance(one.value, str) for one in node.value)


def _given_twice(base: Node, over: Node) -> Iterator[Fault]:
    """Find names that two files beside each other define, unless it is one place in a third."""
    for block in _NAMES:
        first, second = base.child(block), over.child(block)
        if not first or not second:
            continue
        if not isinstance(first.value, dict) or not isinstance(second.value, dict):
            continue
        for name in first.value.keys() & second.value.keys():
            before, after = first.value[name].key, second.value[name].key
            if before != after:
                message = (
                    f"{block}.{name} is defined in {before} too; define it once, and change it "
                    "where both files are included"
                )
                yield Fault(str(after), message)
