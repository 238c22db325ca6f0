"""Plain text as batches with hidden pieces, in memory that does not grow with the text.

Sentences are read, cut into pieces and written to files of the stage's own once
(`composer.data.tokens`); a batch reads the rows that it needs. Which pieces are hidden is drawn
anew each epoch, from (seed, epoch, batch), so resuming repeats nothing; of held-out text it is
always the same ones.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composer.data.batches import collate, pad
from composer.data.bio import IGNORED
from composer.data.encode import Encoded, Encoder
from composer.data.examples import Example
from composer.data.faults import FaultList
from composer.data.masking import mask_tokens
from composer.data.plain import read_sentences
from composer.data.tokens import (
    Marked,
    TokenFile,
    marked,
    open_tokens,
    packed,
    write_tokens,
)
from composer.data.windows import WindowedPlan
from composer.errors import BackboneError, DataError, StoreError
from composer.model.backbone import Backbone
from composer.recipe.expansion.stages import DataUse, Rows
from composer.recipe.grammar.data import Split
from composer.recipe.grammar.training import Training
from composer.train.context import StageContext
from composer.train.labelled import truncates, where
from composer.train.loop import Batch, Epoch
from composer.train.processes import Processes
from composer.train.setup import encoder_for

logger = logging.getLogger(__name__)

_HELD_OUT_SEED = 0  # the same pieces are hidden each time the held-out text is scored
_TOGETHER = 1000  # sentences that are cut into pieces at a time


@dataclass(frozen=True, kw_only=True)
class Text:
    """One split of plain text, as token ids in files.

    Attributes:
        rows: Any of which is read without the others.
        language: Of the text; of several, the first.
        encoder: Knows the mask token.
        settings: Epochs, seed, and how large a batch is.
        whole_words: Whether all pieces of a word are hidden together.
        vocabulary: What a piece may be replaced by, ascending.
        scored: Of each id of the backbone, whether it may be hidden; None: all may.
    """

    rows: TokenFile
    language: str
    encoder: Encoder
    settings: Training
    whole_words: bool
    vocabulary: NDArray[np.int64]
    scored: NDArray[np.bool_] | None = None

    def epochs(self) -> list[Epoch]:
        """Plan the batches of every epoch, each with pieces of its own hidden."""
        seed = self.settings.seed
        return [
            self._epoch(self._plan(seed=seed, epoch=number), (seed, number))
            for number in range(self.settings.epochs)
        ]

    def held_out_epoch(self) -> Epoch:
        """Plan the batches to judge by; the same pieces are hidden each time."""
        return self._epoch(self._plan(shuffle=False), (_HELD_OUT_SEED, 0))

    def covered(self) -> float:
        """Give the share of its pieces that may be hidden, special tokens left out."""
        plain = self.rows.counts - self.rows.special
        if self.scored is None:
            return 1.0
        return float(plain[self.scored[: len(plain)]].sum() / max(1, plain.sum()))

    def scored_by(self, covers: NDArray[np.bool_]) -> "Text":
        """Give the same text with nothing hidden but what a head scores."""
        return replace(self, scored=covers)

    def _plan(self, *, seed: int = 0, epoch: int = 0, shuffle: bool = True) -> WindowedPlan:
        return WindowedPlan(
            self.rows,
            batch_tokens=self.settings.batch_tokens,
            batch_examples=self.settings.batch_examples,
            seed=seed,
            epoch=epoch,
            shuffle=shuffle,
        )

    def _epoch(self, plan: WindowedPlan, seed: tuple[int, int]) -> Epoch:
        def batch(number: int) -> Batch:
            rng = np.random.Generator(np.random.PCG64([*seed, number]))
            return Batch(
                tensors=self._hidden(self.rows.rows(plan[number]), rng), language=self.language
            )

        return Epoch(count=len(plan), batch=batch)

    def _hidden(self, rows: list[Encoded], rng: np.random.Generator) -> dict[str, Tensor]:
        arrays = collate(rows, pad_id=self.encoder.pad_id)
        ids = arrays["input_ids"].astype(np.int64)
        special = pad([row.special for row in rows], 1)
        if self.scored is not None:
            special = special | ~self.scored[ids]
        hidden, labels = mask_tokens(
            ids,
            special,
            mask_id=self.encoder.mask_id or 0,
            vocabulary=self.vocabulary,
            rng=rng,
            continues=pad([row.continues for row in rows], 0) if self.whole_words else None,
        )
        arrays = {**arrays, "input_ids": hidden, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass(frozen=True, kw_only=True)
class LearntText:
    """What is learnt from plain text, and what it is judged by.

    Attributes:
        training: To learn from.
        held_out: To judge by.
        counts: How often each id of the backbone occurs in both, but as a special token.
    """

    training: Text
    held_out: Text
    counts: NDArray[np.int64]

    def scored_by(self, covers: NDArray[np.bool_]) -> "LearntText":
        """Give the same text with nothing hidden but what a head scores; say how much that is."""
        training, held_out = (one.scored_by(covers) for one in (self.training, self.held_out))
        if (share := training.covered()) < 1:
            logger.warning(
                "%.1f %% of the pieces of the text of %s are none that the shared masked-LM head "
                "scores; they are read, and never hidden",
                100 * (1 - share),
                training.language,
            )
        return replace(self, training=training, held_out=held_out)


def read_text(
    uses: Sequence[DataUse],
    rows: Rows,
    settings: Training,
    backbone: Backbone,
    context: StageContext,
) -> LearntText:
    """Read the text that a stage learns from, and what it is judged by.

    Raises:
        BackboneError: The backbone has no mask token.
        DataError: Every fault found, by file and row.
    """
    training, held_out = (
        read_split(uses, split, rows, settings, backbone, context)
        for split in ("train", "validation")
    )
    used = np.zeros((2, len(backbone.word_embeddings.weight)), dtype=np.int64)
    for rows_of in (training.rows, held_out.rows):
        used[0, : len(rows_of.counts)] += rows_of.counts
        used[1, : len(rows_of.counts)] += rows_of.special
    vocabulary = np.flatnonzero(used[0])
    return LearntText(
        training=replace(training, vocabulary=vocabulary),
        held_out=replace(held_out, vocabulary=vocabulary),
        counts=used[0] - used[1],
    )


def read_split(
    uses: Sequence[DataUse],
    split: Split,
    rows: Rows,
    settings: Training,
    backbone: Backbone,
    context: StageContext,
) -> Text:
    """Read one split of plain text; what was read before the stage was stopped is taken.

    Raises:
        BackboneError: The backbone has no mask token.
        DataError: Every fault found, by file and row.
    """
    encoder = encoder_for(backbone)
    if encoder.mask_id is None:
        raise BackboneError(
            "the backbone's tokenizer has no mask token ([MASK] or <mask>), so a language adapter "
            "cannot be trained on it"
        )
    rank = Processes.here().rank  # each of several processes has files of its own
    folder = context.checkpoint / f"text-{split}{f'-{rank}' if rank else ''}"
    found = open_tokens(folder)
    if found is None:
        try:
            write_tokens(folder, _marked(uses, split, rows, encoder, context))
        except OSError as error:
            message = f"{folder}: the text's tokens cannot be written: {error.strerror}"
            raise StoreError(message) from error
        found = open_tokens(folder)
    if found is None:
        raise StoreError(f"{folder}: what was just written cannot be read; is the disk sound?")
    return Text(
        rows=found,
        language=uses[0].languages[0],
        encoder=encoder,
        settings=settings,
        whole_words=rows.whole_words,
        vocabulary=np.flatnonzero(found.counts),
    )


def _marked(
    uses: Sequence[DataUse], split: Split, rows: Rows, encoder: Encoder, context: StageContext
) -> Iterator[Marked]:
    """Cut the sentences of all languages into pieces, and join those of each if asked to.

    Raises:
        DataError: At the end; every fault found.
    """
    faults = FaultList()
    for use in uses:
        for language in use.languages:
            sentences = read_sentences(use.source, language=language, split=split, **where(context))
            pieces = _pieces(sentences, use, encoder, faults, words=rows.whole_words)
            yield from packed(pieces, rows.pack_tokens) if rows.pack_tokens else pieces
    faults.raise_any()


def _pieces(
    sentences: Iterator[Example], use: DataUse, encoder: Encoder, faults: FaultList, *, words: bool
) -> Iterator[Marked]:
    try:
        while some := list(islice(sentences, _TOGETHER)):
            try:
                encoded = encoder.encode(some, truncate=truncates(use), words=words)
            except DataError as error:
                faults.extend(error)
            else:
                yield from map(marked, encoded)
    except DataError as error:
        faults.extend(error)


def held_out_loss(
    text: Text, loss: Callable[[Batch], Tensor], device: torch.device
) -> tuple[float, int]:
    """Give the mean loss over all hidden pieces of a held-out text, and how many those are."""
    epoch = text.held_out_epoch()
    total, count = 0.0, 0
    for number in range(epoch.count):
        batch = epoch.batch(number)
        hidden = int((batch.tensors["labels"] != IGNORED).sum())
        if hidden:
            tensors = {name: tensor.to(device) for name, tensor in batch.tensors.items()}
            with torch.inference_mode():
                total += hidden * float(loss(replace(batch, tensors=tensors)))
        count += hidden
    return total / max(1, count), count
