"""A stage's labelled examples: read, checked, encoded, and made into batches.

Validation examples are at most as many as training ones where a stage learns from a few only:
labels that choose a checkpoint are labels too.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypedDict

import torch

from composer.data.batches import Labels, batch_plan, collate
from composer.data.bio import tags_of_spans
from composer.data.encode import Encoded, Encoder
from composer.data.examples import Example
from composer.data.mixing import mixed_epoch
from composer.data.sources import read_examples
from composer.data.splits import labels_of
from composer.data.tasks import check_examples, choose_examples, label_set
from composer.recipe.expansion.stages import DataUse, TaskSettings
from composer.recipe.grammar.data import FileData, SampleData, Split, SplitPaths
from composer.recipe.grammar.tasks import TaskType
from composer.recipe.grammar.training import Training
from composer.train.context import StageContext
from composer.train.loop import Batch, Epoch

logger = logging.getLogger(__name__)


class Where(TypedDict):
    """Where files of data lie, as `read_examples` takes it."""

    folder: Path
    outside: bool


def where(context: StageContext) -> Where:
    """Say where a stage's files of data lie."""
    return {"folder": context.folder, "outside": context.outside}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Examples of one split, as a model reads them.

    Attributes:
        examples: As they were read.
        languages: The language of each.
        rows: Token ids of each.
        targets: A class, a number, a 1.0 or 0.0 a label, or a tag a token, of each.
    """

    examples: list[Example]
    languages: list[str]
    rows: list[Encoded]
    targets: Labels

    def epochs(
        self,
        training: Training,
        *,
        pad_id: int,
        by_language: bool,
        cycle: Sequence[str] = (),
        temperature: float = 1.0,
    ) -> list[Epoch]:
        """Plan the batches of every epoch.

        Args:
            training: Seed, epochs, and tokens or examples a batch.
            pad_id: Fills short rows.
            by_language: Whether a batch has one language only.
            cycle: Languages that batches are given in turn, from the first batch of the first
                epoch on; empty: each has that of its examples.
            temperature: How even the languages are; see `composer.data.mixing`.
        """
        plans = [
            self._plan(training, number, by_language=by_language, temperature=temperature)
            for number in range(training.epochs)
        ]
        begun = [0, *accumulate(map(len, plans))]  # batches before each epoch
        return [
            self._epoch(plan, pad_id, cycle=cycle, first=first)
            for plan, first in zip(plans, begun, strict=False)
        ]

    def _plan(
        self, training: Training, epoch: int, *, by_language: bool, temperature: float
    ) -> list[list[int]]:
        """Choose an epoch's examples and share them out over batches, by their indices."""
        chosen = mixed_epoch(
            self.languages, temperature=temperature, seed=training.seed, epoch=epoch
        )
        plan = batch_plan(
            [len(self.rows[index].ids) for index in chosen],
            batch_tokens=training.batch_tokens,
            batch_examples=training.batch_examples,
            seed=training.seed,
            epoch=epoch,
            groups=[self.languages[index] for index in chosen] if by_language else None,
        )
        return [[chosen[place] for place in batch] for batch in plan]

    def _epoch(
        self, plan: list[list[int]], pad_id: int, *, cycle: Sequence[str], first: int
    ) -> Epoch:
        def batch(number: int) -> Batch:
            indices = plan[number]
            arrays = collate(
                [self.rows[index] for index in indices],
                pad_id=pad_id,
                labels=[self.targets[index] for index in indices],  # type: ignore[arg-type]
            )
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            tensors["numbers"] = torch.tensor(indices)
            own = self.languages[indices[0]]
            language = cycle[(first + number) % len(cycle)] if cycle else own
            return Batch(tensors=tensors, language=language)

        return Epoch(count=len(plan), batch=batch)


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """What a task learns from and is judged on while it learns.

    Attributes:
        labels: The label set in order.
        training: Examples to learn from.
        validation: Examples to choose the best checkpoint on.
    """

    labels: tuple[str, ...]
    training: Labelled
    validation: Labelled


