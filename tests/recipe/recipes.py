"""Recipes for the tests of this folder: a sound one as text, and what is wrong with others."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from composer.errors import Fault, RecipeError
from composer.recipe.grammar.schema import Recipe
from composer.recipe.reading.reader import LoadedRecipe, read_recipe

SOUND = """\
composer: 1
name: home
backbone: {source: sample, name: multilingual-e5-small}
adapters:
  task: {kind: madapter, width: 32, train_norm: true}
  thin: {kind: bottleneck, reduction_factor: 16}
  low: {kind: bottleneck, placement: pfeiffer}
data:
  text: {source: sample, name: assistant/text}
  intent: {source: sample, name: assistant/intent}
  domain: {source: sample, name: assistant/domain}
training: {epochs: 8, learning_rate: 1e-3, seed: 13}
languages: {members: [en, de, ru], data: text, adapter: thin}
tasks:
  intent:
    {type: text-classification, data: intent, languages: [en, de], adapter: task, over: $language}
  domain: {type: text-classification, data: domain, languages: [en], adapter: thin}
compositions:
  mad-x: $language > intent
  few-shot:
    expression: $language > fuse(intent, domain)
    train: {task: intent, languages: [en], examples: 200}
  mean: {expression: "average(intent, domain)", task: domain}
evaluations:
  far: {compositions: [mad-x, few-shot, domain], languages: [en, ru]}
bundles:
  box: {compositions: [mad-x, domain], languages: [de, ru]}
profiles:
  smoke: {training: {epochs: 1}}
"""


def load(
    folder: Path, text: str = SOUND, *, profile: str | None = None, changes: Sequence[str] = ()
) -> LoadedRecipe:
    """Write a recipe to `home.yaml` and read it."""
    path = folder / "home.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path, profile=profile, changes=changes)


def recipe_of(folder: Path, changes: Mapping[str, str] | None = None) -> Recipe:
    """Read the sound recipe with some of its text replaced."""
    text = SOUND
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    return load(folder, text).recipe


def faults_of(
    folder: Path, text: str, *, profile: str | None = None, changes: Sequence[str] = ()
) -> list[Fault]:
    """List what is wrong with a recipe; places are without the folder."""
    try:
        load(folder, text, profile=profile, changes=changes)
    except RecipeError as error:
        return [Fault(one.place.replace(f"{folder}/", ""), one.message) for one in error.faults]
    return []


def faults_with(folder: Path, old: str, new: str) -> list[str]:
    """List what is wrong with the sound recipe once `old` is replaced by `new`.

    Each fault begins with its line and the word at its column, which is easier to see than a
    number: `13:txt: languages.data: no data source is named 'txt'`.
    """
    assert old in SOUND
    text = SOUND.replace(old, new)
    return [pointed(text, fault) for fault in faults_of(folder, text)]


def pointed(text: str, fault: Fault) -> str:
    """Write a fault with the word at its column instead of the column's number."""
    _, line, column = fault.place.split(":")
    rest = text.splitlines()[int(line) - 1][int(column) - 1 :]
    word = re.match(r"[^ ,:}\])]+|.", rest)
    return f"{line}:{word[0] if word else ''}: {fault.message}"


def large_recipe(*, languages: int, tasks: int) -> str:
    """Write a recipe of many languages and tasks, with a fusion and its scores for each task."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tags = [f"{a}{b}" for a in letters for b in letters][:languages]
    every, first = ", ".join(tags), ", ".join(tags[:3])
    numbers = range(tasks)
    lines = [
        "composer: 1",
        "name: large",
        "backbone: {source: sample, name: multilingual-e5-small}",
        "adapters: {task: {kind: madapter, width: 32}, thin: {kind: bottleneck, width: 16}}",
        "data:",
        "  text: {source: sample, name: assistant/text}",
        *(f"  data{i}: {{source: sample, name: assistant/{i}}}" for i in numbers),
        "languages:",
        "  data: text",
        "  adapter: thin",
        "  members:",
        *(f"    {tag}: {{training: {{seed: {i}}}}}" for i, tag in enumerate(tags)),
        "tasks:",
        *(
            f"  task{i}: {{type: text-classification, data: data{i}, languages: [{first}], "
            "adapter: task, over: $language}"
            for i in numbers
        ),
        "compositions:",
        *(
            f"  fused{i}:\n"
            f"    expression: $language > fuse({', '.join(f'task{j}' for j in numbers)})\n"
            f"    train: {{task: task{i}}}"
            for i in numbers
        ),
        "evaluations:",
        *(
            f"  far{i}: {{compositions: [task{i}, fused{i}], languages: [{every}]}}"
            for i in numbers
        ),
        f"bundles: {{box: {{compositions: [fused0, task1], languages: [{every}]}}}}",
    ]
    return "\n".join(lines) + "\n"
