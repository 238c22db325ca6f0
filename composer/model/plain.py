"""A trained composition as a plain `transformers` model, with its tokenizer.

    model, tokenizer = plain_model(predictor)
    transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)

It computes what composer computes: the model here only takes and gives what that library expects.
It is for use. It stays in evaluation mode, its weights are frozen, and it is not saved in that
library's form: a bundle is what is kept, and no code of a model folder is ever run.
"""

from collections.abc import Callable
from typing import NamedTuple, Never

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput

from composer.data.bio import IGNORED, tag_names
from composer.errors import BackboneError, BundleError
from composer.model.backbone import Backbone
from composer.model.files import HeadFile
from composer.model.folded import FoldedMixers
from composer.model.predictor import Predictor

_PROBLEMS = {
    "text-classification": "single_label_classification",
    "multi-label-classification": "multi_label_classification",
    "regression": "regression",
    "token-classification": "single_label_classification",
}
_NUMBER = "value"  # name of a regression's only output


class ComposedConfig(PretrainedConfig):
    """What that library asks of a model: the meaning of its outputs, and the backbone's numbers."""

    model_type = "composed"


class _Composed(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A composition on its backbone, called as that library calls a model.

    Args:
        config: Says what the outputs mean.
        predictor: Computes them; its backbone is this model's own.
    """

    config_class = ComposedConfig

    def __init__(self, config: ComposedConfig, predictor: Predictor) -> None:
        super().__init__(config)
        self._backbone = (predictor.model.backbone,)
        self.composition = predictor.model
        self.backbone = self._backbone[0].module  # a submodule here: it moves to a device as well
        self.max_tokens = predictor.encoder.max_tokens
        self.train(mode=False)

    def train(self, mode: bool = True) -> "_Composed":
        """Stay in evaluation mode, whatever is asked: nothing here is learnt."""
        super().train(mode=False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "_Composed":
        """Move or widen all weights, those too that composer keeps beside the modules."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if (encoder := self._backbone[0].encoder) is not None:
            encoder.read_weights()
        if isinstance(self.composition.mixers, FoldedMixers):
            self.composition.mixers.change(fn)
        return self

    def logits(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None
    ) -> Tensor:
        """Give (batch, classes), or (batch, tokens, classes) where nothing is pooled."""
        length = input_ids.shape[-1]
        if length > self.max_tokens:
            raise BackboneError(
                f"input_ids: {length} tokens, and the backbone takes {self.max_tokens}; shorten "
                "the texts, or cut them: truncation=True"
            )
        batch = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids)
            if attention_mask is None
            else attention_mask,
            "token_type_ids": torch.zeros_like(input_ids)
            if token_type_ids is None
            else token_type_ids,
        }
        with self._backbone[0].predicting():
            return self.composition(batch).float()  # type: ignore[no-any-return]

    def save_pretrained(self, *args: object, **kwargs: object) -> Never:
        """Refuse: what is kept of a composition is its bundle.

        Raises:
            BundleError: Always.
        """
        raise BundleError(
            "a composition is not saved as a transformers model, which would lose what it was "
            "made of; keep its bundle (composer.export) and open that (composer.to_transformers)"
        )

    push_to_hub = save_pretrained  # type: ignore[assignment] # refused before the hub is asked


class ComposedForSequenceClassification(_Composed):  # type: ignore[no-untyped-call]
    """A composition that gives a text's label, labels or number."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput | tuple[Tensor, ...]:
        """Compute logits, and the loss where labels are given.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 0 at padding; left out: nothing is padding.
            token_type_ids: (batch, tokens), 1 in the second text of a pair; left out: 0.
            labels: (batch,) class numbers or values, or (batch, classes) of 0 and 1.
            return_dict: False: a plain tuple.

        Raises:
            BackboneError: More tokens than the backbone takes.
        """
        logits = self.logits(input_ids, attention_mask, token_type_ids)
        loss = None if labels is None else self._loss(logits, labels)
        output = SequenceClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]
        return output.to_tuple() if return_dict is False else output

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        match self.config.problem_type:
            case "regression":
                return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype).view(len(logits)))
            case "multi_label_classification":
                return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return F.cross_entropy(logits, labels.view(-1))


class ComposedForTokenClassification(_Composed):  # type: ignore[no-untyped-call]
    """A composition that tags tokens."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> TokenClassifierOutput | tuple[Tensor, ...]:
        """Compute logits, and the loss where labels are given.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 0 at padding; left out: nothing is padding.
            token_type_ids: (batch, tokens), 1 in the second text of a pair; left out: 0.
            labels: (batch, tokens) of tag numbers; -100: not counted.
            return_dict: False: a plain tuple.

        Raises:
            BackboneError: More tokens than the backbone takes.
        """
        logits = self.logits(input_ids, attention_mask, token_type_ids)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        output = TokenClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]
        return output.to_tuple() if return_dict is False else output


# So that pipelines know them by name; no folder is ever opened by this.
AutoModelForSequenceClassification.register(ComposedConfig, ComposedForSequenceClassification)
AutoModelForTokenClassification.register(ComposedConfig, ComposedForTokenClassification)


class PlainModel(NamedTuple):
    """A model and the tokenizer of its backbone, as `transformers` uses them.

    Attributes:
        model: Called with token ids; gives logits.
        tokenizer: Makes the token ids.
    """

    model: ComposedForSequenceClassification | ComposedForTokenClassification
    tokenizer: PreTrainedTokenizerFast

    def __repr__(self) -> str:
        labels = ", ".join((self.model.config.id2label or {}).values())
        return f"<{type(self.model).__name__} of {labels}; and its tokenizer>"


def plain_model(predictor: Predictor) -> PlainModel:
    """Make a plain model of a composition that is put on a backbone of its own."""
    about, backbone = predictor.about, predictor.model.backbone
    tokens = about.type == "token-classification"
    kind = ComposedForTokenClassification if tokens else ComposedForSequenceClassification
    model = kind(_config(about, backbone), predictor)
    model.requires_grad_(requires_grad=False)
    pad = backbone.tokenizer.id_to_token(backbone.pad_id)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backbone.tokenizer,  # it takes a copy
        model_max_length=predictor.encoder.max_tokens,
        pad_token=pad,
    )
    return PlainModel(model=model, tokenizer=tokenizer)


def _config(about: HeadFile, backbone: Backbone) -> ComposedConfig:
    names = tag_names(about.labels) if about.type == "token-classification" else about.labels
    names = names or (_NUMBER,)
    return ComposedConfig(
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        problem_type=_PROBLEMS[about.type],
        hidden_size=backbone.size,
        num_hidden_layers=backbone.config.num_hidden_layers,
        vocab_size=backbone.config.vocab_size,
        pad_token_id=backbone.pad_id,
        architectures=[
            "ComposedForTokenClassification"
            if about.pooling == "none"
            else "ComposedForSequenceClassification"
        ],
    )
