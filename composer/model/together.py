"""One batch, several compositions: each text goes through the one that it asks for.

    logits_together({"intent": intent, "domain": domain}, batch, wanted=["intent", "domain", ...])

The frozen products, nearly all of the work, are taken of all texts at once; only at the sites
does each group of texts meet its own adapters. So a batch with eight adapters in it takes little
longer than a batch with one. Adapters that act inside the layers, a LoRA for example, change those
products: their texts take a pass of their own.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from composer.model.adapters import Site
from composer.model.composed import ComposedModel, pool
from composer.model.walk import Walk


def logits_together(
    models: Mapping[str, ComposedModel], batch: Mapping[str, Tensor], *, wanted: Sequence[str]
) -> list[Tensor]:
    """Give each text's logits by the model that it wants.

    Args:
        models: By name, all on one backbone, each with a head and nothing left to bind.
        batch: `input_ids`, `attention_mask`, `token_type_ids`, each (texts, tokens).
        wanted: Name of a model for each text.

    Returns:
        One tensor a text, (classes,), or (tokens, classes) where the model pools nothing.

    Raises:
        ValueError: A name is unknown, there are not as many names as texts, the models are not
            on one backbone, or one has no head.
    """
    texts = len(batch["input_ids"])
    _check(models, wanted, texts)
    found: dict[int, Tensor] = {}
    for name in sorted(set(wanted)):
        if models[name].acts_inside:
            rows = [number for number, one in enumerate(wanted) if one == name]
            found |= zip(rows, models[name](_rows(batch, rows)).unbind(), strict=True)
    rest = [number for number in range(texts) if number not in found]
    if rest:
        logits = _at_sites(models, _rows(batch, rest), [wanted[number] for number in rest])
        found |= zip(rest, logits, strict=True)
    return [found[number] for number in range(texts)]


def _rows(batch: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    return {name: tensor[rows] for name, tensor in batch.items()}


def _at_sites(
    models: Mapping[str, ComposedModel], batch: Mapping[str, Tensor], wanted: Sequence[str]
) -> list[Tensor]:
    """Give logits by models that act at sites and behind the embeddings only, in one pass."""
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    sorted_batch = _rows(batch, order)
    groups = list(_groups([wanted[number] for number in order]))
    backbone = models[wanted[0]].backbone
    lengths = sorted_batch["attention_mask"].sum(1)
    act = _Acting(
        [models[name].walk() for name, _ in groups],
        texts=[rows.stop - rows.start for _, rows in groups],
        tokens=[int(lengths[rows].sum()) for _, rows in groups] if backbone.encoder else None,
    )
    with backbone.sites.acting(act.at, act.embed):
        hidden = backbone.encode(sorted_batch)
    found: list[Tensor] = []
    for name, rows in groups:
        head, pooling = models[name].head, models[name].pooling
        pooled = pool(hidden[rows], sorted_batch["attention_mask"][rows], pooling)
        if head is not None:  # `_check` saw to it
            found += head.logits(pooled).unbind()
    return [logits for _, logits in sorted(zip(order, found, strict=True), key=lambda one: one[0])]


class _Acting:
    """What acts at sites and behind the embeddings, each group of texts by its own walk.

    Args:
        walks: One a group.
        texts: How many each group has.
        tokens: The same in tokens, where sites see a batch as one text; None: they see texts.
    """

    def __init__(self, walks: list[Walk], *, texts: list[int], tokens: list[int] | None) -> None:
        self.walks, self.texts = walks, texts
        self.sizes, self.dimension = (texts, 0) if tokens is None else (tokens, 1)

    def at(self, site: Site, hidden: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Tensor:
        parts = [torch.split(one, self.sizes, dim=self.dimension) for one in (hidden, residual)]
        acted = [
            walk.act(site, *part, norm) for walk, *part in zip(self.walks, *parts, strict=True)
        ]
        return torch.cat(acted, dim=self.dimension)

    def embed(self, vectors: Tensor) -> Tensor:
        moves = [walk.embed for walk in self.walks]
        if all(move is None for move in moves):
            return vectors
        parts = zip(moves, torch.split(vectors, self.texts), strict=True)
        return torch.cat([part if move is None else move(part) for move, part in parts])


def _groups(names: Sequence[str]) -> Iterator[tuple[str, slice]]:
    """Say where each name stands in a sorted list.

    >>> list(_groups(["a", "a", "b"]))
    [('a', slice(0, 2, None)), ('b', slice(2, 3, None))]
    """
    start = 0
    for end in range(1, len(names) + 1):
        if end == len(names) or names[end] != names[start]:
            yield names[start], slice(start, end)
            start = end


def _check(models: Mapping[str, ComposedModel], wanted: Sequence[str], texts: int) -> None:
    if len(wanted) != texts or not texts:
        raise ValueError(f"{len(wanted)} names for {texts} texts; each text has one")
    unknown = sorted(set(wanted) - models.keys())
    if unknown:
        raise ValueError(f"no model is named {', '.join(unknown)}; there are {', '.join(models)}")
    chosen = [models[name] for name in sorted(set(wanted))]
    if any(model.backbone is not chosen[0].backbone for model in chosen):
        raise ValueError("the models are not on one backbone")
    if any(model.head is None for model in chosen):
        raise ValueError("a model has no head")
