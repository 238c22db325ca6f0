"""Put a model together from the published results of stages."""

from collections.abc import Mapping
from pathlib import Path

from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.files import HeadFile, read_adapter, read_head, read_owned
from composer.model.mixers import TrainedMixers
from composer.recipe.grammar.composition import Composition


def assemble(
    composition: Composition,
    *,
    parts: Mapping[str, Path],
    owner: Path,
    backbone: Backbone,
) -> tuple[ComposedModel, HeadFile]:
    """Read adapters, fusion and head, all frozen, and put them on a backbone.

    Args:
        composition: Bound: no `$language` in it.
        parts: Adapter name -> folder of its stage's result.
        owner: Folder of the stage whose head, and if it is a composition whose fusion, is used.
        backbone: What they were trained on.

    Raises:
        AdapterError: A part was trained on another backbone, or its files disagree.
    """
    stored = read_head(owner, backbone)
    owned = read_owned(owner, backbone)
    model = ComposedModel(
        backbone,
        composition=composition,
        adapters={name: read_adapter(folder, backbone) for name, folder in parts.items()},
        mixers=TrainedMixers(owned) if owned else None,
        head=stored.head,
        pooling=stored.about.pooling,
    )
    return model.to(backbone.word_embeddings.weight.device), stored.about
