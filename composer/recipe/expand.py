"""From a recipe to its stages: everything declared, with all that each one depends on.

    tasks: {intent: {over: $language, ...}}   ->   TrainTask("task/intent", over={"en": ...})

Languages come first, then tasks, trained compositions, evaluations and bundles, each in the
order of the recipe; so a stage's needs always stand before it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.recipe.composition import (
    LANGUAGE,
    Composition,
    adapter_names,
    bind,
    holds_language,
)
from composer.recipe.meaning import SCORES, composed, composition_of, head_task
from composer.recipe.schema import (
    Bundle,
    ComposedOf,
    CompositionTraining,
    Evaluation,
    Languages,
    Member,
    Recipe,
    Task,
    Training,
    TrainingChanges,
)
from composer.recipe.stages import (
    BundledComposition,
    DataUse,
    Evaluate,
    Export,
    Stage,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)


def expand(recipe: Recipe) -> tuple[Stage, ...]:
    """List the stages of a recipe without faults, needs first."""
    uses = {name: _use(recipe, name) for name in [*recipe.tasks, *recipe.compositions]}
    scored = [
        one
        for name, evaluation in recipe.evaluations.items()
        for one in _evaluations(recipe, uses, name, evaluation)
    ]
    return (
        *_languages(recipe),
        *(_task(recipe, name, task) for name, task in recipe.tasks.items()),
        *_compositions(recipe, uses),
        *(one.stage for one in scored),
        *(_bundle(recipe, uses, scored, name) for name in recipe.bundles),
    )


@dataclass(frozen=True)
class _Use:
    """What a name in an evaluation or a bundle stands for.

    Attributes:
        composition: May hold `$language`.
        task: Whose labels are predicted.
        owner: Stage whose head is used.
        bound: Whether it must be bound to a language.
    """

    composition: Composition
    task: str
    owner: str
    bound: bool


@dataclass(frozen=True)
class _Scored:
    name: str
    language: str
    stage: Evaluate


def _use(recipe: Recipe, name: str) -> _Use:
    composition = composition_of(recipe, name)
    bound = holds_language(composition)
    if name in recipe.tasks:
        return _Use(composition, name, f"task/{name}", bound)
    value = composed(recipe.compositions[name])
    task = head_task(value, composition, frozenset(recipe.tasks)) or ""
    owner = f"task/{task}" if value.train is None else f"composition/{name}"
    return _Use(composition, task, owner, bound)


def _changed(training: Training, *changes: TrainingChanges) -> Training:
    """Put changes over the recipe's training, the last ones on top."""
    changed = {key: value for change in changes for key, value in change if value is not None}
    return training.model_copy(update=changed)


def _data(
    recipe: Recipe, name: str, languages: tuple[str, ...], examples: int | None = None
) -> DataUse:
    return DataUse(
        source=recipe.data[name],
        languages=languages,
        examples=examples,
        max_tokens=recipe.backbone.max_tokens,
    )


def _members(languages: Languages) -> Mapping[str, Member]:
    if isinstance(languages.members, dict):
        return languages.members
    return dict.fromkeys(languages.members, Member())


def _languages(recipe: Recipe) -> Iterator[TrainLanguage]:
    languages = recipe.languages
    if languages is None:
        return
    for tag, member in _members(languages).items():
        yield TrainLanguage(
            name=f"language/{tag}",
            shape=recipe.adapters[member.adapter or languages.adapter],
            data=_data(recipe, member.data or languages.data, (tag,)),
            training=_changed(recipe.training, languages.training, member.training),
        )


def _settings(task: Task) -> TaskSettings:
    return TaskSettings(
        type=task.type,
        labels=task.labels,
        pooling=task.pooling,
        score=task.score or SCORES[task.type][0],
    )


def _task(recipe: Recipe, name: str, task: Task) -> TrainTask:
    over = {tag: f"language/{tag}" for tag in task.languages} if task.over else {}
    return TrainTask(
        name=f"task/{name}",
        shape=recipe.adapters[task.adapter],
        task=_settings(task),
        data=_data(recipe, task.data, task.languages, task.examples),
        over=over,
        training=_changed(recipe.training, task.training),
    )


def _parts(
    recipe: Recipe, composition: Composition, languages: tuple[str, ...] = ()
) -> dict[str, str]:
    """Say which stage trains each adapter; `$language` stands for those of `languages`."""
    parts: dict[str, str] = {}
    for name in adapter_names(composition):
        for adapter in languages if name == LANGUAGE else (name,):
            parts[adapter] = f"{'task' if adapter in recipe.tasks else 'language'}/{adapter}"
    return parts


def _compositions(recipe: Recipe, uses: Mapping[str, _Use]) -> Iterator[TrainComposition]:
    for name, value in recipe.compositions.items():
        if isinstance(value, ComposedOf) and value.train is not None:
            yield _composition(recipe, name, uses[name].composition, value.train)


def _composition(
    recipe: Recipe, name: str, composition: Composition, train: CompositionTraining
) -> TrainComposition:
    task = recipe.tasks[train.task]
    languages = train.languages or task.languages
    return TrainComposition(
        name=f"composition/{name}",
        composition=composition,
        parts=_parts(recipe, composition, languages),
        task=_settings(task),
        data=_data(recipe, task.data, languages, train.examples),
        train_norm=train.train_norm,
        training=_changed(recipe.training, train.training),
    )


def _evaluations(
    recipe: Recipe, uses: Mapping[str, _Use], name: str, evaluation: Evaluation
) -> Iterator[_Scored]:
    training = Training(threads=recipe.training.threads, batch_tokens=recipe.training.batch_tokens)
    for composition in evaluation.compositions:
        use = uses[composition]
        data = evaluation.data or recipe.tasks[use.task].data
        for language in evaluation.languages:
            bound = bind(use.composition, language)
            stage = Evaluate(
                name=f"evaluation/{name}/{composition}/{language}",
                composition=bound,
                parts=_parts(recipe, bound),
                owner=use.owner,
                data=_data(recipe, data, (language,)),
                split=evaluation.split,
                training=training,
            )
            yield _Scored(composition, language, stage)


def _bundle(recipe: Recipe, uses: Mapping[str, _Use], scored: list[_Scored], name: str) -> Export:
    bundle = recipe.bundles[name]
    trimmed = bundle.vocabulary
    compositions = tuple(_bundled(uses, scored, bundle))
    parts: dict[str, str] = {}
    for one in compositions:
        parts.update(_parts(recipe, one.composition))
    return Export(
        name=f"bundle/{name}",
        compositions=compositions,
        parts=parts,
        precision=bundle.precision,
        part_precision=bundle.part_precision,
        training=Training(threads=recipe.training.threads),
        data=_data(recipe, trimmed.data, trimmed.languages) if trimmed else None,
        pieces=trimmed.pieces if trimmed else None,
        static=bundle.static,
    )


def _bundled(
    uses: Mapping[str, _Use], scored: list[_Scored], bundle: Bundle
) -> Iterator[BundledComposition]:
    """Give each composition once, or once a language where it must be bound."""
    for name in bundle.compositions:
        use = uses[name]
        mine = [one for one in scored if one.name == name]
        if not use.bound:
            names = tuple(one.stage.name for one in mine)
            yield BundledComposition(
                name=name, composition=use.composition, owner=use.owner, evaluations=names
            )
            continue
        for tag in bundle.languages:
            yield BundledComposition(
                name=f"{name}:{tag}",
                composition=bind(use.composition, tag),
                owner=use.owner,
                evaluations=tuple(one.stage.name for one in mine if one.language == tag),
            )
