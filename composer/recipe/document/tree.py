"""A document as nodes that know where they stand, and how one is merged over another.

    training: {epochs: 8}     ->  Node({"training": Entry(Mark(.., 1, 1),
                                       Node({"epochs": Entry(.., Node(8, Mark(.., 1, 20)))}))})

Mappings merge deeply, lists replace, and nothing (`null`) takes a key away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from composer.errors import Fault
from composer.recipe.document.findings import Finding, Path, fault_at

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Mark:
    """Where something stands.

    Attributes:
        source: A file, or an argument of the command line.
        line: From 1; 0 where the source has no lines.
        column: From 1.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Entry:
    """A key's mark and its value."""

    key: Mark
    node: "Node"


@dataclass(frozen=True)
class Node:
    """A value and where it stands.

    Attributes:
        value: A scalar, the nodes of a list, or the entries of a mapping.
        mark: Where it begins.
        text_column: Where the characters of a text begin, if they stand on one line as they
            are read: after the quote, without escapes. None if they do not.
        size: Nodes in it, itself included.
        height: Levels below it.
    """

    value: "Scalar | tuple[Node, ...] | dict[str, Entry]"
    mark: Mark
    text_column: int | None = None
    size: int = 1
    height: int = 0

    def child(self, key: str | int) -> "Node | None":
        """Give the value of a key, or the item at a position."""
        if isinstance(self.value, dict) and isinstance(key, str):
            entry = self.value.get(key)
            return entry.node if entry else None
        if isinstance(self.value, tuple) and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None


def node_of(value: object, mark: Mark) -> Node:
    """Make nodes of plain values, all with the same mark."""
    if isinstance(value, Mapping):
        return Node({key: Entry(mark, node_of(one, mark)) for key, one in value.items()}, mark)
    if isinstance(value, list | tuple):
        return Node(tuple(node_of(one, mark) for one in value), mark)
    return Node(value, mark)  # type: ignore[arg-type]  # the schema refuses what is no scalar


def values(node: Node) -> object:
    """Give the plain values of a node; lists become tuples, as the schema wants them.

    >>> values(node_of({"a": [1, "x"]}, Mark("here")))
    {'a': (1, 'x')}
    """
    if isinstance(node.value, dict):
        return {key: values(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return tuple(map(values, node.value))
    return node.value


def merged(base: Node, over: Node) -> Node:
    """Merge a mapping over another; what is not a mapping replaces.

    >>> base = node_of({"a": {"b": 1, "c": [1, 2]}, "d": 1}, Mark("base"))
    >>> values(merged(base, node_of({"a": {"c": [3]}, "d": None}, Mark("over"))))
    {'a': {'b': 1, 'c': (3,)}}
    """
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    entries = dict(base.value)
    for key, entry in over.value.items():
        if key not in entries:
            entries[key] = entry
        elif entry.node.value is None:
            del entries[key]
        else:
            entries[key] = replace(entries[key], node=merged(entries[key].node, entry.node))
    return replace(base, value=entries)


def place_of(root: Node, path: Path, *, on_key: bool = False) -> Mark:
    """Find where the value at a path stands, or its key; else the nearest thing above it."""
    mark, node = root.mark, root
    for depth, key in enumerate(path):
        child = node.child(key)
        if child is None:
            return mark
        mark = child.mark
        if isinstance(node.value, dict) and (on_key or depth < len(path) - 1):
            mark = node.value[str(key)].key
        node = child
    return mark


def faults_of(root: Node, findings: Iterable[Finding]) -> list[Fault]:
    """Give findings their places, in the order in which these stand in the document."""
    placed = [(_mark_of(root, finding), finding) for finding in dict.fromkeys(findings)]
    placed.sort(key=lambda one: (one[0].line == 0, one[0].source, one[0].line, one[0].column))
    return [fault_at(finding.path, finding.message, str(mark)) for mark, finding in placed]


def _mark_of(root: Node, finding: Finding) -> Mark:
    mark = place_of(root, finding.path, on_key=finding.on_key)
    node: Node | None = root
    for key in finding.path:
        node = node.child(key) if node else None
    if finding.position is None or node is None or node.text_column is None:
        return mark
    return replace(mark, column=node.text_column + finding.position)
