"""Train a language adapter by masked language modelling on plain text.

Hidden pieces are scored by a masked-LM head that all languages share, trained before and frozen
now, or by an output layer that is learnt beside the adapter; neither is kept with it, as neither
is of use to a task. What an invertible adapter did to the embeddings is undone just before the
scores are taken, as in MAD-X.
"""

from dataclasses import asdict

import torch
from torch import Tensor

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.files import write_adapter
from composer.model.masked_head_files import read_masked_head
from composer.model.masked_lm import MaskedHead, OutputLayer
from composer.model.methods.kinds import new_adapter
from composer.model.parts import Part
from composer.recipe.expansion.stages import TrainLanguage
from composer.train.context import StageContext
from composer.train.loop import Batch, Job, train
from composer.train.plain_text import LearntText, held_out_loss, read_text
from composer.train.results import TrainingFile
from composer.train.setup import prepare
from composer.train.sparsity import masking
from composer.train.tasks import named_parameters

_OWN = "language-adapter"


def train_language(stage: TrainLanguage, *, context: StageContext) -> None:
    """Train a language adapter; keep the epoch with the lowest held-out loss."""
    backbone = prepare(stage.training, context)
    text = read_text((stage.data,), stage.rows, stage.training, backbone, context)
    generator = torch.Generator().manual_seed(stage.training.seed)
    adapter = new_adapter(stage.shape, backbone=backbone, generator=generator)
    output, text = _output(stage, text, backbone, context)
    model = ComposedModel(backbone, composition=_OWN, adapters={_OWN: adapter})
    device = backbone.word_embeddings.weight.device
    model.to(device)
    learnt: dict[str, Part] = {"adapter": adapter}
    if stage.head is None:
        learnt["output"] = output.part

    def set_training(*, active: bool) -> None:
        backbone.set_dropout(active=active and stage.training.dropout)
        for part in learnt.values():
            part.train(active)

    def loss(batch: Batch) -> Tensor:
        hidden = model.hidden(batch.tensors)
        return output.loss(hidden, batch.tensors["labels"], coupling=adapter.coupling())

    epochs, seed = text.training.epochs(), stage.training.seed
    job = Job(
        parameters=named_parameters(learnt),
        set_training=set_training,
        epochs=epochs,
        loss=loss,
        score=lambda: -held_out_loss(text.held_out, loss, device)[0],
        decide=masking(adapter, loss=loss, epoch=epochs[0], seed=seed, device=device),
    )
    trained = train(job, stage.training, context)
    backbone.set_dropout(active=False)
    write_adapter(context.out, adapter, backbone)
    TrainingFile(
        **asdict(trained),
        trainable_parameters=adapter.count(),
        seed=seed,
        training_examples=len(text.training.rows),
        validation_examples=len(text.held_out.rows),
    ).write(context.out / "training.json")


def _output(
    stage: TrainLanguage, text: LearntText, backbone: Backbone, context: StageContext
) -> tuple[OutputLayer | MaskedHead, LearntText]:
    """Give what scores hidden pieces, and the text with nothing hidden that it does not score."""
    if stage.head is None:
        return OutputLayer(text.training.vocabulary, backbone), text
    head = read_masked_head(context.inputs[stage.head], backbone)
    return head, text.scored_by(head.scored.covers())
