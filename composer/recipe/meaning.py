"""What names in a recipe mean: whose head a composition uses, which shape an adapter has.

    $language > intent        the head of `intent`: the last of the stack
    average(a, b), task: a    the head of `a`: said by `task`
    fuse(a, b), train: ...    a head of its own, for the labels of `train.task`

Shared by the checks, which ask before a recipe is known to be sound, and by `expand`.
"""

from composer.recipe.composition import (
    LANGUAGE,
    Composition,
    Stack,
    parse_composition,
)
from composer.recipe.schema import AdapterShape, ComposedOf, Recipe, Score, Task, TaskType

SCORES: dict[TaskType, tuple[Score, ...]] = {
    "text-classification": ("accuracy", "macro-f1", "matthews"),
    "regression": ("pearson", "spearman"),
    "token-classification": ("span-f1",),
    "multi-label-classification": ("macro-f1", "accuracy"),
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
    return Stack((LANGUAGE, name)) if task.over else name


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
        return recipe.adapters.get(recipe.tasks[adapter].adapter)
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
