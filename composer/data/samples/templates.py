"""The sentence templates of `home-assistant-intents`, each in one split for good.

A template is one line of one intent in one language, as `hassil` reads it: `[optional]`,
`(one|or|another)`, `(any;order)`, `<rule>`, `{list:slot}`.

    HassTurnOn   <turn> on [(<all>|<the>)] <light> <in> [<the>] {area}    response lights_area

Whether it is for training, validation or test follows from a hash of intent and text, so that
about a fifth of the templates that share an intent and a response is kept for test and an
eighth for validation. A group of fewer than three is for training alone, but for one template
of an intent that has three or more and no larger group. The same text, whatever its intent or
language, is in the same split.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from composer.data.samples.assistant import LANGUAGES, package_folder
from composer.recipe.grammar.data import Split

SMALLEST_GROUP = 3  # templates; below it there is nothing to hold out
TEST_SHARE = 1 / 5
VALIDATION_SHARE = 1 / 8

ANY = "homeassistant"  # the domain of intents.json that says nothing

# The domains that answer intents which are of no device.
_DOMAINS = {
    "HassBroadcast": "assist_satellite",
    "HassGetCurrentDate": "datetime",
    "HassGetCurrentTime": "datetime",
    "HassNevermind": "conversation",
    "HassRespond": "conversation",
}

# Responses that only some languages tell apart, and the English one that says the same.
_SAME_RESPONSE = {
    "fans": "fans_area",
    "fans_all": "fans_area",
    "fans_floor": "fans_area",
    "fans_here": "fans_area",
    "item_marked": "item_completed",
    "item_selected": "item_completed",
    "lights_all": "light_all",
    "lights_here": "lights_area",
    "unlock": "lock",
}


@dataclass(frozen=True, kw_only=True)
class Template:
    """One sentence template of one intent in one language.

    Attributes:
        intent: For example "HassTurnOn".
        text: As it stands in the package.
        response: What is answered: the key of the response, where English has that key.
        domain: Home Assistant's domain, unless the sentence names a device; ANY where the
            package does not say.
        name_domains: Domains that `{name}` may be of; empty where it does not occur.
        split: Where its sentences belong.
    """

    intent: str
    text: str
    response: str
    domain: str
    name_domains: tuple[str, ...]
    split: Split

    @property
    def group(self) -> tuple[str, str]:
        """What is divided evenly over the splits."""
        return self.intent, self.response


@lru_cache(maxsize=1)
def splits() -> Mapping[str, Split]:
    """Give every template text of the package its split, whatever the language."""
    chosen: dict[str, Split] = {}
    for language in LANGUAGES:
        groups: dict[tuple[str, str], set[str]] = {}
        for intent, block in _blocks(_read(_language_file(language))):
            keys = map(template_key, block["sentences"])
            groups.setdefault((intent, _response(block["response"])), set()).update(keys)
        held_out = _held_out_of_small_groups(groups)
        for group in sorted(groups):
            _divide(group, groups[group], chosen, test_at_least=group in held_out)
    return chosen


def read_templates(language: str) -> tuple[Template, ...]:
    """List the templates of a language, in the order of the package, each once a group."""
    chosen = splits()
    found: dict[tuple[str, str, str, tuple[str, ...]], Template] = {}
    for intent, block in _blocks(read_package(language)):
        for text in block["sentences"]:
            template = Template(
                intent=intent,
                text=text,
                response=_response(block["response"]),
                domain=_domain(intent, block),
                name_domains=_name_domains(block),
                split=chosen[template_key(text)],
            )
            found.setdefault((*template.group, template_key(text), template.name_domains), template)
    trained = {one.group for one in found.values() if one.split == "train"}
    return tuple(one for one in found.values() if one.group in trained)


def template_key(text: str) -> str:
    """Reduce a template to what decides its split.

    >>> template_key(" Turn  on {name} ")
    'turn on {name}'
    """
    return " ".join(text.casefold().split())


@lru_cache(maxsize=1)
def slot_names() -> frozenset[str]:
    """List the slots of the English templates and rules; no other language's are labels."""
    package = read_package("en")
    texts = [text for _, block in _blocks(package) for text in block["sentences"]]
    texts += package["expansion_rules"].values()
    found = (name for text in texts for name in re.findall(r"\{([^}]*)\}", text))
    return frozenset(name.rpartition(":")[2] for name in found)


