"""What the parts of a recipe say about each other: the checks that a schema cannot make.

    compositions.mix: a fuse or gate has weights to learn; add `train: {task: ...}`
    evaluations.far.languages[2]: mad-x needs an adapter of 'fi', and none is trained

`examine` makes all of them, on what is sound of a recipe, so that all faults are told at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from composer.recipe.checking.combining import bundled_kinds, ill_combined, language_kinds
from composer.recipe.checking.comparison_checks import (
    settings_of,
    tasks_without_adapter,
    two_sizes_of_batches,
)
from composer.recipe.checking.references import Names, check_names, names_of, read_expressions
from composer.recipe.checking.validation import salvaged, validate
from composer.recipe.checking.wording import either
from composer.recipe.document.findings import MAX_FAULTS, Finding, Path, nearest
from composer.recipe.expansion.languages import check_languages
from composer.recipe.expansion.proxies import proxy_composition, proxy_findings
from composer.recipe.grammar.adapters import AdapterShape, BottleneckShape
from composer.recipe.grammar.bundles import Bundle
from composer.recipe.grammar.composition import (
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
from composer.recipe.grammar.invertible import is_invertible, misplaced
from composer.recipe.grammar.meaning import (
    SCORES,
    composed,
    composition_of_task,
    head_task,
    languages_under,
    shape_of,
    without_language,
)
from composer.recipe.grammar.schema import Methods, Recipe
from composer.recipe.grammar.tasks import ComposedOf, CompositionTraining, Evaluation, Task


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
        check_names(values, names),
        expressions.findings,
        two_sizes_of_batches(values),
        _meanings(sound),
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
    yield from _proxies(sound)
    yield from check_languages(sound.recipe)
    yield from language_kinds(sound.recipe)
    for name, task in sound.recipe.tasks.items():
        yield from _task(sound, ("tasks", name), task)
    for name, value in sound.recipe.compositions.items():
        if name in sound.expressions:
            yield from _composition(sound, name, value)
    for name, evaluation in sound.recipe.evaluations.items():
        yield from _use(sound, ("evaluations", name), evaluation)
        yield from _baseline(sound, ("evaluations", name), evaluation)
    for name, bundle in sound.recipe.bundles.items():
        yield from _use(sound, ("bundles", name), bundle)
        yield from _graph_only(("bundles", name), bundle)
        found = map(sound.composition, bundle.compositions)
        yield from bundled_kinds(sound.recipe, ("bundles", name), bundle, tuple(found))
    for name, methods in sound.recipe.compare.items():
        yield from settings_of(name, methods)
        yield from dict.fromkeys(_compared(sound, name, methods))
    yield from tasks_without_adapter(sound.recipe, sound.expressions)


def _task(sound: _Sound, path: Path, task: Task) -> Iterator[Finding]:
    if task.over and not sound.names.languages:
        message = f"{LANGUAGE} is bound to nothing: the recipe has no `languages`"
        yield Finding((*path, "over"), message)
    elif task.over:
        yield from _untrained(sound, (*path, "languages"), task.languages, "this task")
    yield from _shape_for(sound, (*path, "adapter"), str(path[-1]), task)
    yield from _untrained(sound, (*path, "cycle"), task.cycle, "this task")
    if task.over and task.cycle:
        message = (
            f"`over: {LANGUAGE}` trains on each batch's own language adapter, `cycle` on others in "
            "turn; leave one of them out"
        )
        yield Finding((*path, "cycle"), message, on_key=True)
    source = sound.recipe.data.get(task.data)
    if source is not None and source.label is not None and task.type != "text-classification":
        message = f"{task.data!r} is one label, yes or no; use 'text-classification'"
        yield Finding((*path, "type"), message)
    fitting = SCORES[task.type]
    if task.score is not None and task.score not in fitting:
        message = f"{task.score!r} does not score {task.type}; use {either(fitting)}"
        yield Finding((*path, "score"), message)
    if task.labels is not None and task.type == "regression":
        yield Finding((*path, "labels"), "a regression predicts numbers and has no labels")
    elif task.labels and task.type == "text-classification" and len(task.labels) < 2:
        message = f"a classifier needs two labels, and {task.labels[0]!r} is all there is"
        yield Finding((*path, "labels"), message)


def _shape_for(sound: _Sound, path: Path, name: str, task: Task) -> Iterator[Finding]:
    """Check that a task's adapter can be trained where the task wants it."""
    if languages_under(task):
        yield from _standing(sound, path, composition_of_task(name, task))


