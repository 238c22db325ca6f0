"""Make examples of rows: which column holds what, and what may stand in it.

    text-classification     text, label, perhaps pair
    regression              the same; the label is a number
    multi-label-cl...       the same; the label is a list of them: ["area", "name"] or area|name
    token-classification    text and spans: [{"start": 12, "end": 16, "label": "name"}]
                            or words and BIO tags: ["the", "lamp"] and ["O", "B-name"]
    none (plain text)       text

In formats whose cells are text, spans are written as JSON, words and tags with a space between
them, several labels as JSON or with a bar between them; an empty cell has none. A label keeps its
spelling: 007, 1.0 and true stay what they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from composer.data.examples import Example, Span
from composer.data.faults import FaultList
from composer.data.rows import Number, Row, Table, parse_json
from composer.data.texts import finite_number, label_fault, named, shortened, text_fault
from composer.recipe.grammar.data import Columns
from composer.recipe.grammar.tasks import TaskType

SEPARATOR = "|"  # of labels, where a cell is text

Role = Literal["text", "pair", "label", "spans", "words", "tags"]


def choose_columns(
    columns: Columns, *, type: TaskType | None, found: Sequence[str], place: str, faults: FaultList
) -> dict[Role, str]:
    """Say which column is read for what; those that are missing are noted in `faults`.

    Args:
        columns: As the recipe names them.
        type: Of the task; None: plain text.
        found: What the source has.
        place: Of the source.
        faults: Where to note what is missing.
    """
    chosen: dict[Role, str] = {}
    for role in _roles(columns, type=type, found=found):
        name = getattr(columns, role) or role
        if name in found:
            chosen[role] = name
        else:
            faults.add(place, _missing(role, name, columns=columns, found=found))
    return chosen


def _roles(columns: Columns, *, type: TaskType | None, found: Sequence[str]) -> tuple[Role, ...]:
    pair: tuple[Role, ...] = ("pair",) if columns.pair is not None else ()
    match type:
        case None:
            return ("text", *pair)
        case "token-classification":
            return ("words", "tags") if _by_words(columns, found) else ("text", "spans")
        case _:
            return ("text", *(pair or (("pair",) if "pair" in found else ())), "label")


def _by_words(columns: Columns, found: Sequence[str]) -> bool:
    if columns.words or columns.tags:
        return True
    return columns.spans is None and "spans" not in found and {"words", "tags"} <= set(found)


def _missing(role: Role, name: str, *, columns: Columns, found: Sequence[str]) -> str:
    if len(found) == 1 and any(mark in found[0] for mark in ";\t|"):
        return (
            f"no column {name!r}: the header {shortened(found[0])} has no commas; save with commas"
        )
    given = getattr(columns, role) is not None
    remedy = "" if given else f"; say which one it is, by columns: {{{role}: ...}} or --{role}"
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    near = [one for one in found if one.strip().lower() == name.lower()]
    near = near or (get_close_matches(name, found, n=1) if given else [])
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(map(named, found[:20]))
    return f"no column {name!r}; the columns are: {listed}{more}{hint}{remedy}"


def to_examples(
    table: Table, *, type: TaskType | None, chosen: Mapping[Role, str], faults: FaultList
) -> list[Example]:
    """Make an example of each row; what cannot be one is noted in `faults`."""
    return [
        _RowReader(row, f"{table.name}:{row.number}", chosen, faults).example(type)
        for row in table.rows
    ]


@dataclass(frozen=True, slots=True)
class _RowReader:
    """Reads one row's cells; where one is faulty, notes it and goes on with a stand-in."""

    row: Row
    place: str
    chosen: Mapping[Role, str]
    faults: FaultList

    def example(self, type: TaskType | None) -> Example:
        if "words" in self.chosen:
            text, spans = self._tagged_words()
            return Example(text=text, spans=spans, place=self.place)
        text = self._text("text")
        pair = self._text("pair") if "pair" in self.chosen else None
        if "spans" in self.chosen:
            return Example(text=text, pair=pair, spans=self._spans(), place=self.place)
        if type == "multi-label-classification":
            return Example(text=text, pair=pair, label=self._labels(), place=self.place)
        label = None if type is None else self._label(type)
        return Example(text=text, pair=pair, label=label, place=self.place)

    def _fault(self, message: str) -> None:
        self.faults.add(self.place, message)

    def _cell(self, role: Role) -> object:
        return self.row.cells.get(self.chosen[role])

    def _text(self, role: Role) -> str:
        cell = self._cell(role)
        if not isinstance(cell, str) or isinstance(cell, Number):
            self._fault(f"{self.chosen[role]!r} must be text, not {_said(cell)}")
            return ""
        fault = text_fault(cell)
        if fault:
            self._fault(fault if role == "text" else f"{self.chosen[role]!r}: {fault}")
        return cell

    def _label(self, type: TaskType) -> str | float | None:
        cell = self._cell("label")
        if cell is None or cell != cell:  # Parquet has both null and not-a-number
            self._fault("the label is missing")
            return None
        if isinstance(cell, list | dict) or (type == "regression" and isinstance(cell, bool)):
            self._fault(f"{self.chosen['label']!r} must be one label, not {_said(cell)}")
            return None
        label = str(cell).lower() if isinstance(cell, bool) else str(cell)
        fault = label_fault(label)
        if fault:
            self._fault(fault)
        if type != "regression" or fault:
            return label
        value = finite_number(label)
        if value is None:
            self._fault(f"{shortened(label)} is not a finite number, such as 1.5")
        return value

    def _labels(self) -> tuple[str, ...]:
        """Read several labels, each once, in the order of the alphabet."""
        cell = self._cell("label")
        listed = _split(cell) if isinstance(cell, str) and not isinstance(cell, Number) else cell
        if not isinstance(listed, list):
            said = (
                "the labels are missing"
                if cell is None
                else _not_a_list(self.chosen["label"], cell)
            )
            self._fault(said)
            return ()
        found: list[str] = []
        for one in listed:
            if one is None or isinstance(one, list | dict):
                self._fault(_not_a_list(self.chosen["label"], cell))
                return ()
            label = str(one).lower() if isinstance(one, bool) else str(one)
            fault = label_fault(label)
            if fault or label in found:
                self._fault(fault or f"the label {shortened(label)} is there twice")
            found.append(label)
        return tuple(sorted(set(found)))

    def _spans(self) -> tuple[Span, ...]:
        cell = self._cell("spans")
        listed = _parsed(cell) if isinstance(cell, str) else cell
        spans = [_span(one) for one in listed] if isinstance(listed, list) else [None]
        found = tuple(span for span in spans if span is not None)
        if len(found) < len(spans):
            form = '[{"start": 0, "end": 4, "label": "name"}]'
            self._fault(f"{self.chosen['spans']!r} must be a list like {form}, not {_said(cell)}")
        return found

    def _tagged_words(self) -> tuple[str, tuple[Span, ...]]:
        words, tags = self._listed("words"), self._listed("tags")
        if len(words) != len(tags):
            self._fault(f"{len(words)} words and {len(tags)} tags; there is one tag a word")
        if not all(word.strip() for word in words):
            self._fault("a word is empty")
        for tag in tags:
            if tag != "O" and (tag[:2] not in ("B-", "I-") or not tag[2:].strip()):
                self._fault(f"the tag {shortened(tag)} is not O, B-... or I-...")
                return "", ()
        text = " ".join(words)
        fault = text_fault(text)
        if fault:
            self._fault(fault)
        return text, spans_of_words(words, tags)

    def _listed(self, role: Role) -> list[str]:
        cell = self._cell(role)
        if isinstance(cell, str) and not isinstance(cell, Number):
            return cell.split()
        if isinstance(cell, list) and all(isinstance(one, str) for one in cell):
            return cell
        self._fault(f"{self.chosen[role]!r} must be a list of text, not {_said(cell)}")
        return []