def read_task(
    use: DataUse, task: TaskSettings, training: Training, *, encoder: Encoder, where: Where
) -> TaskData:
    """Read and check what a task learns from.

    Raises:
        DataError: Every fault found, by file and row.
    """
    everything = _read(use, task, "train", where=where)
    labels = label_set(everything[0], type=task.type, given=task.labels)
    check_examples(everything[0], type=task.type, labels=labels, split="train", place=_place(use))
    judged = _read(use, task, "validation", where=where)
    check_examples(judged[0], type=task.type, labels=labels, split="validation", place=_place(use))
    learnt, judged = (_few(use, *some, seed=training.seed) for some in (everything, judged))
    return TaskData(
        labels=labels,
        training=encode(*learnt, use=use, type=task.type, labels=labels, encoder=encoder),
        validation=encode(*judged, use=use, type=task.type, labels=labels, encoder=encoder),
    )


def read_split(
    use: DataUse, type: TaskType, split: Split, labels: Sequence[str], *, where: Where
) -> list[Example]:
    """Read and check one split to score on; a label unseen in training is a fault."""
    examples = [
        example
        for language in use.languages
        for example in read_examples(use.source, type=type, language=language, split=split, **where)
    ]
    check_examples(examples, type=type, labels=labels, split=split, place=_place(use))
    return examples


def truncates(use: DataUse) -> bool:
    """Say whether texts that are too long are cut; sample sentences never are too long."""
    return not isinstance(use.source, SampleData) and use.source.truncate


def encode(
    examples: list[Example],
    languages: list[str],
    *,
    use: DataUse,
    type: TaskType,
    labels: tuple[str, ...],
    encoder: Encoder,
) -> Labelled:
    """Encode examples and what is to be learnt from them."""
    spans = type == "token-classification"
    rows = encoder.encode(examples, truncate=truncates(use), offsets=spans)
    return Labelled(
        examples=examples,
        languages=languages,
        rows=rows,
        targets=_targets(examples, rows, type, labels),
    )


def _read(
    use: DataUse, task: TaskSettings, split: Split, *, where: Where
) -> tuple[list[Example], list[str]]:
    examples: list[Example] = []
    languages: list[str] = []
    for language in use.languages:
        found = read_examples(use.source, type=task.type, language=language, split=split, **where)
        examples += found
        languages += [language] * len(found)
    return examples, languages


def _few(
    use: DataUse, examples: list[Example], languages: list[str], *, seed: int
) -> tuple[list[Example], list[str]]:
    """Draw as many examples as the stage may learn from."""
    if use.examples is None or use.examples >= len(examples):
        return examples, languages
    chosen = choose_examples(examples, use.examples, seed=seed, languages=languages)
    return [examples[index] for index in chosen], [languages[index] for index in chosen]


def _targets(
    examples: Sequence[Example], rows: Sequence[Encoded], type: TaskType, labels: tuple[str, ...]
) -> Labels:
    if type == "regression":
        return [float(example.label) for example in examples]  # type: ignore[arg-type]
    if type == "token-classification":
        tags = [
            tags_of_spans(e.spans, text=e.text, offsets=row.offsets, labels=labels)
            for e, row in zip(examples, rows, strict=True)
        ]
        lost = sum(one.misaligned for one in tags)
        if lost:
            whole = sum(len(example.spans) for example in examples)
            logger.warning(
                "%d of %d spans begin or end inside a token; the nearest whole tokens are learnt",
                lost,
                whole,
            )
        return [list(one.ids) for one in tags]
    if type == "multi-label-classification":
        return [[float(one in labels_of(example)) for one in labels] for example in examples]
    number = {label: index for index, label in enumerate(labels)}
    return [number[str(example.label)] for example in examples]


def _place(use: DataUse) -> str:
    """Name a source in a fault that is of no single row."""
    source = use.source
    name = source.path if isinstance(source, FileData) else source.name
    file = name.train if isinstance(name, SplitPaths) else name
    return f"{file} ({', '.join(use.languages)})"
