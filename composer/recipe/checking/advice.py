"""What a sound recipe does that is more likely not meant; said, and not refused.

    compositions.few-shot.expression: intent's own adapter is not in the fusion; ...

The command line prints these on stderr.
"""

from collections.abc import Iterator

from composer.errors import Fault
from composer.recipe.document.findings import Finding, Path, Place, dotted, fault_at
from composer.recipe.grammar.composition import (
    LANGUAGE,
    Composition,
    Stack,
    adapter_names,
    holds_fusion,
    parse_composition,
    walk,
)
from composer.recipe.grammar.data import FileData, SplitPaths
from composer.recipe.grammar.meaning import composed, composition_of, head_task, languages_under
from composer.recipe.grammar.schema import Recipe


def warnings(recipe: Recipe, place: Place = dotted) -> list[Fault]:
    """List what is probably not meant.

    Args:
        recipe: One without faults.
        place: Says where a path of keys stands; left out, the path itself is the place.
    """
    found = [*_compositions(recipe), *_shared_files(recipe)]
    return [fault_at(one.path, one.message, place(one.path)) for one in found]


def _compositions(recipe: Recipe) -> Iterator[Finding]:
    for name, value in recipe.compositions.items():
        path: Path = ("compositions", name)
        at = path if isinstance(value, str) else (*path, "expression")
        long_form = composed(value)
        composition = parse_composition(long_form.expression)
        task = long_form.train.task if long_form.train else None
        if task and holds_fusion(composition) and task not in adapter_names(composition):
            yield Finding(
                at,
                f"{task}'s own adapter is not in the fusion; without it the fusion can only mix "
                f"what other tasks kept, and a bare head is often better; add {task}",
            )
        for adapter in _without_language(recipe, composition):
            yield Finding(
                at,
                f"{adapter} was trained over language adapters, and none is under it here; "
                f"write {LANGUAGE} > {adapter}",
            )


def _without_language(recipe: Recipe, composition: Composition) -> list[str]:
    """List the tasks that are trained over languages and stand on the bare backbone."""
    languages = {LANGUAGE, *(recipe.languages.members if recipe.languages else ())}
    bare = _bare(composition, languages)
    return [one for one in bare if one in recipe.tasks and languages_under(recipe.tasks[one])]


def _bare(composition: Composition, languages: set[str]) -> list[str]:
    """List the adapters that have no language beneath them."""
    if isinstance(composition, str):
        return [composition]
    names: list[str] = []
    for part in composition.parts:
        names.extend(_bare(part, languages))
        if isinstance(composition, Stack) and languages & {str(one) for one in walk(part)}:
            break
    return list(dict.fromkeys(names))


def _shared_files(recipe: Recipe) -> Iterator[Finding]:
    """Find a file that is read for several languages, as if it held each of them."""
    read: dict[str, dict[str, None]] = {}
    for task in recipe.tasks.values():
        read.setdefault(task.data, {}).update(dict.fromkeys(task.languages))
    for evaluation in recipe.evaluations.values():
        for name in evaluation.compositions:
            data = evaluation.data or recipe.tasks[_head(recipe, name)].data
            read.setdefault(data, {}).update(dict.fromkeys(evaluation.languages))
    for methods in recipe.compare.values():
        for task_name in methods.tasks:
            languages = dict.fromkeys(methods.languages or ())
            read.setdefault(recipe.tasks[task_name].data, {}).update(languages)
    for name, languages in read.items():
        source = recipe.data[name]
        if len(languages) > 1 and isinstance(source, FileData) and not _holds_tag(source.path):
            yield Finding(
                ("data", name, "path"),
                f"the same file is read for {', '.join(languages)}; if it is not all of them, "
                f"put {LANGUAGE} into the path",
            )


def _head(recipe: Recipe, name: str) -> str:
    if name in recipe.tasks:
        return name
    value = composed(recipe.compositions[name])
    return head_task(value, composition_of(recipe, name), frozenset(recipe.tasks)) or name


def _holds_tag(path: str | SplitPaths) -> bool:
    paths = [path] if isinstance(path, str) else [path.train, path.validation, path.test]
    return all(one is None or LANGUAGE in one for one in paths)
