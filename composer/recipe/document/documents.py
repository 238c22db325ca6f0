"""The one door to the YAML library: text in, nodes that know where they stand out.

    home: {mix: "fuse(a, b)"}   ->  a mapping whose `mix` stands at line 1, column 8

A recipe is YAML 1.2 and needs no tags, merge keys, directives or second document, so these
are refused, as are keys given twice, and characters that cannot be seen or that show the text
in another order than it is read. Values are counted, those that aliases stand for as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from composer.errors import Fault, RecipeError
from composer.recipe.document.characters import beyond_unicode, wrong_character
from composer.recipe.document.findings import MAX_FAULTS, show
from composer.recipe.document.scalars import resolved
from composer.recipe.document.tree import Entry, Mark, Node

MAX_BYTES = 2**20
MAX_DEPTH = 50
MAX_ALIASES = 100
MAX_NODES = 50_000
_MOST_PIECES = 1_000

_MIXTURE = re.compile(r"[^(]*\b(fuse|gate|average) *\(")


@dataclass(frozen=True)
class Document:
    """What was read, and what is wrong with it that did not stop the reading."""

    root: Node
    faults: tuple[Fault, ...]


def read_document(content: bytes, source: str) -> Document:
    """Read the one mapping that a recipe is.

    Raises:
        RecipeError: Nothing can be made of the text; everything else is in `faults`.
    """
    document = _read(_decoded(content, source), source)
    if not isinstance(document.root.value, dict):
        mark = document.root.mark
        raise RecipeError([Fault(str(mark), "a recipe is a mapping, `key: value` a line")])
    return document


def read_value(text: str, source: str) -> Document:
    """Read a value given on the command line, as YAML; an empty text is nothing."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise RecipeError([Fault(source, f"longer than {MAX_BYTES} bytes")])
    _check_characters(text, source)
    return _read(text, source, empty=Node(None, Mark(source, 1, 1)))


def _decoded(content: bytes, source: str) -> str:
    if len(content) > MAX_BYTES:
        raise RecipeError([Fault(source, f"longer than {MAX_BYTES} bytes")])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        mark = _mark_at(content[: error.start].decode("utf-8"), source)
        found = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise RecipeError([Fault(str(mark), found)]) from error
    text = text.removeprefix("\ufeff")
    _check_characters(text, source)
    return text


def _check_characters(text: str, source: str) -> None:
    wrong = wrong_character(text)
    if wrong:
        mark = _mark_at(text[: wrong[0]], source)
        raise RecipeError([Fault(str(mark), wrong[1])])


def _mark_at(before: str, source: str) -> Mark:
    lines = re.split(r"\r\n|\r|\n", before)
    return Mark(source, len(lines), len(lines[-1]) + 1)


def _events(text: str, source: str) -> Iterator[Event]:
    """Parse step by step; the library trips over characters that Unicode does not have."""
    events = YAML(typ="safe", pure=True).parse(text)
    reached = 0
    while True:
        try:
            event = next(events)
        except StopIteration:
            return
        except (OverflowError, ValueError) as error:
            at, found = beyond_unicode(text, reached) or (reached, f"not YAML: {error}")
            raise RecipeError([Fault(str(_mark_at(text[:at], source)), found)]) from error
        reached = event.end_mark.index
        yield event


def _read(text: str, source: str, *, empty: Node | None = None) -> Document:
    try:
        return _Builder(text, source).document(empty)
    except MarkedYAMLError as error:
        raise RecipeError([_syntax_fault(error, source)]) from error
    except YAMLError as error:
        raise RecipeError([Fault(source, f"not YAML: {error}")]) from error


