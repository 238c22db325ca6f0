"""Stages put together as people think of them: task adapters, evaluations, a comparison.

task/intent, task/domain                         "Task adapters"
trial/main/thin/cola/..., repeat/main/...        "Comparison main"
"""

from collections.abc import Iterable

_TITLES = {
    "language-head": "Shared masked-LM head",
    "language": "Language adapters",
    "task": "Task adapters",
    "composition": "Compositions",
    "evaluation": "Evaluations",
    "language-loss": "Masked-LM losses",
    "bundle": "Bundles",
}
# How far a stage is, in words; what is not here is its own word.
STATES = {"run": "to run"}
_COMPARED = ("trial", "choice", "repeat")


def kind_of(stage: str) -> str:
    """Give the kind that a stage's name begins with."""
    return stage.partition("/")[0]


def group_title(stage: str) -> str:
    """Name the group of a stage.

    >>> group_title("task/intent"), group_title("trial/main/thin/cola/learning_rate=0.1")
    ('Task adapters', 'Comparison main')
    """
    kind, *names = stage.split("/")
    if kind in _COMPARED or len(names) > 3:
        return f"Comparison {names[0]}"
    return _TITLES.get(kind, kind)


def grouped(stages: Iterable[str]) -> dict[str, list[str]]:
    """Put the names of stages together by their group, both in the order they come in."""
    groups: dict[str, list[str]] = {}
    for name in stages:
        groups.setdefault(group_title(name), []).append(name)
    return groups


def short_name(stage: str) -> str:
    """Leave the kind out of a stage's name.

    >>> short_name("task/intent"), short_name("language-loss/en/de")
    ('intent', 'en/de')
    """
    return stage.partition("/")[2]
