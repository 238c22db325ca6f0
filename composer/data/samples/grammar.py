"""The rules and lists of one language, as `hassil` parses them.

Words are kept as they are written; a list is a list of words, a range of numbers, or filled from
`composer.data.samples.names`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from hassil.expression import Alternative, Expression, Group, ListReference, RuleReference
from hassil.parse_expression import parse_sentence

from composer.data.samples.names import Names
from composer.data.samples.templates import ANY, Template, read_package, slot_names

# Numbers that people say; a range that has none of them is used as it is.
_PERCENTAGES = tuple(range(5, 101, 5))
_SAID = {
    "percentage": _PERCENTAGES,
    "volume_percentage": _PERCENTAGES,
    "temperature": tuple(range(15, 29)),
    "color_temperature": tuple(range(2000, 6501, 100)),
    "timer_hours": (1, 2, 3, 4, 5, 6, 8, 10, 12),
    "timer_minutes": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 55),
    "timer_seconds": (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 75, 80, 90),
}


_MISHEARD = ("dirty", "stt_", "typo")  # in the names of rules for what is heard wrongly
_NEVER = Alternative(items=[])


class Grammar:
    """Rules and lists of one language; each is parsed when it is first needed.

    Attributes:
        values: List of words -> its entries.
        numbers: Range -> the numbers that are drawn.
        slots: Slots that count as labels.
        without_spaces: Whether words are written together.
    """

    def __init__(self, language: str) -> None:
        package = read_package(language)
        self._rules: Mapping[str, str] = package["expansion_rules"]
        self._parsed: dict[str, Expression] = {}
        lists: Mapping[str, dict[str, Any]] = package["lists"]
        self.values = {
            name: tuple(_parse(_entry(value)) for value in body["values"])
            for name, body in lists.items()
            if "values" in body
        }
        self.numbers = {
            name: _numbers(name, body["range"]) for name, body in lists.items() if "range" in body
        }
        self.slots = slot_names()
        self.without_spaces = bool(package.get("settings", {}).get("ignore_whitespace"))

    def template(self, text: str) -> Expression:
        """Parse a template, once."""
        if text not in self._parsed:
            self._parsed[text] = _parse(text)
        return self._parsed[text]

    def rule(self, name: str) -> Expression:
        """Parse a rule, once; one for what is heard wrongly leads to no sentence."""
        if any(word in name for word in _MISHEARD):
            return _NEVER
        return self.template(self._rules[name])

    def lacks(self, template: Template, names: Names) -> str | None:
        """Say what a template needs and nobody has; None where all is there."""
        parts = tuple(self._parts(self.template(template.text), ()))
        for part in parts:
            if isinstance(part, RuleReference):
                return f"<{part.rule_name}>"
            if part.list_name == "name":
                missing = [one for one in template.name_domains if one not in names.lists]
                if missing or not template.name_domains:
                    return f"{{name}} of {missing[0] if missing else ANY}"
            elif not self._has_list(part.list_name, names):
                return f"{{{part.list_name}}}"
        is_named = any(isinstance(one, ListReference) and one.list_name == "name" for one in parts)
        return "a domain" if template.domain == ANY and not is_named else None

    def names_of(self, domain: str, text: str, names: Names) -> str:
        """Choose the list of names: a domain's, or its own beside a list of states."""
        for kind in names.lists:
            owner, _, beside = kind.partition(":")
            if owner == domain and beside and f"{{{beside}:" in text:
                return kind
        return domain

    def _has_list(self, name: str, names: Names) -> bool:
        return name in self.values or name in self.numbers or name in names.lists

    def _parts(
        self, expression: Expression, inside: tuple[str, ...]
    ) -> Iterator[ListReference | RuleReference]:
        """Walk to every list, through the rules, and to every rule that is missing."""
        if isinstance(expression, ListReference):
            yield expression
        elif isinstance(expression, RuleReference):
            name = expression.rule_name
            if name not in self._rules or name in inside:
                yield expression
            else:
                yield from self._parts(self.rule(name), (*inside, name))
        elif isinstance(expression, Group):
            for item in expression.items:
                yield from self._parts(item, inside)


@lru_cache(maxsize=4)
def read_grammar(language: str) -> Grammar:
    """Read a language's rules and lists."""
    return Grammar(language)


def _parse(text: str) -> Expression:
    expression: Expression = parse_sentence(text).expression
    return expression


def _entry(value: str | dict[str, Any]) -> str:
    return value if isinstance(value, str) else str(value["in"])


def _numbers(name: str, body: dict[str, Any]) -> tuple[int, ...]:
    whole = range(int(body["from"]), int(body["to"]) + 1, int(body.get("step", 1)))
    said = _SAID.get(name) or _SAID.get(str(body.get("type")), ())
    return tuple(number for number in said if number in whole) or tuple(whole)
