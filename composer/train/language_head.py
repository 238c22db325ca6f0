"""Train the masked-LM head that all languages share, or take the one that the backbone brings.

It learns from the text of all its languages at once, over the pieces in use in them, on the bare,
frozen backbone. Then it is frozen: every language adapter is trained, and scored, under it.
"""

from dataclasses import asdict

import torch
from torch import Tensor

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.masked_head_files import own_masked_head, write_masked_head
from composer.model.masked_lm import MaskedHead, new_masked_head
from composer.recipe.expansion.stages import TrainHead
from composer.recipe.grammar.composition import NONE
from composer.train.checkpoint import Trained
from composer.train.context import StageContext
from composer.train.loop import Batch, Job, train
from composer.train.plain_text import LearntText, held_out_loss, read_text
from composer.train.results import TrainingFile
from composer.train.setup import prepare
from composer.train.tasks import named_parameters


def train_head(stage: TrainHead, *, context: StageContext) -> None:
    """Make a shared masked-LM head; of a trained one keep the epoch with the lowest loss."""
    backbone = prepare(stage.training, context)
    if stage.found is not None:
        head = own_masked_head(context.backbone_folder(), backbone, digest=stage.found)
        write_masked_head(context.out, head, backbone, origin="backbone")
        _write_training(stage, context, Trained())
        return
    text = read_text(stage.texts, stage.rows, stage.training, backbone, context)
    head = new_masked_head(text.counts, backbone)
    trained = _train(stage, head, text, backbone, context)
    write_masked_head(context.out, head, backbone, origin="trained")
    _write_training(stage, context, trained, head, text)


def _train(
    stage: TrainHead,
    head: MaskedHead,
    text: LearntText,
    backbone: Backbone,
    context: StageContext,
) -> Trained:
    model = ComposedModel(backbone, composition=NONE, adapters={})
    device = backbone.word_embeddings.weight.device

    def set_training(*, active: bool) -> None:
        backbone.set_dropout(active=active and stage.training.dropout)

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():  # nothing in the backbone learns
            hidden = model.hidden(batch.tensors)
        return head.loss(hidden, batch.tensors["labels"])

    job = Job(
        parameters=named_parameters({"masked-head": head.part}),
        set_training=set_training,
        epochs=text.training.epochs(),
        loss=loss,
        score=lambda: -held_out_loss(text.held_out, loss, device)[0],
    )
    trained = train(job, stage.training, context)
    backbone.set_dropout(active=False)
    return trained


def _write_training(
    stage: TrainHead,
    context: StageContext,
    trained: Trained,
    head: MaskedHead | None = None,
    text: LearntText | None = None,
) -> None:
    """Say what was trained; nothing, where the head is the backbone's own."""
    TrainingFile(
        **asdict(trained),
        trainable_parameters=head.part.count() if head else 0,
        seed=stage.training.seed,
        training_examples=len(text.training.rows) if text else 0,
        validation_examples=len(text.held_out.rows) if text else 0,
    ).write(context.out / "training.json")
