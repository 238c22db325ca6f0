r"""Names of devices, rooms, people and all else that fills the templates of one language.

`assistant.de.json`:

    {
      "governed": ["der", "die", "das", "den", "dem", "im"],
      "classes": {"f": {"after": ["", "die", "in der"]}, "many": {"after": ["#other"]}},
      "words": {"f": "Lampe Tür", "many": "Minuten Stunden"},
      "refused": ["\\bimmer$"],
      "names": {"area": ["Küche@f", "Flur@m", ...], "light": ["Deckenlampe@f", ...], ...}
    }

A list of names belongs to a Home Assistant domain (`light`: what `{name}` is where a lamp is
meant), to a slot list (`area`, `message`) or to a domain beside a list of states
(`binary_sensor:states`).

Templates are written to understand, not to speak: they put any article before any name. The class
after `@` says what a name may follow (`after`, where "" is any word that is not governed and
"#other" a number of that kind), what it may not follow (`not_after`), and what may be glued to
its end (`glued`). `words` puts words of the templates into such classes. Forms of one name are
divided by ` | `: `кухню@bare | кухне@na`. `numbers` says which numbers are of which kind; the
others are "#other".

Every name is in one split, by its position in the list: of five names the first three are for
training, the fourth for validation, the last for test.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.recipe.grammar.data import Split

_PARTITION: "tuple[Split, ...]" = ("train", "train", "train", "validation", "test")
_NEAR = 40  # letters to the left that can matter


@dataclass(frozen=True, eq=False)
class Rule:
    """What a word or a name may stand beside.

    Attributes:
        limited: Whether it may follow only what is said here.
        after: What it may follow, each with a space before it.
        not_after: What it may not follow, each with a space before it.
        glued: What may be glued to its end; empty: anything.
        ungoverned: Whether it may follow whatever is not governed.
        kinds: Kinds of numbers that it may follow; empty: any number.
    """

    limited: bool = False
    after: tuple[str, ...] = ()
    not_after: tuple[str, ...] = ()
    glued: tuple[str, ...] = ()
    ungoverned: bool = False
    kinds: tuple[str, ...] = ()


FREE = Rule()


@dataclass(frozen=True)
class Form:
    """One way to write a name."""

    text: str
    rule: Rule = FREE


@dataclass(frozen=True)
class Names:
    """All names of one language, and how its words agree.

    Attributes:
        lists: List -> split -> all forms of all names.
        governed: Words that must agree with what follows them.
        words: Word of a template -> what it may stand beside.
        numbers: Kind of number -> which are of it; "#other" is the rest.
        refused: What no sentence may match, neither as it is nor with `{slot}` for each name;
            None where all may be said.
    """

    lists: "Mapping[str, Mapping[Split, tuple[Form, ...]]]"
    governed: frozenset[str] = frozenset()
    words: Mapping[str, Rule] = field(default_factory=dict)
    numbers: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    refused: re.Pattern[str] | None = None

    def fitting(self, name: str, split: "Split", left: str) -> list[Form]:
        """List the forms in a split that may follow the text on their left."""
        forms = self.lists[name][split]
        fits = {rule: self.may_follow(rule, left) for rule in {form.rule for form in forms}}
        return [form for form in forms if fits[form.rule]]

    def may_follow(self, rule: Rule, left: str) -> bool:
        """Say whether what has this rule may stand after the text on its left."""
        left = f" {left[-_NEAR:].strip().casefold()}"
        if left.endswith(rule.not_after):
            return False
        if not rule.limited or left.endswith(rule.after):
            return True
        word = last_word(left)
        if rule.kinds and word.isdecimal():
            return self._kind(word) in rule.kinds
        return rule.ungoverned and word not in self.governed

    def _kind(self, number: str) -> str:
        kinds = (kind for kind, numbers in self.numbers.items() if numbers.fullmatch(number))
        return next(kinds, "#other")


def last_word(text: str) -> str:
    """Cut out the last word, an elided article by itself.

    >>> last_word("allume la"), last_word("allume l'"), last_word("")
    ('la', "l'", '')
    """
    word = text.rstrip().rpartition(" ")[2]
    elided = word[:-1].replace("’", "'").rpartition("'")[0]
    return word[len(elided) + 1 :] if elided else word


@lru_cache(maxsize=4)
def read_names(language: str, *, for_another: bool = False) -> Names:
    """Read the names of a language that has a file of its own.

    Args:
        language: Whose names.
        for_another: Whether another language borrows them: each in its first form, with none
            of the rules.
    """
    value = json.loads(_file(language))
    if for_another:
        plain = {
            name: _partition([[_forms(entry, {})[0]] for entry in entries])
            for name, entries in value["names"].items()
        }
        return Names(lists=plain)
    rules = {name: _rule(rule) for name, rule in value.get("classes", {}).items()}
    return Names(
        lists={
            name: _partition([_forms(entry, rules) for entry in entries])
            for name, entries in value["names"].items()
        },
        governed=frozenset(value.get("governed", ())),
        words={
            word.casefold(): rules[kind]
            for kind, words in value.get("words", {}).items()
            for word in words.split()
        },
        numbers={kind: re.compile(rule) for kind, rule in value.get("numbers", {}).items()},
        refused=_any_of(value.get("refused", ())),
    )


def names_digest(languages: tuple[str, ...]) -> str:
    """Hash the files of these languages."""
    digest = sha256()
    for language in languages:
        digest.update(sha256(_file(language)).digest())
    return digest.hexdigest()


def _file(language: str) -> bytes:
    return files("composer.data.samples").joinpath(f"assistant.{language}.json").read_bytes()


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.MULTILINE)


def _rule(written: Mapping[str, Sequence[str]]) -> Rule:
    after = written.get("after", ())
    kinds = tuple(kind for kind in after if kind.startswith("#"))
    return Rule(
        limited="after" in written,
        after=tuple(f" {one}" for one in after if one and one not in kinds),
        not_after=tuple(f" {one}" for one in written.get("not_after", ())),
        glued=tuple(written.get("glued", ())),
        ungoverned="" in after,
        kinds=kinds,
    )


def _forms(entry: str, rules: Mapping[str, Rule]) -> list[Form]:
    forms = []
    for written in entry.split(" | "):
        text, _, kind = written.partition("@")
        forms.append(Form(text, rules.get(kind, FREE)))
    return forms


def _partition(names: Sequence[Sequence[Form]]) -> "dict[Split, tuple[Form, ...]]":
    parts: dict[Split, list[Form]] = {"train": [], "validation": [], "test": []}
    for position, forms in enumerate(names):
        parts[_PARTITION[position % len(_PARTITION)]].extend(forms)
    return {split: tuple(part) for split, part in parts.items()}
