"""What the parts of a recipe say about each other: the checks that a schema cannot make.

    compositions.mix: a fuse or gate has weights to learn; add `train: {task: ...}`
    evaluations.far.languages[2]: mad-x needs an adapter of 'fi', and none is trained

`examine` makes all of them, on what is sound of a recipe, so that all faults are told at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from composer.recipe.composition import (
    LANGUAGE,
    Composition,
    Mixture,
    adapter_names,
    bind,
    holds_fusion,
    holds_language,
    repeated_member,
    walk,
)
from composer.recipe.findings import MAX_FAULTS, Finding, Path, nearest
from composer.recipe.invertible import misplaced
from composer.recipe.meaning import SCORES, composed, composition_of_task, head_task, shape_of
from composer.recipe.notyet import not_yet
from composer.recipe.references import Names, check_names, names_of, read_expressions
from composer.recipe.schema import (
    Bundle,
    ComposedOf,
    CompositionTraining,
    Evaluation,
    OtherAdapter,
    Recipe,
    Task,
)
from composer.recipe.validation import salvaged, validate
from composer.recipe.wording import either


@dataclass(frozen=True)
class Examined:
    """A recipe, if nothing is wrong with it, or all that is wrong."""

    recipe: Recipe | None
    findings: list[Finding]


def examine(values: Mapping[str, object]) -> Examined:
    """Read plain values as a recipe and make every check; lists must be tuples."""
    recipe, findings = validate(values)
    names = names_of(values)
    expressions = read_expressions(values, names)
    sound = _Sound(recipe or salvaged(values), names, expressions.sound)
    more = chain(
        check_names(values, names), expressions.findings, _meanings(sound), not_yet(sound.recipe)
    )
    findings += islice(more, MAX_FAULTS + 1)  # near names are sought for what is told only
    return Examined(None if findings else recipe, findings)


@dataclass(frozen=True)
class _Sound:
    """What is sound of a recipe.

    Attributes:
        recipe: Without the entries that the schema refuses.
        names: All that are declared, also by entries that are refused.
        expressions: The compositions that can be read and whose names are known.
    """

    recipe: Recipe
    names: Names
    expressions: Mapping[str, Composition]

    def composition(self, name: str) -> Composition | None:
        """Give what a composition's or a task's name stands for, if that is sound."""
        if name in self.recipe.tasks:
            return composition_of_task(name, self.recipe.tasks[name])
        return self.expressions.get(name)


def _meanings(sound: _Sound) -> Iterator[Finding]:
    for name, task in sound.recipe.tasks.items():
        yield from _task(sound, ("tasks", name), task)
    for name, value in sound.recipe.compositions.items():
        if name in sound.expressions:
            yield from _composition(sound, name, value)
    for name, evaluation in sound.recipe.evaluations.items():
        yield from _use(sound, ("evaluations", name), evaluation)
    for name, bundle in sound.recipe.bundles.items():
        yield from _use(sound, ("bundles", name), bundle)
        yield from _graph_only(("bundles", name), bundle)


def _task(sound: _Sound, path: Path, task: Task) -> Iterator[Finding]:
    if task.over and not sound.names.languages:
        message = f"{LANGUAGE} is bound to nothing: the recipe has no `languages`"
        yield Finding((*path, "over"), message)
    elif task.over:
        yield from _untrained(sound, (*path, "languages"), task.languages, "this task")
    if task.over:
        yield from _invertible(sound, (*path, "adapter"), composition_of_task(str(path[-1]), task))
    yield from _untrained(sound, (*path, "cycle"), task.cycle, "this task")
    fitting = SCORES[task.type]
    if task.score is not None and task.score not in fitting:
        message = f"{task.score!r} does not score {task.type}; use {either(fitting)}"
        yield Finding((*path, "score"), message)
    if task.labels is not None and task.type == "regression":
        yield Finding((*path, "labels"), "a regression predicts numbers and has no labels")
    elif task.labels and task.type == "text-classification" and len(task.labels) < 2:
        message = f"a classifier needs two labels, and {task.labels[0]!r} is all there is"
        yield Finding((*path, "labels"), message)


def _untrained(sound: _Sound, path: Path, languages: Sequence[str], who: str) -> Iterator[Finding]:
    """Find languages in a list that have no adapter to bind `$language` to."""
    for place, language in enumerate(languages):
        if language not in sound.names.languages:
            at = (*path, place) if path[-1] in ("languages", "cycle") else path
            yield Finding(at, _needs_adapter(who, language, sound.names.languages))


def _needs_adapter(who: str, language: str, members: Sequence[str]) -> str:
    hint = nearest(language, members)
    return f"{who} needs a language adapter of {language!r}, and `languages` has none; {hint}"


def _composition(sound: _Sound, name: str, value: str | ComposedOf) -> Iterator[Finding]:
    path: Path = ("compositions", name)
    at = path if isinstance(value, str) else (*path, "expression")
    composition, long_form = sound.expressions[name], composed(value)
    for part in walk(composition):
        if isinstance(part, Mixture):
            yield from _placements(sound, at, part)
    yield from _invertible(sound, at, composition)
    if long_form.train is not None:
        yield from _training(sound, path, composition, long_form.train)
        if long_form.task not in (None, long_form.train.task):
            message = "`train` learns a head for its own task; leave this key out"
            yield Finding((*path, "task"), message)
    elif holds_fusion(composition):
        message = "a fuse or gate has weights to learn; add `train: {task: ...}`"
        yield Finding(at, message)
    elif head_task(long_form, composition, frozenset(sound.names.tasks)) is None:
        message = "no task is last here, so nothing says whose head is used; add `task: ...`"
        yield Finding(at, message)


def _placements(sound: _Sound, path: Path, mixture: Mixture) -> Iterator[Finding]:
    """Find adapters of different placements in one mixture, which reads one input."""
    found: dict[str, str] = {}
    for name in adapter_names(mixture):
        for adapter in sound.names.languages if name == LANGUAGE else (name,):
            shape = shape_of(sound.recipe, adapter)
            if shape is not None and not isinstance(shape, OtherAdapter):
                found.setdefault(shape.placement, adapter)
    if len(found) > 1:
        which = " and ".join(f"{adapter} ({where})" for where, adapter in found.items())
        message = f"{mixture} mixes placements, {which}; adapters that are mixed share one"
        yield Finding(path, message)


def _invertible(sound: _Sound, path: Path, composition: Composition) -> Iterator[Finding]:
    """Find an invertible adapter that is not nearest the backbone."""
    found = set()
    for name in adapter_names(composition):
        for adapter in sound.names.languages if name == LANGUAGE else (name,):
            shape = shape_of(sound.recipe, adapter)
            if shape is not None and not isinstance(shape, OtherAdapter) and shape.invertible:
                found.add(name)
    message = misplaced(composition, found)
    if message is not None:
        yield Finding(path, message)


def _training(
    sound: _Sound, path: Path, composition: Composition, train: CompositionTraining
) -> Iterator[Finding]:
    task = sound.recipe.tasks.get(train.task)
    languages = train.languages or (task.languages if task else ())
    at = (*path, "train", "languages" if train.languages else "task")
    if holds_language(composition):
        yield from _untrained(sound, at, languages, str(path[-1]))
        yield from _collisions(at, composition, languages)


def _collisions(
    path: Path, composition: Composition, languages: Sequence[str]
) -> Iterator[Finding]:
    """Find languages that make two members of a mixture the same."""
    for language in languages:
        twice = repeated_member(bind(composition, language))
        if twice is not None:
            message = f"bound to {language!r}, {composition} has the member {twice} twice"
            yield Finding(path, message)


def _graph_only(path: Path, bundle: Bundle) -> Iterator[Finding]:
    """Find what says how a backbone is put in, where none is."""
    for key, value in (("vocabulary", bundle.vocabulary), ("static", bundle.static)):
        if value is not None and bundle.precision is None:
            message = "there is no backbone in this bundle; add `precision`, or leave this key out"
            yield Finding((*path, key), message, on_key=True)


def _use(sound: _Sound, path: Path, block: Evaluation | Bundle) -> Iterator[Finding]:
    """Check that what an evaluation or a bundle names can be bound to its languages."""
    told: set[str] = set()
    for place, name in enumerate(block.compositions):
        composition = sound.composition(name)
        if composition is None or not holds_language(composition) or not sound.names.languages:
            continue
        if not block.languages:
            remedy = "add what it is bound to, `languages: [...]` or --language"
            message = f"{name} holds {LANGUAGE}; {remedy}"
            yield Finding((*path, "compositions", place), message)
        for at, language in enumerate(block.languages):
            if language not in sound.names.languages and language not in told:
                told.add(language)
                message = _needs_adapter(name, language, sound.names.languages)
                yield Finding((*path, "languages", at), message)
        yield from _collisions((*path, "compositions", place), composition, block.languages)