@lru_cache(maxsize=4)
def read_package(language: str) -> dict[str, Any]:
    """Read the package's file of a language."""
    return _read(_language_file(language))


def _language_file(language: str) -> Path:
    return package_folder() / "data" / f"{language}.json"


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def _blocks(package: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for intent, body in package["intents"].items():
        for block in body["data"]:
            yield intent, block


def _held_out_of_small_groups(groups: Mapping[tuple[str, str], set[str]]) -> set[tuple[str, str]]:
    """Choose the largest group of each intent that has templates enough, but no group has."""
    by_intent: dict[str, list[tuple[str, str]]] = {}
    for group in sorted(groups):
        by_intent.setdefault(group[0], []).append(group)
    largest = set()
    for of_intent in by_intent.values():
        sizes = {group: len(groups[group]) for group in of_intent}
        if 1 < max(sizes.values()) < SMALLEST_GROUP <= sum(sizes.values()):
            largest.add(max(of_intent, key=lambda group: sizes[group]))
    return largest


def _divide(
    group: tuple[str, str],
    keys: set[str],
    chosen: dict[str, Split],
    *,
    test_at_least: int = 0,
) -> None:
    """Give the keys of a group their splits; what is chosen already counts and stays."""
    have = [chosen[key] for key in keys if key in chosen]
    test, validation = test_at_least, 0
    if len(keys) >= SMALLEST_GROUP:
        test = max(1, round(len(keys) * TEST_SHARE))
    test -= have.count("test")
    if len(keys) > SMALLEST_GROUP:
        validation = max(1, round(len(keys) * VALIDATION_SHARE)) - have.count("validation")
    free = sorted((key for key in keys if key not in chosen), key=lambda key: _rank(group, key))
    for key in free:
        if test > 0:
            chosen[key], test = "test", test - 1
        elif validation > 0:
            chosen[key], validation = "validation", validation - 1
        else:
            chosen[key] = "train"


def _rank(group: tuple[str, str], key: str) -> bytes:
    return sha256("\n".join((*group, key)).encode()).digest()


@lru_cache(maxsize=1)
def _english_responses() -> frozenset[str]:
    return frozenset(block["response"] for _, block in _blocks(read_package("en")))


@lru_cache(maxsize=1)
def _intent_domains() -> Mapping[str, str]:
    info = _read(package_folder() / "intents.json")
    return {intent: about["domain"] for intent, about in info.items()}


def _response(key: str) -> str:
    """Fold what one language alone tells apart: `brightness_area` is `brightness`."""
    english = _english_responses()
    if key in english:
        return key
    if key in _SAME_RESPONSE:
        return _SAME_RESPONSE[key]
    longer = [known for known in english if key.startswith(f"{known}_")]
    return max(longer, key=len, default="default")


def _domain(intent: str, block: dict[str, Any]) -> str:
    given = (block.get("slots") or {}).get("domain")
    if isinstance(given, str):
        return given
    if len(_name_domains(block)) == 1:
        return _name_domains(block)[0]
    if intent.endswith(("Timer", "Timers", "TimerStatus")):
        return "timer"
    return _DOMAINS.get(intent) or _intent_domains()[intent]


def _name_domains(block: dict[str, Any]) -> tuple[str, ...]:
    domains = (block.get("requires_context") or {}).get("domain") or ()
    return (domains,) if isinstance(domains, str) else tuple(domains)
