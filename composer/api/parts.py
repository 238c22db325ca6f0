"""One language adapter, one task or one fusion at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from composer.api.calling import Changes, OnEvent, Place, call_text, called, carry_out, listed
from composer.api.showing import lines_html
from composer.engine.commands.single import (
    DataOptions,
    fuse_stage,
    train_language_stage,
    train_task_stage,
)
from composer.report.trained import Trained, read_trained, trained_lines


@dataclass(frozen=True, repr=False)
class Training:
    """What a training did. Its result is in the store, under its name.

    Attributes:
        name: Of the stage, as "task/intent".
        key: Of the result.
        known: Whether it was done before, and nothing was to do.
        parameters: Trainable ones.
        steps: Optimiser updates.
        examples: Learnt from.
        best: Validation score of the weights that were kept, a language adapter's minus its
            held-out loss; None without validation.
        score: Which score that is; None: the loss.
        history: One entry an epoch: mean loss, score.
    """

    name: str
    key: str
    known: bool
    parameters: int
    steps: int
    examples: int
    best: float | None
    score: str | None
    history: Sequence[Mapping[str, float | None]]
    _trained: Trained = field(compare=False)

    def __repr__(self) -> str:
        return "\n".join(trained_lines(self._trained))

    def _repr_html_(self) -> str:
        return lines_html(trained_lines(self._trained))


def train_language(
    language: str,
    *,
    data: Place,
    backbone: str,
    text: str | None = None,
    validation: Place | None = None,
    test: Place | None = None,
    truncate: bool = False,
    adapter: str = "bottleneck",
    changes: Changes | None = None,
    store: Place | None = None,
    on_event: OnEvent | None = None,
) -> Training:
    """Train one language adapter, by masked language modelling on plain text.

    Args:
        language: Its tag, as "de"; the name of the adapter in the store.
        data: A file (text, CSV, JSON lines, Parquet), `sample:NAME` or `hub:OWNER/NAME@COMMIT`.
        backbone: `sample:NAME`, `folder:PATH` or `hub:OWNER/NAME@COMMIT`.
        text: Column of the text, where the file has columns.
        validation: A file of its own to judge by; left out, a part of `data`.
        test: A file of its own to score; left out, a part of `data`.
        truncate: Cut texts that are too long instead of refusing them.
        adapter: Its kind; `docs/methods.md` lists them.
        changes: As in a recipe: {"adapters.language.width": 64, "training.epochs": 4}.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.
        on_event: Called with every `Event`; left out, `logging` is told.

    Raises:
        RecipeError: A value is not allowed.
        DataError: The data is not there, or not what it should be.
        BackboneError: The backbone is not there, or not one that composer takes.
        TrainingError: The training cannot go on.
        StoppedError: Ctrl-C, after a checkpoint was written; the same call goes on.

    Example:
        composer.train_language("de", data="de.txt", backbone="sample:multilingual-e5-small")
    """
    columns = None if text is None else {"text": text}
    options = data_options(data, columns, validation, test, truncate=truncate)
    command = called(store, backbone=backbone, changes=changes)
    wanted = train_language_stage(command, language, data=options, adapter=adapter)
    call = call_text(
        "train_language",
        language,
        data=str(data),
        backbone=backbone,
        text=text,
        **_said(validation, test, truncate=truncate),
        adapter=adapter,
        changes=changes,
    )
    return _training(read_trained(*carry_out(wanted, command, on_event=on_event, call=call)))


def train_task(
    name: str,
    *,
    data: Place,
    backbone: str | None = None,
    columns: Mapping[str, str] | None = None,
    validation: Place | None = None,
    test: Place | None = None,
    truncate: bool = False,
    type: str = "text-classification",
    languages: Sequence[str] = ("en",),
    adapter: str = "bottleneck",
    labels: Sequence[str] = (),
    examples: int | None = None,
    over: Sequence[str] = (),
    changes: Changes | None = None,
    store: Place | None = None,
    on_event: OnEvent | None = None,
) -> Training:
    """Train one task adapter and its head; the backbone stays as it is.

    Args:
        name: Of the task, in the store as well.
        data: A file (CSV, JSON lines, Parquet), `sample:NAME` or `hub:OWNER/NAME@COMMIT`.
        backbone: `sample:NAME`, `folder:PATH` or `hub:OWNER/NAME@COMMIT`; may be left out with
            `over`.
        columns: text, pair, label, spans, words, tags -> column of the file.
        validation: A file of its own to choose by; left out, a part of `data`.
        test: A file of its own to score; left out, a part of `data`.
        truncate: Cut texts that are too long instead of refusing them.
        type: "text-classification", "multi-label-classification", "token-classification" or
            "regression".
        languages: Of the data.
        adapter: Its kind; `docs/methods.md` lists them.
        labels: The label set in order; left out, as found in the data.
        examples: Learn from so many only.
        over: Names of stored language adapters to train on.
        changes: As in a recipe: {"adapters.task.width": 32, "training.epochs": 4}.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.
        on_event: Called with every `Event`; left out, `logging` is told.

    Raises:
        RecipeError: A value is not allowed.
        DataError: The data is not there, or not what it should be.
        BackboneError: The backbone is not there, or not one that composer takes.
        TrainingError: The training cannot go on.
        StoppedError: Ctrl-C, after a checkpoint was written; the same call goes on.

    Example:
        composer.train_task("intent", data="train.csv", backbone="sample:multilingual-e5-small",
                            columns={"text": "utterance", "label": "intent"})
    """
    options = data_options(data, columns, validation, test, truncate=truncate)
    command = called(store, backbone=backbone, changes=changes)
    wanted = train_task_stage(
        command,
        name,
        data=options,
        type=type,
        languages=listed("languages", languages),
        adapter=adapter,
        labels=listed("labels", labels),
        examples=examples,
        over=listed("over", over),
    )
    call = call_text(
        "train_task",
        name,
        data=str(data),
        backbone=backbone,
        columns=columns,
        **_said(validation, test, truncate=truncate),
        type=type,
        languages=listed("languages", languages),
        adapter=adapter,
        labels=listed("labels", labels),
        examples=examples,
        over=listed("over", over),
        changes=changes,
    )
    return _training(read_trained(*carry_out(wanted, command, on_event=on_event, call=call)))


def fuse(
    members: Sequence[str],
    *,
    task: str,
    name: str,
    data: Place | None = None,
    columns: Mapping[str, str] | None = None,
    validation: Place | None = None,
    test: Place | None = None,
    truncate: bool = False,
    how: str = "fuse",
    languages: Sequence[str] = (),
    examples: int | None = None,
    train_norm: bool | None = None,
    backbone: str | None = None,
    changes: Changes | None = None,
    store: Place | None = None,
    on_event: OnEvent | None = None,
) -> Training:
    """Learn an AdapterFusion over trained adapters, which stay as they are, and a head.

    Put the task's own adapter among the members: without it a fusion can only mix what other
    tasks kept.

    Args:
        members: Names in the store, or "none" for the null member.
        task: The trained task whose labels are learnt.
        name: Of the composition, in the store as well.
        data: As in `train_task`; left out, the task's.
        columns: As in `train_task`.
        validation: As in `train_task`.
        test: As in `train_task`.
        truncate: As in `train_task`.
        how: "fuse" for attention, "gate" for a linear gate, "average" for a fixed mean.
        languages: Of the data; left out, the task's.
        examples: Learn from so many only.
        train_norm: Train own copies of the norms; None: if a member has some.
        backbone: Left out, the one that the members were trained on.
        changes: As in a recipe.
        store: Folder or URL of results. Left out: `COMPOSER_STORE`, or `.composer`.
        on_event: Called with every `Event`; left out, `logging` is told.

    Raises:
        RecipeError: A name stands for nothing in the store, or a value is not allowed.
        DataError: The data is not there, or not what it should be.
        TrainingError: The training cannot go on.
        StoppedError: Ctrl-C, after a checkpoint was written; the same call goes on.

    Example:
        composer.fuse(["intent", "domain"], task="intent", name="few-shot", examples=200)
    """
    options = (
        None if data is None else data_options(data, columns, validation, test, truncate=truncate)
    )
    command = called(store, backbone=backbone, changes=changes)
    wanted = fuse_stage(
        command,
        listed("members", members),
        name=name,
        task=task,
        data=options,
        how=how,
        languages=listed("languages", languages),
        examples=examples,
        train_norm=train_norm,
    )
    call = call_text(
        "fuse",
        [*members],
        task=task,
        name=name,
        data=None if data is None else str(data),
        columns=columns,
        **_said(validation, test, truncate=truncate),
        how=how,
        languages=listed("languages", languages),
        examples=examples,
        train_norm=train_norm,
        changes=changes,
    )
    return _training(read_trained(*carry_out(wanted, command, on_event=on_event, call=call)))


def data_options(
    data: Place,
    columns: Mapping[str, str] | None = None,
    validation: Place | None = None,
    test: Place | None = None,
    *,
    truncate: bool = False,
) -> DataOptions:
    """Take where data is and which columns it has."""
    return DataOptions(
        data=str(data),
        validation=None if validation is None else str(validation),
        test=None if test is None else str(test),
        columns=columns or {},
        truncate=truncate,
    )


def _said(
    validation: Place | None, test: Place | None, *, truncate: bool
) -> dict[str, str | bool | None]:
    """Give what the text of a call says of how data was read."""
    return {
        "validation": None if validation is None else str(validation),
        "test": None if test is None else str(test),
        "truncate": truncate or None,
    }


def _training(trained: Trained) -> Training:
    found = trained.found
    return Training(
        name=trained.stage.name,
        key=trained.stored.key,
        known=trained.known,
        parameters=found.trainable_parameters,
        steps=found.steps,
        examples=found.training_examples,
        best=found.best_score,
        score=trained.score,
        history=found.history,
        _trained=trained,
    )
