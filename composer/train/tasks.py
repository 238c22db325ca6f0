"""Train what has labels: a task adapter, or what a composition owns, each with its head.

Nothing else moves: the backbone is frozen, so are the adapters that a composition or an `over`
brings in, and each training starts from its seed alone, whatever was trained before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor
from torch.nn import Parameter

from composer.data.predictions import Value
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.files import (
    CompositionFile,
    HeadFile,
    read_adapter,
    write_adapter,
    write_head,
    write_owned,
)
from composer.model.methods.adamix import Experts
from composer.model.methods.kinds import new_adapter
from composer.model.mixers import TrainedMixers
from composer.model.parts import Adapter, Head, Part, new_head, new_owned
from composer.model.predictor import Predictor
from composer.recipe.expansion.stages import DataUse, TaskSettings, TrainComposition, TrainTask
from composer.recipe.grammar.adapters import (
    BottleneckShape,
    Placement,
    joint_placement,
    trains_norm,
)
from composer.recipe.grammar.composition import (
    LANGUAGE,
    Composition,
    Fuse,
    Stack,
    holds_language,
    mixers_of,
)
from composer.recipe.grammar.meaning import class_count
from composer.recipe.grammar.training import Training
from composer.train.adamix import routed_loss
from composer.train.arrivals import Arrivals, arrivals_of
from composer.train.checkpoint import Trained
from composer.train.choosing import settled
from composer.train.context import StageContext
from composer.train.evaluation import gold_value
from composer.train.labelled import TaskData, read_task, where
from composer.train.loop import Batch, Epoch, Job, train
from composer.train.metrics import score
from composer.train.objective import fusion_penalty, task_loss
from composer.train.results import TrainingFile
from composer.train.setup import encoder_for, prepare
from composer.train.sparsity import masking

_OWN = "task-adapter"  # no language tag looks like this


def train_task(stage: TrainTask, *, context: StageContext) -> None:
    """Train a task adapter and its head."""
    stage = settled(stage, context)
    backbone = prepare(stage.training, context)
    data = _read(stage.data, stage.task, stage.training, backbone, context)
    generator = torch.Generator().manual_seed(stage.training.seed)
    adapter = new_adapter(stage.shape, backbone=backbone, generator=generator)
    head, about = _new_head(stage.task, data.labels, backbone, generator)
    adapters = {
        tag: read_adapter(context.inputs[need], backbone) for tag, need in stage.over.items()
    }
    composition: Composition = Stack((LANGUAGE, _OWN)) if stage.over else _OWN
    model = ComposedModel(
        backbone,
        composition=composition,
        adapters={**adapters, _OWN: adapter},
        head=head,
        pooling=about.pooling,
        products=backbone.products,
    )
    learnt: dict[str, Part] = {"adapter": adapter, "head": head}
    _fit(model, about, data, stage, context, learnt, cycle=stage.cycle)
    merged = adapter.merged() if isinstance(adapter, Experts) else adapter
    write_adapter(context.out, merged, backbone)
    write_head(context.out, head, about)


def train_composition(stage: TrainComposition, *, context: StageContext) -> None:
    """Train a composition's fusion, norms and head over frozen adapters."""
    backbone = prepare(stage.training, context)
    data = _read(stage.data, stage.task, stage.training, backbone, context)
    generator = torch.Generator().manual_seed(stage.training.seed)
    adapters = {
        name: read_adapter(context.inputs[need], backbone) for name, need in stage.parts.items()
    }
    described = describe_owned(stage, adapters, backbone)
    owned = None
    if described is not None:
        owned = new_owned(
            mixers=described.mixers,
            train_norm=described.train_norm,
            sites=backbone.norms,
            placement=described.placement,
            size=backbone.size,
            generator=generator,
        )
    head, about = _new_head(stage.task, data.labels, backbone, generator)
    model = ComposedModel(
        backbone,
        composition=stage.composition,
        adapters=adapters,
        mixers=TrainedMixers(owned) if owned else None,
        head=head,
        pooling=about.pooling,
        products=backbone.products,
    )
    learnt: dict[str, Part] = {"head": head} if owned is None else {"owned": owned, "head": head}
    _fit(model, about, data, stage, context, learnt)
    if owned is not None and described is not None:
        write_owned(context.out, owned, described)
    write_head(context.out, head, about)


def describe_owned(
    stage: TrainComposition, adapters: Mapping[str, Adapter], backbone: Backbone
) -> CompositionFile | None:
    """Say what a composition owns besides its head; None if nothing."""
    mixers = tuple(
        ("fuse" if isinstance(part, Fuse) else "gate", len(part.parts))
        for part in mixers_of(stage.composition)
    )
    has_top_norm = not isinstance(stage.composition, str) and not _ends_in_adapter(
        stage.composition
    )
    wanted = stage.train_norm
    if wanted is None:
        wanted = has_top_norm and any(trains_norm(one.shape) for one in adapters.values())
    if not mixers and not wanted:
        return None
    placements: set[Placement] = {
        one.shape.placement for one in adapters.values() if isinstance(one.shape, BottleneckShape)
    }
    return CompositionFile(
        size=backbone.size,
        body=backbone.fingerprints.body,
        mixers=mixers,
        train_norm=wanted,
        placement=joint_placement(placements),
    )


