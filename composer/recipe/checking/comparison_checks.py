"""What is wrong with comparisons, with batches, and with tasks that have no adapter.

compare.main.training.seed: the seeds of a comparison are its `seeds`; leave this key out
training.batch_examples: a batch is so many examples or so many tokens; give one of them
evaluations.far.compositions[0]: cola has no adapter; give it one, `tasks.cola.adapter`
"""

from collections.abc import Iterator, Mapping

from composer.recipe.checking.references import matching
from composer.recipe.document.findings import Finding, Path
from composer.recipe.grammar.composition import Composition, adapter_names
from composer.recipe.grammar.meaning import composed
from composer.recipe.grammar.schema import Methods, Recipe

_TRAININGS = (
    "training",
    "languages.training",
    "languages.members.*.training",
    "tasks.*.training",
    "compositions.*.train.training",
    "compare.*.training",
    "compare.*.grid",
)


def two_sizes_of_batches(values: Mapping[str, object]) -> Iterator[Finding]:
    """Find blocks that say twice, in different units, how large a batch is."""
    for pattern in _TRAININGS:
        for path, block in matching(values, pattern):
            if isinstance(block, Mapping) and None not in (
                block.get("batch_tokens"),
                block.get("batch_examples"),
            ):
                message = "a batch is so many examples or so many tokens; give one of them"
                yield Finding((*path, "batch_examples"), message, on_key=True)


def settings_of(name: str, methods: Methods) -> Iterator[Finding]:
    """Find what a comparison's `training` says and another key of it decides."""
    path: Path = ("compare", name, "training")
    if methods.training.seed is not None:
        message = "the seeds of a comparison are its `seeds`; leave this key out"
        yield Finding((*path, "seed"), message, on_key=True)
    tried = methods.grid.model_dump(exclude_none=True)
    for key in methods.training.model_dump(exclude_none=True).keys() & tried.keys():
        yield Finding((*path, key), "the grid gives this; leave one of them out", on_key=True)


def tasks_without_adapter(
    recipe: Recipe, expressions: Mapping[str, Composition]
) -> Iterator[Finding]:
    """Find where something is asked of a task's adapter, or of the head trained with it."""
    bare = {name for name, task in recipe.tasks.items() if task.adapter is None}
    for name, value in recipe.compositions.items():
        long_form = composed(value)
        path: Path = ("compositions", name)
        at = path if isinstance(value, str) else (*path, "expression")
        if name in expressions:
            for member in adapter_names(expressions[name]):
                yield from _bare(member, bare, at)
        if long_form.task is not None and long_form.train is None:
            yield from _bare(long_form.task, bare, (*path, "task"))
    for block, uses in (("evaluations", recipe.evaluations), ("bundles", recipe.bundles)):
        for name, use in uses.items():
            for place, task in enumerate(use.compositions):
                yield from _bare(task, bare, (block, name, "compositions", place))


def _bare(name: str, bare: set[str], path: Path) -> Iterator[Finding]:
    if name in bare:
        message = (
            f"{name} has no adapter, so nothing is trained for it; give `tasks.{name}.adapter`"
        )
        yield Finding(path, message)