def _compared(sound: _Sound, comparison: str, methods: Methods) -> Iterator[Finding]:
    """Check each task of a comparison as if it had each of the adapters."""
    path: Path = ("compare", comparison)
    tasks = {name: sound.recipe.tasks[name] for name in methods.tasks if name in sound.recipe.tasks}
    for name, task in tasks.items():
        if languages_under(task) and methods.languages:
            yield from _untrained(sound, (*path, "languages"), methods.languages, name)
        for place, adapter in enumerate(methods.adapters):
            given = task.model_copy(update={"adapter": adapter})
            others = {**sound.recipe.tasks, name: given}
            recipe = sound.recipe.model_copy(update={"tasks": others})
            at = (*path, "adapters", place)
            yield from _shape_for(replace(sound, recipe=recipe), at, name, given)


def _proxies(sound: _Sound) -> Iterator[Finding]:
    """Check what stands for languages without an adapter, as any other mixture."""
    languages = sound.recipe.languages
    if languages is None:
        return
    wrong = list(proxy_findings(languages))
    yield from wrong
    for language, proxy in languages.proxies.items():
        path: Path = ("languages", "proxies", language)
        if not any(finding.path[:3] == path for finding in wrong):
            composition = proxy_composition(language, proxy, sound.names.languages)
            if isinstance(composition, Mixture):
                yield from _placements(sound, path, composition)
                yield from _standing(sound, path, composition)


def _untrained(sound: _Sound, path: Path, languages: Sequence[str], who: str) -> Iterator[Finding]:
    """Find languages in a list that have no adapter to bind `$language` to."""
    for place, language in enumerate(languages):
        if language not in sound.names.languages:
            at = (*path, place) if path[-1] in ("languages", "cycle") else path
            yield Finding(at, _needs_adapter(who, language, sound.names))


def _needs_adapter(who: str, language: str, names: Names) -> str:
    hint = nearest(language, names.languages)
    if language in names.proxies:
        hint = "its proxy is for evaluations and bundles"
    return f"{who} needs a language adapter of {language!r}, and `languages` has none; {hint}"


def _composition(sound: _Sound, name: str, value: str | ComposedOf) -> Iterator[Finding]:
    path: Path = ("compositions", name)
    at = path if isinstance(value, str) else (*path, "expression")
    composition, long_form = sound.expressions[name], composed(value)
    for part in walk(composition):
        if isinstance(part, Mixture):
            yield from _placements(sound, at, part)
    yield from _standing(sound, at, composition)
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
    """Find adapters of different placements or forms in one mixture, which reads one input."""
    found: dict[str, str] = {}
    for name in adapter_names(mixture):
        for adapter in sound.names.languages if name == LANGUAGE else (name,):
            shape = shape_of(sound.recipe, adapter)
            if shape is not None and isinstance(shape, BottleneckShape):
                parallel = ", parallel" if shape.form == "parallel" else ""
                found.setdefault(f"{shape.placement}{parallel}", adapter)
    if len(found) > 1:
        which = " and ".join(f"{adapter} ({where})" for where, adapter in found.items())
        message = f"{mixture} mixes placements, {which}; adapters that are mixed share one"
        yield Finding(path, message)


def _standing(sound: _Sound, path: Path, composition: Composition) -> Iterator[Finding]:
    """Find adapters that cannot stand where they do: of some kinds, or invertible."""
    shapes: dict[str, list[AdapterShape]] = {}
    for name in adapter_names(composition):
        adapters = sound.names.languages if name == LANGUAGE else (name,)
        found = [shape_of(sound.recipe, adapter) for adapter in adapters]
        shapes[name] = [shape for shape in found if shape is not None]
    moving = {name for name, several in shapes.items() if any(map(is_invertible, several))}
    message = misplaced(composition, moving)
    if message is not None:
        yield Finding(path, message)
    yield from dict.fromkeys(
        Finding(path, message)
        for name, several in shapes.items()
        for shape in several
        for message in ill_combined(composition, {name: shape})
    )


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


def _baseline(sound: _Sound, path: Path, evaluation: Evaluation) -> Iterator[Finding]:
    """Find an evaluation that asks for a baseline which none of its compositions has."""
    found = [sound.composition(name) for name in evaluation.compositions]
    if evaluation.without_language and not any(
        one is None or without_language(one) is not None for one in found
    ):
        message = f"none of these compositions stands on {LANGUAGE}; leave this key out"
        yield Finding((*path, "without_language"), message, on_key=True)


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
            known = (*sound.names.languages, *sound.names.proxies)
            if language not in known and language not in told:
                told.add(language)
                message = _needs_adapter(name, language, sound.names)
                yield Finding((*path, "languages", at), message)
        yield from _collisions((*path, "compositions", place), composition, block.languages)
