"""A voice assistant in 65 languages: what there is, and the door to its examples.

    assistant/intent    text-classification    what is wanted, "HassTurnOn"
    assistant/domain    text-classification    what kind of device it is about, "light"
    assistant/response  text-classification    what is asked or answered, "how_many"
    assistant/slots     token-classification   what is named: "area", "minutes", "item"
    assistant/entities  multi-label-cl...      the same as a set, for the whole sentence
    assistant/text      plain text             for language adapters

    assistant/acceptability  text-classification    whether a word was moved
    assistant/paraphrase     text-classification    a pair: the same intent and slots, or not
    assistant/similarity     regression             a pair: how much the same, 0 to 5
    assistant/entailment     text-classification    a pair: does it ask for what is described

The sentences are sampled from the templates that native speakers wrote for Home Assistant
(`home-assistant-intents`, Apache-2.0). The first five tasks label the same sentences in the same
order; `assistant/text` holds these and more, and the last four tasks change or pair them. A
template, a name and a sentence are each in one split, the same in all.

This module reads in milliseconds: `hassil` and the templates are loaded once examples are asked
for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from composer.data.samples.names import names_digest
from composer.errors import DataError, Fault, MissingExtraError, did_you_mean

if TYPE_CHECKING:
    from composer.data.examples import Example
    from composer.data.samples.corpus import SplitCounts
    from composer.recipe.grammar.data import Split
    from composer.recipe.grammar.tasks import TaskType

SAMPLE_VERSION = 1  # raise it whenever the same packages give other examples
PACKAGES = ("home-assistant-intents", "hassil")

SampleTask = Literal[
    "intent",
    "domain",
    "response",
    "slots",
    "entities",
    "acceptability",
    "paraphrase",
    "similarity",
    "entailment",
    "text",
]


@dataclass(frozen=True, kw_only=True)
class SampleDataInfo:
    """One sample data set.

    Attributes:
        name: As a recipe says it.
        task: The part of the name after the slash.
        type: Of the task; None for plain text.
        description: One line.
        licence: Of the templates, as an SPDX expression.
    """

    name: str
    task: SampleTask
    type: "TaskType | None"
    description: str
    licence: str = "Apache-2.0"


def _info(
    task: SampleTask, kind: "TaskType | None", description: str
) -> tuple[str, SampleDataInfo]:
    name = f"assistant/{task}"
    return name, SampleDataInfo(name=name, task=task, type=kind, description=description)


SAMPLE_DATA: Mapping[str, SampleDataInfo] = dict(
    [
        _info("intent", "text-classification", "what is wanted: HassTurnOn, HassStartTimer ..."),
        _info("domain", "text-classification", "what it is about: light, timer, weather ..."),
        _info("response", "text-classification", "what is asked: any, how_many, where ..."),
        _info("slots", "token-classification", "what is named: area, minutes, item ..."),
        _info("entities", "multi-label-classification", "what is named, as a set: area, minutes"),
        _info("acceptability", "text-classification", "whether the words are in order: yes, no"),
        _info("paraphrase", "text-classification", "whether two sentences want the same: yes, no"),
        _info("similarity", "regression", "how much two sentences want the same: 0 to 5"),
        _info("entailment", "text-classification", "whether it asks for what is said: yes, no"),
        _info("text", None, "plain sentences, for language adapters"),
    ]
)

OWN_NAMES = ("de", "en", "es", "fi", "fr", "pl", "ru", "zh-CN")

_COPIED_FROM = {"de-CH": "de", "zh-HK": "zh-CN", "zh-TW": "zh-CN"}

# The files of home-assistant-intents 2026.10.27, listed so that a recipe is checked without it.
LANGUAGES = tuple(
    "af ar bg bn ca cs cy da de de-CH el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja "
    "ka kn ko kw lb lt lv ml mn ms nb ne nl pa pl pt pt-BR ro ru sk sl sr sr-Latn sv sw ta te th "
    "tr uk ur vi zh-CN zh-HK zh-TW".split()
)


def languages() -> tuple[str, ...]:
    """List the language tags, as the package spells them."""
    return LANGUAGES


def names_from(language: str) -> str:
    """Say whose names of rooms and devices fill a language's templates.

    Eight languages have names of their own. The others' are copied, most from English, and
    their sentences mix two languages where a name occurs.

    >>> names_from("fi"), names_from("de-CH"), names_from("it")
    ('fi', 'de', 'en')
    """
    return language if language in OWN_NAMES else _COPIED_FROM.get(language, "en")


def sample_data(name: str) -> SampleDataInfo:
    """Look up a sample data set.

    Raises:
        DataError: The name is unknown; the nearest is named.

    >>> sample_data("assistant/slots").type
    'token-classification'
    """
    if name not in SAMPLE_DATA:
        raise _fault(name, f"unknown sample data; {did_you_mean(name, SAMPLE_DATA)}")
    return SAMPLE_DATA[name]


def check_language(name: str, language: str) -> None:
    """Refuse a language that the package has no templates for."""
    if language not in LANGUAGES:
        alike = [tag for tag in LANGUAGES if tag.casefold() == language.casefold()]
        hint = did_you_mean(language, LANGUAGES) if not alike else f"did you mean {alike[0]!r}?"
        raise _fault(name, f"there are no templates for the language {language!r}; {hint}")


def sample_examples(task: str, *, language: str, split: "Split") -> "list[Example]":
    """Sample the examples of a task ("intent", "slots", ...) in one language.

    Raises:
        DataError: The task or the language is unknown.
        MissingExtraError: The packages are not installed.
    """
    name = f"assistant/{task}"
    info = sample_data(name)
    check_language(name, language)
    package_folder()
    from composer.data.samples.labelled import examples

    return examples(info.task, language, split)


def counts(language: str) -> "Mapping[Split, SplitCounts]":
    """Count templates and sentences of each split, and what was left out."""
    check_language("assistant", language)
    package_folder()
    from composer.data.samples.corpus import build

    return build(language).counts


@cache
def sample_digest(name: str) -> str:
    """Hash what the examples of a sample data set follow from.

    Raises:
        DataError: The name is unknown.
        MissingExtraError: The packages are not installed.
    """
    sample_data(name)
    package_folder()
    parts = [name, str(SAMPLE_VERSION), names_digest(OWN_NAMES)]
    parts += [f"{package} {version(package)}" for package in PACKAGES]
    return sha256("\n".join(parts).encode()).hexdigest()


@lru_cache(maxsize=1)
def package_folder() -> Path:
    """Find the folder of `home_assistant_intents` without importing it.

    Raises:
        MissingExtraError: It is not installed, or `hassil` is not.
    """
    spec = find_spec("home_assistant_intents")
    for package in PACKAGES:
        try:
            version(package)
        except PackageNotFoundError as fault:
            raise _missing(package) from fault
    if spec is None or not spec.submodule_search_locations:
        raise _missing(PACKAGES[0])
    return Path(spec.submodule_search_locations[0])


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(library=package, needed_for="the sample data", extra="samples")


def _fault(place: str, message: str) -> DataError:
    return DataError([Fault(place, message)])
