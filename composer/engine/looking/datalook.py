"""The data of a recipe, task by task, as `composer debug-data` looks through it.

    task/intent    train, validation and test in the task's languages, and each split and language
                   that an evaluation scores it in
    languages      the text of the language adapters, at most `MOST` sentences of each split

Data is read as a run reads it, so what a run would refuse is found here, all at once.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from composer.data.encode import Encoder
from composer.data.examples import Example
from composer.data.inspecting.inspection import Inspection, inspect
from composer.data.inspecting.parts import SPLITS, Part
from composer.data.plain import read_sentences
from composer.data.samples.backbones import default_cache
from composer.data.sources import read_examples
from composer.data.tokenizer import read_tokenizer
from composer.engine.planning.backbones import backbone_facts, backbone_folder
from composer.errors import ComposerError, DataError, Fault, RecipeError, did_you_mean
from composer.model.screening import screen_folder
from composer.recipe.grammar.data import SampleData, Split
from composer.recipe.grammar.meaning import composed, composition_of, head_task
from composer.recipe.grammar.schema import Recipe
from composer.recipe.grammar.tasks import TaskType
from composer.recipe.reading.reader import LoadedRecipe

MOST = 100_000  # sentences of a language's text that are looked through


@dataclass(kw_only=True)
class _Subject:
    """A task, or the text of languages, and what of its data is read."""

    name: str
    type: TaskType | None
    source: str
    labels: tuple[str, ...] | None = None
    wanted: dict[tuple[str, str, Split], bool] = field(default_factory=dict)
    """(source, language, split) -> whether a run reads it."""


@dataclass(frozen=True, kw_only=True)
class DataLook:
    """What was found in a recipe's data.

    Attributes:
        inspections: One a task, and one for the text of languages.
        max_tokens: Most tokens that the backbone takes; None: it is not here.
        without_lengths: Why there are no lengths; "": there are.
    """

    inspections: tuple[Inspection, ...]
    max_tokens: int | None
    without_lengths: str


def look_at_data(loaded: LoadedRecipe, *, task: str | None = None) -> DataLook:
    """Look through the data of a recipe.

    Args:
        loaded: The recipe.
        task: Only this task.

    Raises:
        RecipeError: There is no such task, or no data to look at.
    """
    recipe = loaded.recipe
    if task is not None and task not in recipe.tasks:
        hint = did_you_mean(task, recipe.tasks)
        raise RecipeError([Fault("--task", f"no task is called {task!r}; {hint}")])
    subjects = [*_tasks(recipe, task), *(() if task else _languages(recipe))]
    if not subjects:
        raise RecipeError([Fault(loaded.place(("tasks",)), "the recipe has no data to look at")])
    encoder, why = _encoder(loaded)
    with _quiet():
        inspections = tuple(_inspect(one, loaded, encoder) for one in subjects)
    return DataLook(
        inspections=inspections,
        max_tokens=encoder.max_tokens if encoder else None,
        without_lengths=why,
    )


def _tasks(recipe: Recipe, only: str | None) -> Iterator[_Subject]:
    scored = list(_scored(recipe))
    for name, task in recipe.tasks.items():
        if only not in (None, name):
            continue
        subject = _Subject(
            name=f"task/{name}", type=task.type, source=task.data, labels=task.labels
        )
        for language in task.languages:
            for split in SPLITS:
                subject.wanted[task.data, language, split] = split != "test"
        for of_task, source, language, split in scored:
            if of_task == name:
                subject.wanted[source or task.data, language, split] = True
        yield subject


def _scored(recipe: Recipe) -> Iterator[tuple[str, str | None, str, Split]]:
    """List what evaluations score: task, source where it is another, language and split."""
    tasks = frozenset(recipe.tasks)
    for evaluation in recipe.evaluations.values():
        for name in evaluation.compositions:
            task: str | None = name
            if name not in tasks:
                value = composed(recipe.compositions[name])
                task = head_task(value, composition_of(recipe, name), tasks)
            for language in evaluation.languages if task else ():
                yield task or "", evaluation.data, language, evaluation.split


def _languages(recipe: Recipe) -> Iterator[_Subject]:
    block = recipe.languages
    if block is None:
        return
    own = block.members if isinstance(block.members, Mapping) else {}
    subject = _Subject(name="languages", type=None, source=block.data)
    for language in block.members:
        source = own[language].data if language in own else None
        for split in ("train", "validation"):
            subject.wanted[source or block.data, language, split] = True
    yield subject


def _inspect(subject: _Subject, loaded: LoadedRecipe, encoder: Encoder | None) -> Inspection:
    parts: list[Part] = []
    faults: list[Fault] = []
    for (source, language, split), needed in subject.wanted.items():
        examples: Sequence[Example] = ()
        try:
            examples = _read(subject, source, language, split, loaded)
        except DataError as error:
            faults += error.faults if needed else ()
        if examples:
            parts.append(Part(source=source, language=language, split=split, examples=examples))
    data = loaded.recipe.data[subject.source]
    return inspect(
        subject.name,
        parts,
        source=subject.source,
        type=subject.type,
        given=subject.labels,
        truncate=isinstance(data, SampleData) or data.truncate or subject.type is None,
        encoder=encoder,
        faults=faults,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what `composer.data.tasks` warns of: it is among what is looked for here."""
    logger = logging.getLogger("composer.data.tasks")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _read(
    subject: _Subject, source: str, language: str, split: Split, loaded: LoadedRecipe
) -> list[Example]:
    data, folder, outside = loaded.recipe.data[source], loaded.folder, loaded.outside
    if subject.type is None:
        found = read_sentences(data, language=language, split=split, folder=folder, outside=outside)
        return list(islice(found, MOST))
    return read_examples(
        data, type=subject.type, language=language, split=split, folder=folder, outside=outside
    )


def _encoder(loaded: LoadedRecipe) -> tuple[Encoder | None, str]:
    """Give what encodes as the backbone does, or why there is none; nothing is fetched."""
    backbone, cache = loaded.recipe.backbone, default_cache()
    try:
        facts = backbone_facts(backbone, folder=loaded.folder, cache=cache)
        if facts is None or facts.shape is None:
            return None, "the backbone is not fetched yet; a run fetches it"
        place = backbone_folder(backbone, folder=loaded.folder, cache=cache)
        _, config = screen_folder(place)
        tokenizer = read_tokenizer(place, rows=config.vocab_size, types=config.type_vocab_size)
    except ComposerError as fault:
        return None, str(fault)
    limits = [facts.shape.max_tokens, *filter(None, [backbone.max_tokens])]
    return Encoder(tokenizer, max_tokens=min(limits)), ""