def _ends_in_adapter(composition: Composition) -> bool:
    return isinstance(composition, Stack) and isinstance(composition.parts[-1], str)


def _read(
    use: DataUse, task: TaskSettings, training: Training, backbone: Backbone, context: StageContext
) -> TaskData:
    encoder = encoder_for(backbone)
    return read_task(use, task, training, encoder=encoder, where=where(context))


def _new_head(
    task: TaskSettings, labels: tuple[str, ...], backbone: Backbone, generator: torch.Generator
) -> tuple[Head, HeadFile]:
    pooling = "none" if task.type == "token-classification" else task.pooling
    about = HeadFile(size=backbone.size, type=task.type, labels=labels, pooling=pooling)
    classes = class_count(task.type, labels)
    return new_head(classes=classes, size=backbone.size, generator=generator), about


def _fit(
    model: ComposedModel,
    about: HeadFile,
    data: TaskData,
    stage: TrainTask | TrainComposition,
    context: StageContext,
    learnt: Mapping[str, Part],
    *,
    cycle: Sequence[str] = (),
) -> None:
    """Run the loop over what is learnt, and write `training.json`."""
    backbone, task, training = model.backbone, stage.task, stage.training
    device = backbone.word_embeddings.weight.device
    model.to(device)
    adapter, by_language = learnt.get("adapter"), holds_language(model.composition)

    def set_training(*, active: bool) -> None:
        backbone.set_dropout(active=active and training.dropout)
        for part in learnt.values():
            part.train(active)

    epochs = _epochs(data, stage, backbone, by_language=by_language, cycle=cycle)
    with arrivals_of(model, data.training.rows, training, folder=context.checkpoint) as kept:
        loss = partial(_loss, model=model, adapter=adapter, stage=stage, kept=kept)
        job = Job(
            parameters=named_parameters(learnt),
            set_training=set_training,
            epochs=epochs,
            loss=loss,
            score=lambda: _validate(model, about, data, task, cycle=cycle),
            decide=masking(adapter, loss=loss, epoch=epochs[0], seed=training.seed, device=device),
        )
        trained = train(job, training, context)
    backbone.set_dropout(active=False)
    counted = sum(part.count() for part in learnt.values())
    _training_file(trained, data, counted, training.seed).write(context.out / "training.json")


def _loss(
    batch: Batch,
    *,
    model: ComposedModel,
    adapter: Part | None,
    stage: TrainTask | TrainComposition,
    kept: Arrivals | None,
) -> Tensor:
    task, training = stage.task, stage.training
    language = batch.language if holds_language(model.composition) else None
    arrived = kept.of(batch.tensors["numbers"]) if kept is not None else None
    answer = partial(model, batch.tensors, language=language, arrived=arrived)
    if isinstance(adapter, Experts):
        return routed_loss(adapter, answer, batch, type=task.type, seed=training.seed)
    logits = answer()
    penalty = fusion_penalty(model.owned, training.fusion_regularizer)
    return task_loss(task.type, logits, batch.tensors["labels"]) + penalty


def _training_file(trained: Trained, data: TaskData, counted: int, seed: int) -> TrainingFile:
    return TrainingFile(
        **asdict(trained),
        trainable_parameters=counted,
        seed=seed,
        training_examples=len(data.training.rows),
        validation_examples=len(data.validation.rows),
    )


def _epochs(
    data: TaskData,
    stage: TrainTask | TrainComposition,
    backbone: Backbone,
    *,
    by_language: bool,
    cycle: Sequence[str],
) -> list[Epoch]:
    """Plan the batches: of one language each where they take its adapter, mixed in a cycle."""
    return data.training.epochs(
        stage.training,
        pad_id=backbone.pad_id,
        by_language=by_language and not cycle,
        cycle=cycle,
        temperature=stage.data.temperature,
    )


def named_parameters(learnt: Mapping[str, Part]) -> dict[str, Parameter]:
    """List what is trained, by part and the name that files use."""
    return {
        f"{owner}:{name}": part.parameter(name)
        for owner, part in learnt.items()
        for name in part.names
    }


def _validate(
    model: ComposedModel,
    about: HeadFile,
    data: TaskData,
    task: TaskSettings,
    *,
    cycle: Sequence[str],
) -> float:
    """Score the validation split; in a cycle its examples take the adapters in turn as well.

    So no language's labels are needed but those of the sources, and each example counts once.
    """
    predictor = Predictor(model, about, encoder_for(model.backbone))
    split = data.validation
    adapters: Sequence[str | None] = [None] * len(split.rows)
    if cycle:
        adapters = [cycle[place % len(cycle)] for place in range(len(split.rows))]
    elif holds_language(model.composition):
        adapters = split.languages
    predictions: list[Value] = []
    gold: list[Value] = []
    for language in sorted(set(adapters), key=str):
        at = [place for place, one in enumerate(adapters) if one == language]
        examples = [split.examples[index] for index in at]
        rows = [split.rows[index] for index in at]
        predictions += [
            one.value for one in predictor.predict_rows(examples, rows, language=language)
        ]
        gold += [gold_value(example, task.type) for example in examples]
    return score(task.score, predictions=predictions, gold=gold)  # type: ignore[arg-type]
