"""What names in a recipe mean: whose head a composition uses, which shape an adapter has.

    $language > intent        the head of `intent`: the last of the stack
    average(a, b), task: a    the head of `a`: said by `task`
    fuse(a, b), train: ...    a head of its own, for the labels of `train.task`

Shared by the checks, which ask before a recipe is known to be sound, and by `expand`.
"""

from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.composition import (
    LANGUAGE,
    Composition,
    Stack,
    holds_language,
    parse_composition,
)
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.tasks import ComposedOf, Score, Task, TaskType

SCORES: dict[TaskType, tuple[Score, ...]] = {
    "text-classification": ("accuracy", "macro-f1", "matthews"),
    "regression": ("pearson", "spearman"),
    "token-classification": ("span-f1",),
    "multi-label-classification": ("micro-f1", "macro-f1", "exact-match"),
}
"""The scores that fit each type of task; the first is the default."""


def composed(value: str | ComposedOf) -> ComposedOf:
    """Give the long form of a composition's value."""
    return ComposedOf(expression=value) if isinstance(value, str) else value


def composition_of_task(name: str, task: Task) -> Composition:
    """Give the composition that a task's name stands for.

    >>> str(composition_of_task("intent", Task(type="regression", data="d", languages=("en",),
    ...     adapter="a", over="$language")))
    '$language > intent'
    """
    return Stack((LANGUAGE, name)) if languages_under(task) else name


def without_language(composition: Composition) -> Composition | None:
    """Take the language's adapter from under a stack; None: it stands nowhere, or elsewhere.

    >>> str(without_language(parse_composition("$language > fuse(intent, domain)")))
    'fuse(intent, domain)'
    """
    if not isinstance(composition, Stack) or composition.parts[0] != LANGUAGE:
        return None
    rest = composition.parts[1:]
    if any(holds_language(part) for part in rest):
        return None
    return rest[0] if len(rest) == 1 else Stack(rest)


def languages_under(task: Task) -> tuple[str, ...]:
    """List the languages whose adapters a task's is trained on; none: on the bare backbone."""
    return task.languages if task.over else task.cycle


def composition_of(recipe: Recipe, name: str) -> Composition:
    """Give the composition that a name in an evaluation or a bundle stands for."""
    if name in recipe.tasks:
        return composition_of_task(name, recipe.tasks[name])
    return parse_composition(composed(recipe.compositions[name]).expression)


def head_task(value: ComposedOf, composition: Composition, tasks: frozenset[str]) -> str | None:
    """Name the task whose labels a composition predicts; None if nothing says it."""
    if value.train is not None:
        return value.train.task
    if value.task is not None:
        return value.task
    last = composition.parts[-1] if isinstance(composition, Stack) else composition
    return last if isinstance(last, str) and last in tasks else None


def shape_of(recipe: Recipe, adapter: str) -> AdapterShape | None:
    """Give the shape of a task's or a language's adapter; None if there is none."""
    if adapter in recipe.tasks:
        return recipe.adapters.get(recipe.tasks[adapter].adapter or "")
    if recipe.languages is None or adapter not in recipe.languages.members:
        return None
    name = recipe.languages.adapter
    if isinstance(recipe.languages.members, dict):
        name = recipe.languages.members[adapter].adapter or name
    return recipe.adapters.get(name)


def class_count(type: TaskType, labels: tuple[str, ...]) -> int:
    """Count the outputs a task needs.

    >>> class_count("token-classification", ("area", "name"))
    5
    """
    if type == "regression":
        return 1
    return 2 * len(labels) + 1 if type == "token-classification" else len(labels)
