"""Composition expressions: which adapters act on an input, and how they combine.

    intent                           one adapter
    $language > intent               stacked: `intent` reads what the language's adapter wrote
    fuse(intent, domain, none)       AdapterFusion; `none` is the null member, which adds nothing
    gate(intent, domain)             the same with a linear gate instead of attention
    average(intent, domain)          the mean of what each adds
    average(0.7 * a, 0.3 * b)        weighted; the weights add to 1
    fuse(de > intent, domain)        parentheses group; a stack in a stack is flattened

`$language` stands for the adapter of the language at hand, and is bound where the
composition is used. A composition prints as it is written, and reads back the same.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.errors import ComposerError, did_you_mean

NONE = "none"
LANGUAGE = "$language"
OPERATORS = ("average", "fuse", "gate")
RESERVED = frozenset({*OPERATORS, NONE})

MAX_CHARACTERS = 10_000
MAX_DEPTH = 20
_WEIGHT_TOLERANCE = 1e-6


class CompositionError(ComposerError):
    """A composition expression that cannot be read.

    Attributes:
        message: What is wrong, without its position.
        position: Of the first character that is wrong, counted from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.message = message
        self.position = position


@dataclass(frozen=True)
class Stack:
    """Adapters applied one after another, the first nearest the backbone."""

    parts: tuple["Composition", ...]

    def __str__(self) -> str:
        return " > ".join(map(str, self.parts))


@dataclass(frozen=True)
class Fuse:
    """AdapterFusion: attention mixes what the members add."""

    parts: tuple["Composition", ...]

    def __str__(self) -> str:
        return f"fuse({', '.join(map(str, self.parts))})"


@dataclass(frozen=True)
class Gate:
    """A fusion whose mixture is a linear function of the layer's output."""

    parts: tuple["Composition", ...]

    def __str__(self) -> str:
        return f"gate({', '.join(map(str, self.parts))})"


@dataclass(frozen=True)
class Average:
    """A fixed mixture of what the members add; the weights add to 1."""

    parts: tuple["Composition", ...]
    weights: tuple[float, ...]

    def __str__(self) -> str:
        if self.weights == (1 / len(self.parts),) * len(self.parts):
            return f"average({', '.join(map(str, self.parts))})"
        members = [
            f"{weight!r} * ({part})" if isinstance(part, Stack) else f"{weight!r} * {part}"
            for part, weight in zip(self.parts, self.weights, strict=True)
        ]
        return f"average({', '.join(members)})"


Composition = str | Stack | Fuse | Gate | Average
Mixture = Fuse | Gate | Average


