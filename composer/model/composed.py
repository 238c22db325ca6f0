"""A model: a frozen backbone, a composition of adapters acting on it, and a head.

How a composition acts is in `composer.model.walk`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from composer.errors import AdapterError
from composer.model.adapters import Site
from composer.model.backbone import Backbone
from composer.model.encoder import Arrived, Changes
from composer.model.methods.changes import changes_of
from composer.model.mixers import Kept, Mixers, TrainedMixers
from composer.model.parts import Adapter, Head
from composer.model.walk import Walk, Watch
from composer.recipe.checking.combining import ill_combined
from composer.recipe.grammar.adapters import BottleneckShape
from composer.recipe.grammar.composition import LANGUAGE, Composition, adapter_names, bind
from composer.recipe.grammar.invertible import is_invertible, misplaced


class ComposedModel(nn.Module):
    """Backbone, composition and head, put together and ready to run.

    The backbone is not a submodule: it is shared, frozen, and in no state of this model.

    Args:
        backbone: Shared by all models.
        composition: May hold "$language", which each call binds.
        adapters: Name in the composition -> adapter.
        mixers: Weights of fusions, gates and norms; None if the composition has none.
        head: Left out for masked language modelling.
        pooling: "mean", "first", or "none" for one output a token.
        products: What products of adapters and mixers are taken in while they learn; None: in the
            precision of their weights.

    Raises:
        AdapterError: An adapter cannot stand where it does in the composition.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        composition: Composition,
        adapters: Mapping[str, Adapter],
        mixers: Mixers | None = None,
        head: Head | None = None,
        pooling: str = "mean",
        products: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _refuse_misplaced(composition, adapters)
        self._backbone = (backbone,)  # a tuple hides it from `nn.Module`
        self.composition = composition
        self.members = nn.ModuleDict({_key(name): adapters[name] for name in sorted(adapters)})
        self.mixers = mixers
        self.owned = mixers.owned if isinstance(mixers, TrainedMixers) else None
        self.head = head
        self.pooling, self.products = pooling, products
        self.watch: Watch | None = None
        self._kept = Kept()

    @property
    def backbone(self) -> Backbone:
        """The frozen backbone."""
        return self._backbone[0]

    def adapter(self, name: str) -> Adapter:
        """Give a member by its name in the composition."""
        return self.members[_key(name)]  # type: ignore[return-value]

    def walk(self, language: str | None = None, *, mask: Tensor | None = None) -> Walk:
        """Give what this model does at sites and behind the embeddings, in one forward pass.

        Args:
            language: Binds `$language`; left out where the composition is bound already.
            mask: (batch, tokens), False at padding, for `watch`; None: sites see no padding.
        """
        return Walk(
            bind(self.composition, language) if language else self.composition,
            adapter=self.adapter,
            mixers=self.mixers,
            kept=self._kept,
            products=self.products,
            watch=self.watch,
            mask=mask,
        )

    def hidden(
        self,
        batch: Mapping[str, Tensor],
        *,
        language: str | None = None,
        first_only: bool = False,
        arrived: Arrived | None = None,
    ) -> Tensor:
        """Run backbone and composition: the last hidden states, (batch, tokens, size).

        Args:
            batch: `input_ids`, `attention_mask`, `token_type_ids`, each (batch, tokens).
            language: Binds `$language`.
            first_only: No token but the first of each text is read; the others may be left out.
            arrived: At `first_site`, to begin there; None: at the beginning.
        """
        packed = self.backbone.encoder is not None  # then no padding reaches a site
        walk = self.walk(language, mask=None if packed else batch["attention_mask"].bool())
        with self.backbone.sites.acting(walk.act, walk.embed):
            changes = self.changes(language)
            return self.backbone.encode(batch, changes, first_only=first_only, arrived=arrived)

    @property
    def first_site(self) -> Site | None:
        """Give the lowest site where a weight acts, the last of all where none does.

        None: something acts before all sites, or the layers are not composer's.
        """
        parts = [*self.members.values(), *([self.owned] if self.owned is not None else [])]
        names = [name for part in parts for name in part.names]  # type: ignore[union-attr]
        moved = any(name.startswith("embeddings.") for name in names)
        if self.backbone.encoder is None or self.acts_inside or moved:
            return None
        order = self.backbone.sites.order
        acting = (site for site in order if any(name.startswith(f"{site}.") for name in names))
        return next(acting, order[-1])

    @property
    def acts_inside(self) -> bool:
        """Say whether a member changes what the encoder itself computes."""
        members = (one.shape for one in self.members.values())
        return any(not isinstance(shape, BottleneckShape) for shape in members)

    def changes(self, language: str | None = None) -> Changes | None:
        """Give what one forward pass changes inside the encoder; None: nothing.

        Args:
            language: Binds `$language`; left out where the composition is bound already.
        """
        return changes_of(
            bind(self.composition, language) if language else self.composition,
            self.adapter,
            self.backbone.encoder,
            self._kept,
        )

    def forward(
        self,
        batch: Mapping[str, Tensor],
        *,
        language: str | None = None,
        arrived: Arrived | None = None,
    ) -> Tensor:
        """Give logits: (batch, classes), or (batch, tokens, classes) where nothing is pooled.

        Args:
            batch: See `hidden`.
            language: Binds `$language`.
            arrived: See `hidden`.
        """
        first_only = self.pooling == "first" and self.watch is None  # which is told of all tokens
        hidden = self.hidden(batch, language=language, first_only=first_only, arrived=arrived)
        if self.head is None:
            raise ValueError("this model has no head")
        pooled = pool(hidden, batch["attention_mask"], self.pooling)
        return self.head.logits(pooled)


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Make one vector of a sentence: the mean of its tokens, or the first; "none": keep all."""
    if pooling == "none":
        return hidden
    if pooling == "first":
        return hidden[:, 0]
    weights = mask.to(hidden.dtype).unsqueeze(-1)  # (batch, tokens, 1)
    return (hidden * weights).sum(1) / weights.sum(1)


def _refuse_misplaced(composition: Composition, adapters: Mapping[str, Adapter]) -> None:
    named, shapes = set(adapter_names(composition)), {n: a.shape for n, a in adapters.items()}
    bound = [shape for name, shape in shapes.items() if name not in named]
    invertible = {name for name, shape in shapes.items() if is_invertible(shape)}
    if invertible - named:
        invertible.add(LANGUAGE)  # what the composition does not name, it will be bound to
    message = misplaced(composition, invertible)
    ways = [shapes, *({**shapes, LANGUAGE: shape} for shape in bound)]
    faults = [fault for way in ways for fault in ill_combined(composition, way)]
    if message is not None or faults:
        raise AdapterError(message or faults[0])


def _key(name: str) -> str:
    return f"member {name}"