class _Builder:
    """Makes nodes of the parser's events; the parser itself never recurses."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._events = _events(text, source)
        self._faults: list[Fault] = []
        self._anchors: dict[str, Node] = {}
        self._open_anchors: list[str] = []
        self._aliases = 0
        self._count = 0

    def document(self, empty: Node | None) -> Document:
        """Read the whole stream, which holds one document, or `empty` if it holds none."""
        event = self._next(skip=StreamStartEvent)
        if isinstance(event, StreamEndEvent):
            if empty is None:
                raise self._stop(event, "the file is empty; a recipe begins with `composer: 1`")
            return Document(empty, ())
        if isinstance(event, DocumentStartEvent) and (
            event.tags or event.version not in (None, (1, 2))
        ):
            self._fault(event, "a recipe is YAML 1.2 and has no directives; take the % lines out")
        root = self._node(next(self._events), depth=0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, StreamEndEvent):
            raise self._stop(event, "a second document begins here; a recipe is one document")
        return Document(root, tuple(self._faults))

    def _next(self, skip: type[Event]) -> Event:
        event = next(self._events)
        return next(self._events) if isinstance(event, skip) else event

    def _mark(self, event: Event) -> Mark:
        return Mark(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _fault(self, event: Event, message: str) -> None:
        self._faults.append(Fault(str(self._mark(event)), message))
        if len(self._faults) == MAX_FAULTS:
            raise self._stop(event, "and so on; nothing after this is read")

    def _stop(self, event: Event, message: str) -> RecipeError:
        return RecipeError([*self._faults, Fault(str(self._mark(event)), message)])

    def _node(self, event: Event, *, depth: int) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event, depth=depth)
        if not isinstance(event, NodeEvent):
            raise self._stop(event, "a value is missing here")
        if depth > MAX_DEPTH:
            raise self._stop(event, f"nested deeper than {MAX_DEPTH}")
        self._counted(event, 1)
        if event.anchor is None:
            return self._content(event, depth=depth)
        self._open_anchors.append(event.anchor)
        node = self._content(event, depth=depth)
        self._anchors[self._open_anchors.pop()] = node
        return node

    def _counted(self, event: Event, more: int) -> None:
        self._count += more
        if self._count > MAX_NODES:
            raise self._stop(event, f"more than {MAX_NODES} keys and values")

    def _content(self, event: NodeEvent, *, depth: int) -> Node:
        if isinstance(event, SequenceStartEvent):
            self._refuse_tag(event)
            return self._sequence(event, depth=depth)
        if isinstance(event, MappingStartEvent):
            self._refuse_tag(event)
            return self._mapping(event, depth=depth)
        if isinstance(event, ScalarEvent):
            self._refuse_tag(event)
            return self._scalar(event)
        raise self._stop(event, "a value is missing here")

    def _refuse_tag(self, event: SequenceStartEvent | MappingStartEvent | ScalarEvent) -> None:
        if event.tag is not None:
            self._fault(event, f"tag {show(event.tag)}; a recipe has no tags, take it out")

    def _alias(self, event: AliasEvent, *, depth: int) -> Node:
        name = event.anchor
        said = name[:40]
        if name in self._open_anchors:
            raise self._stop(event, f"alias *{said} stands inside what it names")
        if name not in self._anchors:
            raise self._stop(event, f"alias *{said} has no anchor &{said} before it")
        node = self._anchors[name]
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._stop(event, f"more than {MAX_ALIASES} aliases")
        self._counted(event, node.size)
        if depth + node.height > MAX_DEPTH:
            raise self._stop(event, f"nested deeper than {MAX_DEPTH}")
        return replace(node, mark=self._mark(event), text_column=None)

    def _sequence(self, event: SequenceStartEvent, *, depth: int) -> Node:
        items: list[Node] = []
        split = _SplitText()
        for one in iter(self._events):
            if isinstance(one, SequenceEndEvent):
                break
            item = self._node(one, depth=depth + 1)
            if split.goes_on(one):
                items[-1] = self._rejoined(split, items[-1])
                continue
            items.append(item)
            if event.flow_style and isinstance(item.value, str) and _MIXTURE.match(item.value):
                split.begin(one)
        return _collection(tuple(items), items, self._mark(event))

    def _mapping(self, event: MappingStartEvent, *, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        split, latest = _SplitText(), ""
        for key in iter(self._events):
            if isinstance(key, MappingEndEvent):
                break
            name = self._key(key, depth=depth)
            value = next(self._events)
            node = self._node(value, depth=depth + 1)
            if split.goes_on(key, value):
                whole = self._rejoined(split, entries[latest].node)
                entries[latest] = replace(entries[latest], node=whole)
            elif name is not None and not self._given_twice(key, name, entries):
                latest, entries[name] = name, Entry(self._mark(key), node)
                if event.flow_style:
                    split.begin(value)
        nodes = [entry.node for entry in entries.values()]
        return _collection(entries, nodes, self._mark(event))

    def _key(self, event: Event, *, depth: int) -> str | None:
        """Read a key; None if it cannot be one, which is then a fault."""
        node = self._node(event, depth=depth + 1)
        if isinstance(event, ScalarEvent) and not event.style and event.value == "<<":
            self._fault(event, "merge keys (<<) are not read; use a profile, or repeat the keys")
            return None
        if isinstance(node.value, str):
            return node.value
        found = event.value[:40] if isinstance(event, ScalarEvent) else "a list or mapping"
        remedy = f'; quote it: "{found}"' if isinstance(event, ScalarEvent) else ""
        self._fault(event, f"a key is text, not {found or 'nothing'}{remedy}")
        return None

    def _given_twice(self, event: Event, name: str, entries: dict[str, Entry]) -> bool:
        if name not in entries:
            return False
        first = entries[name].key
        self._fault(event, f"the key {show(name)} is given twice; first in line {first.line}")
        return True

    def _scalar(self, event: ScalarEvent) -> Node:
        mark = self._mark(event)
        one_line = event.start_mark.line == event.end_mark.line
        width = event.end_mark.column - event.start_mark.column
        wrong = wrong_character(event.value)  # escaped: as they stand, the text has none
        if wrong:
            self._fault(event, wrong[1])
            return Node("", mark)
        if event.style:
            exact = one_line and event.style in "'\"" and width == len(event.value) + 2
            return Node(event.value, mark, text_column=mark.column + 1 if exact else None)
        if event.tag is not None:
            return Node(event.value, mark)
        exact = one_line and width == len(event.value)
        try:
            value = resolved(event.value)
        except OverflowError as error:
            self._fault(event, f"{event.value[:40]} is no number that fits; {error}")
            value = 1
        return Node(value, mark, text_column=mark.column if exact else None)

    def _rejoined(self, split: "_SplitText", node: Node) -> Node:
        """Put the pieces of a text together, so that it is one fault and not several."""
        if len(split.pieces) == 2 and split.start is not None:
            self._fault(
                split.start,
                f"{show(split.pieces[0])} ends at the comma; in flow style, inside {{}} or [], "
                f'a composition with a comma must be quoted: "fuse(a, b)"',
            )
        return replace(node, value=", ".join(split.pieces), text_column=None)


def _collection(value: tuple[Node, ...] | dict[str, Entry], nodes: list[Node], mark: Mark) -> Node:
    size = 1 + sum(node.size for node in nodes)
    return Node(value, mark, size=size, height=1 + max((node.height for node in nodes), default=0))


class _SplitText:
    """Follows `{mix: fuse(a, b)}`, which YAML reads as the keys `mix` and `b)`."""

    def __init__(self) -> None:
        self.start: ScalarEvent | None = None
        self.pieces: list[str] = []
        self._unclosed = 0

    def begin(self, event: Event) -> None:
        """Look at a value: what follows may belong to it if it leaves a parenthesis open."""
        if isinstance(event, ScalarEvent):
            self.start, self.pieces, self._unclosed = event, [event.value], _unclosed(event)

    def goes_on(self, piece: Event, value: Event | None = None) -> bool:
        """Say whether this item, or key without a value, is a piece of the text before."""
        if self._unclosed <= 0 or len(self.pieces) > _MOST_PIECES:
            return False
        if not isinstance(piece, ScalarEvent) or piece.style:
            return False
        if value is not None and not _is_nothing(value):
            return False
        self._unclosed += _unclosed(piece)
        self.pieces.append(piece.value)
        return True


def _unclosed(event: ScalarEvent) -> int:
    return 0 if event.style else int(event.value.count("(") - event.value.count(")"))


def _is_nothing(event: Event) -> bool:
    return isinstance(event, ScalarEvent) and not event.style and event.value == ""


_SYNTAX = (
    (r"mapping values are not allowed here",
     "a ': ' inside a value; quote the value, or check the indentation of this line"),
    (r"found character '\\t' that cannot start any token", "a tab; indent with spaces"),
    (r"found character (?P<found>'.+') that cannot start any token",
     "no value begins with {found}; quote it"),
    (r"expected ',' or (?P<end>'[\]}]'), but got .*",
     "a ',' or {end} is missing before this, for the bracket opened at {start}"),
    (r"expected <block end>, but found .*",
     "this does not line up with the block that begins at {start}; check the indentation"),
    (r"expected '<document start>', but found .*",
     "nothing can stand here; the document has ended before it"),
    (r"found unknown escape character (?P<found>.+)",
     "unknown escape {found}; write \\\\ for a backslash, or use single quotes"),
    (r"expected the node content, but found (?P<found>.+)", "a value is missing before {found}"),
    (r"expected alphabetic or numeric character, but found .*",
     "a name must follow '*' and '&'; quote the text if it only begins so"),
)  # fmt: skip

_UNFINISHED = {
    "found unexpected end of stream": "this quoted text is never closed",
    "found unexpected document separator": "this quoted text is not closed before '---'",
    "could not find expected ':'": "this key has no ':' and value",
}


def _syntax_fault(error: MarkedYAMLError, source: str) -> Fault:
    """Say in words what the parser could not read, and where."""
    problem, start = str(error.problem or error.context), error.context_mark
    if problem in _UNFINISHED and start is not None:
        return Fault(f"{source}:{start.line + 1}:{start.column + 1}", _UNFINISHED[problem])
    mark = error.problem_mark or start
    place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
    at = f"line {start.line + 1}, column {start.column + 1}" if start else "above"
    for pattern, message in _SYNTAX:
        match = re.fullmatch(pattern, problem)
        if match:
            return Fault(place, message.format(start=at, **match.groupdict()))
    return Fault(place, f"not YAML: {problem}")