def parse_composition(text: str) -> Composition:
    """Read an expression.

    >>> parse_composition("$language > fuse(intent, domain)")
    Stack(parts=('$language', Fuse(parts=('intent', 'domain'))))

    Raises:
        CompositionError: With the position of the first character that is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise CompositionError(
            f"a composition has at most {MAX_CHARACTERS} characters, not {len(text)}",
            MAX_CHARACTERS,
        )
    return _Parser(text).whole()


def print_composition(composition: Composition) -> str:
    """Write a composition as a user would.

    >>> print_composition(Average(("a", Stack(("b", "c"))), (0.75, 0.25)))
    'average(0.75 * a, 0.25 * (b > c))'
    """
    return str(composition)


def adapter_names(composition: Composition) -> list[str]:
    """List the adapters in reading order, each once, `$language` among them, `none` not.

    >>> adapter_names(parse_composition("$language > fuse(intent, domain, none)"))
    ['$language', 'intent', 'domain']
    """
    names = [part for part in walk(composition) if isinstance(part, str) and part != NONE]
    return list(dict.fromkeys(names))


def bind(composition: Composition, language: Composition) -> Composition:
    """Put one language's adapter, or what stands for it, where `$language` stands.

    >>> str(bind(parse_composition("$language > intent"), "de"))
    'de > intent'
    """
    if isinstance(composition, str):
        return language if composition == LANGUAGE else composition
    return replace(composition, parts=tuple(bind(part, language) for part in composition.parts))


def rename(composition: Composition, names: Mapping[str, str]) -> Composition:
    """Give adapters other names; those that `names` does not hold keep theirs.

    >>> str(rename(parse_composition("fuse(a, b)"), {"a": "c"}))
    'fuse(c, b)'
    """
    if isinstance(composition, str):
        return names.get(composition, composition)
    return replace(composition, parts=tuple(rename(part, names) for part in composition.parts))


def walk(composition: Composition) -> Iterator[Composition]:
    """Go through a composition and everything in it, in reading order.

    >>> [str(part) for part in walk(parse_composition("a > fuse(b, c)"))]
    ['a > fuse(b, c)', 'a', 'fuse(b, c)', 'b', 'c']
    """
    yield composition
    if not isinstance(composition, str):
        for part in composition.parts:
            yield from walk(part)


def stacked_parts(composition: Composition) -> tuple[Composition, ...]:
    """List what acts one after another; a single part if nothing is stacked."""
    return composition.parts if isinstance(composition, Stack) else (composition,)


def mixers_of(composition: Composition) -> list[Fuse | Gate]:
    """List the fusions and gates that have weights, in the order of their numbers.

    They stand at the top or in the top stack: a fusion is never a member of anything.
    """
    return [part for part in stacked_parts(composition) if isinstance(part, Fuse | Gate)]


def holds_language(composition: Composition) -> bool:
    """Say whether `$language` occurs, so that the composition must be bound before use."""
    return LANGUAGE in walk(composition)


def holds_fusion(composition: Composition) -> bool:
    """Say whether a `fuse` or `gate` occurs, so that there are weights to learn."""
    return any(isinstance(part, Fuse | Gate) for part in walk(composition))


def repeated_member(composition: Composition) -> Composition | None:
    """Find a member that stands twice in one mixture, as binding may cause.

    >>> repeated_member(bind(parse_composition("fuse($language, de)"), "de"))
    'de'
    """
    for part in walk(composition):
        if isinstance(part, Mixture):
            twice = _first_repeated(part.parts)
            if twice is not None:
                return part.parts[twice]
    return None


def _first_repeated(parts: tuple[Composition, ...]) -> int | None:
    return next((i for i, part in enumerate(parts) if part in parts[:i]), None)


@dataclass(frozen=True)
class _Token:
    kind: str  # "name", "number", "end", or the sign itself
    text: str
    position: int


_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<name>\$?[A-Za-z][A-Za-z0-9_-]*)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<sign>[>(),*])"
)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CompositionError(
                f"unknown character {text[position]!r}; a composition is made of names, "
                f"'$language', '>', parentheses, commas, '*' and weights",
                position,
            )
        kind = str(match.lastgroup)
        if kind != "space":
            yield _Token(match[0] if kind == "sign" else kind, match[0], position)
        position = match.end()
    yield _Token("end", "the end", position)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def whole(self) -> Composition:
        """Read one expression and the end after it."""
        if self._next.kind == "end":
            raise CompositionError("an empty composition; write an adapter's name", 0)
        composition = self._expression(depth=0, inside=None)
        token = self._next
        if token.kind == ")":
            raise CompositionError("this ')' closes no '('", token.position)
        if token.kind == ",":
            raise CompositionError(
                "a comma stands only between the members of fuse(...), gate(...), average(...)",
                token.position,
            )
        if token.kind != "end":
            raise self._unexpected("'>' or the end")
        return composition

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _unexpected(self, wanted: str) -> CompositionError:
        token = self._next
        found = token.text if token.kind == "end" else repr(token.text)
        return CompositionError(f"{wanted} must stand here, not {found}", token.position)

    def _expression(self, *, depth: int, inside: str | None) -> Composition:
        """Read `part > part > ...`; `inside` names the nearest mixture around it."""
        start = self._next
        parts = [self._part(depth=depth, inside=inside)]
        while self._next.kind == ">":
            self._take()
            parts.append(self._part(depth=depth, inside=inside))
        if len(parts) == 1:
            return parts[0]
        if NONE in parts:
            raise CompositionError(
                "`none` adds nothing to a stack; it stands alone, or in a fusion or an average",
                start.position,
            )
        return Stack(tuple(one for part in parts for one in stacked_parts(part)))

    def _part(self, *, depth: int, inside: str | None) -> Composition:
        if depth > MAX_DEPTH:
            raise CompositionError(f"nested deeper than {MAX_DEPTH}", self._next.position)
        if self._next.kind == "(":
            opening = self._take()
            composition = self._expression(depth=depth + 1, inside=inside)
            self._close(opening)
            return composition
        if self._next.kind == "number":
            raise CompositionError(
                "a weight stands only in front of a member of average(...), as in 0.5 * name",
                self._next.position,
            )
        if self._next.kind != "name":
            raise self._unexpected("an adapter's name")
        return self._named(depth=depth, inside=inside)

    def _named(self, *, depth: int, inside: str | None) -> Composition:
        name = self._take()
        if self._next.kind == "(":
            return self._mixture(name, depth=depth, inside=inside)
        if name.text in OPERATORS:
            raise CompositionError(
                f"'{name.text}' is no adapter's name; write {name.text}(a, b)", name.position
            )
        if name.text.startswith("$") and name.text != LANGUAGE:
            raise CompositionError(
                f"unknown {name.text!r}; only {LANGUAGE!r} is bound where a composition is used",
                name.position,
            )
        return name.text

    def _close(self, opening: _Token) -> None:
        if self._next.kind == "end":
            raise CompositionError("this '(' is never closed", opening.position)
        if self._next.kind != ")":
            raise self._unexpected("'>' or ')'")
        self._take()

    def _mixture(self, name: _Token, *, depth: int, inside: str | None) -> Composition:
        """Read the members of `name(`, which is next."""
        if name.text not in OPERATORS:
            raise CompositionError(
                f"unknown operator {name.text!r}; {did_you_mean(name.text, OPERATORS)}",
                name.position,
            )
        fusion = name.text in ("fuse", "gate")
        if fusion and inside:
            raise CompositionError(
                f"{name.text} inside {inside}: a fusion is not a member of anything", name.position
            )
        members = self._members(depth=depth + 1, inside=name.text)
        _check_members(name, members)
        parts = tuple(member.part for member in members)
        if name.text == "fuse":
            return Fuse(parts)
        if name.text == "gate":
            return Gate(parts)
        return Average(parts, _weights(members))

    def _members(self, *, depth: int, inside: str | None) -> list["_Member"]:
        opening = self._take()
        members: list[_Member] = []
        while True:
            start, weight = self._next, None
            if start.kind == "number" and self._tokens[self._at + 1].kind == "*":
                weight = float(self._take().text)
                self._take()
            part = self._expression(depth=depth, inside=inside)
            members.append(_Member(part=part, weight=weight, position=start.position))
            if self._next.kind != ",":
                break
            self._take()
        if self._next.kind not in (")", "end"):
            raise self._unexpected("'>', ',' or ')'")
        self._close(opening)
        return members


@dataclass(frozen=True, kw_only=True)
class _Member:
    part: Composition
    weight: float | None
    position: int


def _check_members(operator: _Token, members: list[_Member]) -> None:
    if len(members) == 1:
        raise CompositionError(
            f"{operator.text} of one member, {members[0].part}; it needs two or more",
            operator.position,
        )
    twice = _first_repeated(tuple(member.part for member in members))
    if twice is not None:
        raise CompositionError(
            f"{members[twice].part} stands twice in one {operator.text}", members[twice].position
        )
    weighted = next((member for member in members if member.weight is not None), None)
    if operator.text != "average" and weighted is not None:
        raise CompositionError(
            f"{operator.text} learns its weights; only average(...) is given them",
            weighted.position,
        )


def _weights(members: list[_Member]) -> tuple[float, ...]:
    """Check the weights of an average; none given means all the same."""
    given = [member.weight for member in members if member.weight is not None]
    if not given:
        return (1 / len(members),) * len(members)
    for member in members:
        if member.weight is None:
            raise CompositionError(
                f"{member.part} has no weight, others have; weigh all members or none",
                member.position,
            )
        if not member.weight > 0:
            raise CompositionError(
                f"a weight is more than 0, not {member.weight:g}", member.position
            )
    if abs(sum(given) - 1) > _WEIGHT_TOLERANCE:
        raise CompositionError(
            f"the weights add to {sum(given):.7g}, and must add to 1", members[0].position
        )
    return tuple(given)