def spans_of_words(words: Sequence[str], tags: Sequence[str]) -> tuple[Span, ...]:
    """Find the spans of BIO-tagged words in the text that joins them by single spaces.

    An I- that continues nothing begins a span, as in the CoNLL scorer.

    >>> spans_of_words(["dim", "bed", "lamp"], ["O", "I-name", "I-name"])
    (Span(start=4, end=12, label='name'),)
    """
    spans: list[Span] = []
    start, before = 0, "O"
    for word, tag in zip(words, tags, strict=False):  # lengths that differ are a fault already
        end = start + len(word)
        if tag.startswith("I-") and before[2:] == tag[2:]:
            spans[-1] = Span(start=spans[-1].start, end=end, label=tag[2:])
        elif tag != "O":
            spans.append(Span(start=start, end=end, label=tag[2:]))
        start, before = end + 1, tag
    return tuple(spans)


def _split(cell: str) -> object:
    """Split what a cell of text lists: JSON, or labels with a bar between them."""
    if cell.lstrip().startswith("["):
        return _parsed(cell)
    return [one.strip() for one in cell.split(SEPARATOR)] if cell.strip() else []


def _not_a_list(column: str, cell: object) -> str:
    return f'{column!r} must be a list of labels like ["a", "b"] or a|b, not {_said(cell)}'


def _parsed(cell: str) -> object:
    try:
        return parse_json(cell)
    except (ValueError, RecursionError):
        return None  # no list: the caller says what is written there


def _span(cell: object) -> Span | None:
    if not isinstance(cell, dict) or not isinstance(cell.get("label"), str):
        return None
    start, end = _index(cell.get("start")), _index(cell.get("end"))
    if start is None or end is None:
        return None
    return Span(start=start, end=end, label=cell["label"])


def _index(cell: object) -> int | None:
    if isinstance(cell, Number):
        return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 10 else None
    return cell if isinstance(cell, int) and not isinstance(cell, bool) else None


def _said(cell: object) -> str:
    if cell is None:
        return "nothing"
    return str(cell) if isinstance(cell, Number) else shortened(str(cell), 60)
