"""Train a language adapter by masked language modelling on plain text.

Which tokens are hidden is drawn anew each epoch, from (seed, epoch, batch), so resuming repeats
nothing. The output layer scores only the tokens that the text uses: a square map in front of
the backbone's own, frozen token embeddings. It is of no use to a task and is not kept. What an
invertible adapter did to the embeddings is undone just before the scores are taken, as in MAD-X.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from composer.data.batches import batch_plan, collate, pad
from composer.data.bio import IGNORED
from composer.data.encode import Encoded, Encoder
from composer.data.masking import mask_tokens
from composer.data.sources import read_examples
from composer.data.tasks import check_examples
from composer.errors import AdapterError, BackboneError
from composer.model.arithmetic import Coupling, uncouple
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.files import write_adapter
from composer.model.parts import Part, new_adapter
from composer.recipe.schema import BottleneckAdapter, MAdapter, Split, Training
from composer.recipe.stages import TrainLanguage
from composer.train.context import StageContext
from composer.train.labelled import truncates, where
from composer.train.loop import Batch, Epoch, Job, train
from composer.train.results import TrainingFile
from composer.train.setup import encoder_for, prepare
from composer.train.tasks import named_parameters

_OWN = "language-adapter"
_HELD_OUT_SEED = 0  # the same tokens are hidden each time the held-out text is scored


def train_language(stage: TrainLanguage, *, context: StageContext) -> None:
    """Train a language adapter; keep the epoch with the lowest held-out loss."""
    if not isinstance(stage.shape, BottleneckAdapter | MAdapter):
        raise AdapterError(f"{stage.name}: not yet: adapters of kind {stage.shape.kind!r}")
    backbone = prepare(stage.training, context)
    text = _read_text(stage, backbone, context)
    generator = torch.Generator().manual_seed(stage.training.seed)
    adapter = new_adapter(
        stage.shape, sites=backbone.norms, size=backbone.size, generator=generator
    )
    output = OutputLayer(text.vocabulary, backbone)
    model = ComposedModel(backbone, composition=_OWN, adapters={_OWN: adapter})
    model.to(backbone.word_embeddings.weight.device)
    learnt: dict[str, Part] = {"adapter": adapter, "output": output.part}

    def set_training(*, active: bool) -> None:
        backbone.set_dropout(active=active and stage.training.dropout)
        for part in learnt.values():
            part.train(active)

    def loss(batch: Batch) -> Tensor:
        hidden = model.hidden(batch.tensors)
        return output.loss(hidden, batch.tensors["labels"], coupling=adapter.coupling())

    job = Job(
        parameters=named_parameters(learnt),
        set_training=set_training,
        epochs=text.epochs(stage.training),
        loss=loss,
        score=lambda: -_held_out_loss(text, loss, backbone.word_embeddings.weight.device),
    )
    trained = train(job, stage.training, context)
    backbone.set_dropout(active=False)
    write_adapter(context.out, adapter, backbone)
    counted = sum(tensor.numel() for tensor in adapter.tensors().values())
    TrainingFile(
        **asdict(trained),
        trainable_parameters=counted,
        seed=stage.training.seed,
        training_examples=len(text.training),
        validation_examples=len(text.held_out),
    ).write(context.out / "training.json")


class OutputLayer:
    """Scores over the tokens in use: A^-1(hidden W + b) E^T + c, with E the frozen embeddings.

    A is what an invertible adapter does to embeddings; others leave it out.

    Args:
        vocabulary: Token ids that the text uses, ascending.
        backbone: Whose embeddings are used.
    """

    def __init__(self, vocabulary: NDArray[np.int64], backbone: Backbone) -> None:
        table = backbone.word_embeddings.weight.detach()
        self.embeddings = table[torch.from_numpy(vocabulary).to(table.device)]  # (tokens, size)
        self.row = torch.full((len(table),), IGNORED, device=table.device)
        self.row[torch.from_numpy(vocabulary).to(table.device)] = torch.arange(
            len(vocabulary), device=table.device
        )
        scale = 1.0 / math.sqrt(backbone.size)
        self.part = Part(
            {
                "weight": scale * torch.eye(backbone.size),
                "bias": torch.zeros(backbone.size),
                "token_bias": torch.zeros(len(vocabulary)),
            }
        ).to(table.device)

    def loss(self, hidden: Tensor, labels: Tensor, *, coupling: Coupling | None = None) -> Tensor:
        """Give the mean loss over the hidden tokens: (batch, tokens, size), (batch, tokens)."""
        chosen = labels != IGNORED
        inputs = F.linear(hidden[chosen], self.part["weight"], self.part["bias"])
        if coupling is not None:
            inputs = uncouple(inputs, coupling)
        scores = F.linear(inputs, self.embeddings, self.part["token_bias"])
        return F.cross_entropy(scores, self.row[labels[chosen]])


@dataclass(frozen=True, kw_only=True)
class Text:
    """Plain text of one language, as token ids.

    Attributes:
        training: Sentences to learn from.
        held_out: Sentences to judge by.
        vocabulary: Token ids that occur, ascending.
        language: Its tag.
        encoder: Knows the mask token.
        batch_tokens: Tokens a batch.
    """

    training: list[Encoded]
    held_out: list[Encoded]
    vocabulary: NDArray[np.int64]
    language: str
    encoder: Encoder
    batch_tokens: int

    def epochs(self, training: Training) -> list[Epoch]:
        """Plan the batches of every epoch, each with tokens of its own hidden."""
        return [
            self._epoch(
                batch_plan(
                    [len(row.ids) for row in self.training],
                    batch_tokens=self.batch_tokens,
                    seed=training.seed,
                    epoch=number,
                ),
                self.training,
                (training.seed, number),
            )
            for number in range(training.epochs)
        ]

    def held_out_epoch(self) -> Epoch:
        """Plan the held-out batches; the same tokens are hidden each time."""
        lengths = [len(row.ids) for row in self.held_out]
        plan = batch_plan(lengths, batch_tokens=self.batch_tokens, shuffle=False)
        return self._epoch(plan, self.held_out, (_HELD_OUT_SEED, 0))

    def _epoch(
        self, plan: list[list[int]], rows: Sequence[Encoded], seed: tuple[int, int]
    ) -> Epoch:
        def batch(number: int) -> Batch:
            chosen = [rows[index] for index in plan[number]]
            arrays = collate(chosen, pad_id=self.encoder.pad_id)
            rng = np.random.Generator(np.random.PCG64([*seed, number]))
            hidden, labels = mask_tokens(
                arrays["input_ids"].astype(np.int64),
                pad([row.special for row in chosen], 1),
                mask_id=self.encoder.mask_id or 0,
                vocabulary=self.vocabulary,
                rng=rng,
            )
            arrays = {**arrays, "input_ids": hidden, "labels": labels}
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            return Batch(tensors=tensors, language=self.language)

        return Epoch(count=len(plan), batch=batch)


def _read_text(stage: TrainLanguage, backbone: Backbone, context: StageContext) -> Text:
    encoder = encoder_for(backbone)
    if encoder.mask_id is None:
        raise BackboneError(
            "the backbone's tokenizer has no mask token ([MASK] or <mask>), so a language adapter "
            "cannot be trained on it"
        )
    training, held_out = (
        _read(stage, split, encoder, context) for split in ("train", "validation")
    )
    used = {token for row in [*training, *held_out] for token in row.ids}
    return Text(
        training=training,
        held_out=held_out,
        vocabulary=np.array(sorted(used), dtype=np.int64),
        language=stage.data.languages[0],
        encoder=encoder,
        batch_tokens=stage.training.batch_tokens,
    )


def _read(
    stage: TrainLanguage, split: Split, encoder: Encoder, context: StageContext
) -> list[Encoded]:
    language = stage.data.languages[0]
    examples = read_examples(
        stage.data.source, type=None, language=language, split=split, **where(context)
    )
    check_examples(examples, type=None, labels=(), split=split)
    return encoder.encode(examples, truncate=truncates(stage.data))


def _held_out_loss(text: Text, loss: Callable[[Batch], Tensor], device: torch.device) -> float:
    """Give the mean loss over all hidden tokens of the held-out text."""
    epoch = text.held_out_epoch()
    total, count = 0.0, 0
    for number in range(epoch.count):
        batch = epoch.batch(number)
        tensors = {name: tensor.to(device) for name, tensor in batch.tensors.items()}
        hidden = int((batch.tensors["labels"] != IGNORED).sum())
        with torch.inference_mode():
            total += hidden * float(loss(replace(batch, tensors=tensors)))
        count += hidden
    return total / max(1, count)
