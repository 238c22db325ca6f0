"""From a recipe to its stages: everything declared, with all that each one depends on.

    tasks: {intent: {over: $language, ...}}   ->   TrainTask("task/intent", over={"en": ...})

Languages come first, then tasks, trained compositions, evaluations, bundles and comparisons, each
in the order of the recipe; so a stage's needs always stand before it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.recipe.expansion.comparing import compare_stages
from composer.recipe.expansion.languages import language_stages, loss_stages
from composer.recipe.expansion.proxies import bind_language
from composer.recipe.expansion.stages import (
    WITHOUT_LANGUAGE,
    BundledComposition,
    Evaluate,
    Export,
    Stage,
    TrainComposition,
    TrainTask,
)
from composer.recipe.expansion.trainings import (
    changed_training,
    data_use,
    task_settings,
    task_stage,
)
from composer.recipe.grammar.bundles import Bundle
from composer.recipe.grammar.composition import (
    LANGUAGE,
    Composition,
    adapter_names,
    holds_language,
)
from composer.recipe.grammar.meaning import (
    composed,
    composition_of,
    head_task,
    without_language,
)
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.tasks import ComposedOf, CompositionTraining, Evaluation
from composer.recipe.grammar.training import Training


def expand(recipe: Recipe) -> tuple[Stage, ...]:
    """List the stages of a recipe without faults, needs first."""
    uses = {name: _use(recipe, name) for name in [*recipe.tasks, *recipe.compositions]}
    scored = [
        one
        for name, evaluation in recipe.evaluations.items()
        for one in _evaluations(recipe, uses, name, evaluation)
    ]
    return (
        *language_stages(recipe),
        *_tasks(recipe),
        *_compositions(recipe, uses),
        *loss_stages(recipe),
        *(one.stage for one in scored),
        *(_bundle(recipe, uses, scored, name) for name in recipe.bundles),
        *compare_stages(recipe),
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


def _tasks(recipe: Recipe) -> Iterator[TrainTask]:
    for name, task in recipe.tasks.items():
        if task.adapter is not None:
            yield task_stage(recipe, task, name=f"task/{name}", adapter=task.adapter)


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
        task=task_settings(task),
        data=data_use(recipe, task.data, languages, train.examples, temperature=train.temperature),
        train_norm=train.train_norm,
        training=changed_training(recipe.training, train.training),
    )


def _evaluations(
    recipe: Recipe, uses: Mapping[str, _Use], name: str, evaluation: Evaluation
) -> Iterator[_Scored]:
    training = Training(threads=recipe.training.threads, batch_tokens=recipe.training.batch_tokens)
    for composition, use in _scored_uses(uses, evaluation):
        data = evaluation.data or recipe.tasks[use.task].data
        for language in evaluation.languages:
            bound = bind_language(recipe, use.composition, language)
            stage = Evaluate(
                name=f"evaluation/{name}/{composition}/{language}",
                composition=bound,
                parts=_parts(recipe, bound),
                owner=use.owner,
                data=data_use(recipe, data, (language,)),
                split=evaluation.split,
                training=training,
            )
            yield _Scored(composition, language, stage)


def _scored_uses(uses: Mapping[str, _Use], evaluation: Evaluation) -> Iterator[tuple[str, _Use]]:
    """Name what is scored, and each composition's baseline behind it, where that is asked for."""
    for name in evaluation.compositions:
        yield name, uses[name]
        bare = without_language(uses[name].composition) if evaluation.without_language else None
        if bare is not None:
            yield f"{name}{WITHOUT_LANGUAGE}", replace(uses[name], composition=bare, bound=False)


def _bundle(recipe: Recipe, uses: Mapping[str, _Use], scored: list[_Scored], name: str) -> Export:
    bundle = recipe.bundles[name]
    trimmed = bundle.vocabulary
    compositions = tuple(_bundled(recipe, uses, scored, bundle))
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
        data=data_use(recipe, trimmed.data, trimmed.languages) if trimmed else None,
        pieces=trimmed.pieces if trimmed else None,
        static=bundle.static,
    )


def _bundled(
    recipe: Recipe, uses: Mapping[str, _Use], scored: list[_Scored], bundle: Bundle
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
                composition=bind_language(recipe, use.composition, tag),
                owner=use.owner,
                evaluations=tuple(one.stage.name for one in mine if one.language == tag),
            )
