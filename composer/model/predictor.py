"""From texts to what a head says about them: labels, numbers or spans.

predictor.predict([Example(text="turn on the lamp")])
[Prediction(value='HassTurnOn', confidence=0.98)]
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from composer.data.batches import batch_plan, collate
from composer.data.encode import Encoded, Encoder
from composer.data.examples import Example
from composer.data.predictions import Prediction, read_logits
from composer.model.composed import ComposedModel
from composer.model.files import HeadFile


class Predictor:
    """A model with the meaning of its head; evaluation mode, no gradients.

    Any number of threads may predict at a time, with one predictor or with several of one
    backbone: the numbers are those of one thread.

    Args:
        model: With a head.
        about: What the head's outputs mean.
        encoder: Of the model's backbone.
        batch_tokens: Tokens a batch, padding included.
    """

    def __init__(
        self, model: ComposedModel, about: HeadFile, encoder: Encoder, *, batch_tokens: int = 4096
    ) -> None:
        self.model, self.about, self.encoder = model, about, encoder
        self.batch_tokens = batch_tokens

    def predict(
        self, examples: Sequence[Example], *, truncate: bool = False, language: str | None = None
    ) -> list[Prediction]:
        """Predict for examples, in their order.

        Args:
            examples: Only text and pair are read.
            truncate: Cut texts that are too long instead of refusing them.
            language: Binds `$language`.

        Raises:
            DataError: A text is longer than the backbone takes.
        """
        rows = self.encode(examples, truncate=truncate)
        return self.predict_rows(examples, rows, language=language)

    def predict_rows(
        self, examples: Sequence[Example], rows: Sequence[Encoded], *, language: str | None = None
    ) -> list[Prediction]:
        """Predict for examples that are encoded already."""
        logits = self.logits(rows, language=language)
        return [
            self.read(one, example, row)
            for one, example, row in zip(logits, examples, rows, strict=True)
        ]

    def encode(self, examples: Sequence[Example], *, truncate: bool = False) -> list[Encoded]:
        """Encode examples as this task needs them."""
        spans = self.about.type == "token-classification"
        return self.encoder.encode(examples, truncate=truncate, offsets=spans)

    def logits(self, rows: Sequence[Encoded], *, language: str | None = None) -> list[Tensor]:
        """Give each row's logits: (classes,), or (tokens, classes) where nothing is pooled."""
        lengths = [len(row.ids) for row in rows]
        plan = batch_plan(lengths, batch_tokens=self.batch_tokens, shuffle=False)
        found: dict[int, Tensor] = {}
        self.model.eval()
        with self.model.backbone.predicting(), torch.inference_mode():
            for indices in plan:
                outputs = self._outputs([rows[index] for index in indices], language)
                for index, output in zip(indices, outputs, strict=True):
                    found[index] = output[: lengths[index]] if output.ndim > 1 else output
        return [found[index] for index in range(len(rows))]

    def _outputs(self, rows: Sequence[Encoded], language: str | None) -> Tensor:
        backbone = self.model.backbone
        device = backbone.word_embeddings.weight.device
        arrays = collate(rows, pad_id=backbone.pad_id)
        batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        return self.model(batch, language=language).float().cpu()  # type: ignore[no-any-return]

    def read(self, logits: Tensor, example: Example, row: Encoded) -> Prediction:
        """Say what an example's logits mean."""
        about = self.about
        return read_logits(logits.numpy(), example, row, type=about.type, labels=about.labels)
