"""What a stage trains with: `training` with all changes over it, its data, and its task.

training: {epochs: 8}, tasks: {intent: {training: {epochs: 4}}}   ->   Training(epochs=4)
"""

from collections.abc import Mapping

from composer.recipe.expansion.stages import DataUse, TaskSettings, TrainTask
from composer.recipe.grammar.meaning import SCORES, languages_under
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.tasks import Task
from composer.recipe.grammar.training import Training, TrainingChanges


def changed_training(training: Training, *changes: TrainingChanges) -> Training:
    """Put changes over a recipe's training, the last ones on top.

    >>> changed_training(Training(), TrainingChanges(batch_examples=8)).batch_examples
    8
    """
    for change in changes:
        given: Mapping[str, object] = change.model_dump(exclude_none=True)
        if change.batch_tokens is not None:  # in place of the examples that were said before
            given = {**given, "batch_examples": None}
        training = training.model_copy(update=given)
    return training


def data_use(
    recipe: Recipe,
    name: str,
    languages: tuple[str, ...],
    examples: int | None = None,
    *,
    temperature: float = 1.0,
) -> DataUse:
    """Say which examples of a data source a stage reads; one language is always even."""
    return DataUse(
        source=recipe.data[name],
        languages=languages,
        examples=examples,
        max_tokens=recipe.backbone.max_tokens,
        temperature=temperature if len(languages) > 1 else 1.0,
    )


def task_data(recipe: Recipe, task: Task) -> DataUse:
    """Say which examples a task's adapter is trained on."""
    return data_use(recipe, task.data, task.languages, task.examples, temperature=task.temperature)


def task_stage(
    recipe: Recipe, task: Task, *changes: TrainingChanges, name: str, adapter: str
) -> TrainTask:
    """Say how a task is learnt with an adapter of some shape.

    Args:
        recipe: Of the task.
        task: What is learnt.
        changes: Of `training`, over the task's own.
        name: Of the stage.
        adapter: Name of the shape.
    """
    return TrainTask(
        name=name,
        shape=recipe.adapters[adapter],
        task=task_settings(task),
        data=task_data(recipe, task),
        over={tag: f"language/{tag}" for tag in languages_under(task)},
        cycle=task.cycle,
        training=changed_training(recipe.training, task.training, *changes),
    )


def task_settings(task: Task) -> TaskSettings:
    """Say what a task is, apart from its data."""
    return TaskSettings(
        type=task.type,
        labels=task.labels,
        pooling=task.pooling,
        score=task.score or SCORES[task.type][0],
    )
