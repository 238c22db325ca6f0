"""Score a language's adapter, or none, by the masked-LM loss on held-out text of a language.

    loss.json    {"loss": 2.104117, "pieces": 812, "texts": 600, "covered": 0.96, ...}

Under one shared head, with the same pieces of a text hidden for every adapter, so that losses may
be compared: a language's own adapter should have the lowest. In float32, as all scores are.
"""

from torch import Tensor

from composer.model.composed import ComposedModel
from composer.model.files import read_adapter
from composer.model.masked_head_files import read_masked_head
from composer.model.parts import Adapter
from composer.recipe.expansion.stages import ScoreText
from composer.recipe.grammar.composition import NONE, Composition
from composer.train.context import StageContext
from composer.train.loop import Batch
from composer.train.plain_text import held_out_loss, read_split
from composer.train.results import LossFile
from composer.train.setup import prepare

_OWN = "language-adapter"


def score_text(stage: ScoreText, *, context: StageContext) -> None:
    """Take the loss of one adapter on the text of one language, and write it."""
    backbone = prepare(stage.training, context, precision="float32")
    head = read_masked_head(context.inputs[stage.head], backbone)
    text = read_split((stage.data,), stage.split, stage.rows, stage.training, backbone, context)
    text = text.scored_by(head.scored.covers())
    adapters: dict[str, Adapter] = {}
    if stage.adapter is not None:
        adapters[_OWN] = read_adapter(context.inputs[stage.adapter], backbone)
    composition: Composition = _OWN if adapters else NONE
    model = ComposedModel(backbone, composition=composition, adapters=adapters)
    device = backbone.word_embeddings.weight.device
    model.to(device)
    coupling = adapters[_OWN].coupling() if adapters else None

    def loss(batch: Batch) -> Tensor:
        return head.loss(model.hidden(batch.tensors), batch.tensors["labels"], coupling=coupling)

    backbone.set_dropout(active=False)
    mean, pieces = held_out_loss(text, loss, device)
    LossFile(
        loss=round(mean, 6),
        pieces=pieces,
        texts=len(text.rows),
        covered=round(text.covered(), 6),
        language=text.language,
        split=stage.split,
    ).write(context.out / "loss.json")
