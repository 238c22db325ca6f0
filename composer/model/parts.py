"""Trained parts: adapters, what a composition owns, and heads.

A part is an `nn.Module` whose state has the names that files and bundles use:

    adapter      3.output.down (width, size)   3.output.down_bias (width,)
                 3.output.middle.0 (width, width)   3.output.middle.0_bias (width,)
                 3.output.up (size, width)     3.output.up_bias (size,)
                 3.output.scaling (1,)         if learned
                 3.output.norm_weight (size,)  3.output.norm_bias (size,)    if trained
                 embeddings.f_down (quarter, half)   embeddings.f_down_bias (quarter,)
                 embeddings.f_up (half, quarter)     and so on; g the same   if invertible
    composition  3.output.0.query (size, size) ... for mixer 0, and the norms
    head         weight (classes, size)   bias (classes,)
                 dense (size, size)       dense_bias (size,)       if it has two layers
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter, ParameterDict

from composer.errors import AdapterError
from composer.model.adapters import Site
from composer.model.arithmetic import ACTIVATIONS, Coupling, TwoLayers, sum_of
from composer.model.initial import initial, normal
from composer.recipe.grammar.adapters import (
    AdapterShape,
    BottleneckShape,
    MAdapter,
    NonLinearity,
    Placement,
    sub_layers,
)
from composer.recipe.grammar.invertible import coupling_matrices, halves
from composer.recipe.sizes.fit import bottleneck_width


class Part(nn.Module):
    """Parameters by site, under flat names.

    `nn.Module` does not allow a dot in a name, so parameters are kept in one dictionary with
    the dots replaced; `tensors` and `load` speak the names of files.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(sorted(tensors))
        self.parameters_by_name = ParameterDict(
            {_key(name): Parameter(tensors[name].clone()) for name in self.names}
        )

    def __getitem__(self, name: str) -> Tensor:
        return self.parameter(name)

    def parameter(self, name: str) -> Parameter:
        """Give a parameter by the name that files use."""
        return self.parameters_by_name[_key(name)]  # type: ignore[no-any-return]

    def __contains__(self, name: str) -> bool:
        return _key(name) in self.parameters_by_name

    def tensors(self) -> dict[str, Tensor]:
        """Give every tensor by the name that files use."""
        return {name: self[name].detach() for name in self.names}

    def load(self, tensors: Mapping[str, Tensor], *, what: str) -> None:
        """Take over stored values; any missing, unexpected or misshapen tensor is an error."""
        faults = [f"{name} is missing" for name in self.names if name not in tensors]
        faults += [f"{name} is unexpected" for name in sorted(tensors) if name not in self.names]
        faults += [
            f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(self[name].shape)}"
            for name in self.names
            if name in tensors and tensors[name].shape != self[name].shape
        ]
        if faults:
            raise AdapterError(f"{what} does not fit: {'; '.join(faults)}")
        with torch.no_grad():
            for name in self.names:
                self[name].copy_(tensors[name])

    def freeze(self) -> None:
        """Stop gradients; a frozen part also ignores dropout."""
        self.requires_grad_(requires_grad=False)
        self.eval()

    def count(self) -> int:
        """Count the weights that are trained."""
        return sum(self[name].numel() for name in self.names)


class Adapter(Part):
    """An adapter of any kind: its shape, and its weights."""

    def __init__(self, shape: AdapterShape, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.shape = shape

    def acts_at(self, site: Site) -> bool:
        """Say whether a bottleneck of it adds to the hidden states at a site."""
        return False

    def coupling(self) -> Coupling | None:
        """Give what it does to the embeddings; None: nothing."""
        return None


class Bottleneck(Adapter):
    """Bottlenecks behind sub-layers, with or without middle layers.

    Attributes:
        masks: Name of a tensor -> True where a weight is kept; empty where none is masked.
    """

    shape: BottleneckShape

    def __init__(
        self,
        shape: BottleneckShape,
        tensors: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(shape, tensors)
        self.masks = dict(masks or {})

    def mask(self, masks: Mapping[str, Tensor]) -> None:
        """Mask weights for good: they are zero, and what is learnt does not move them.

        A weight and a gradient of zero leave the optimiser's moments and its decay at zero.

        Args:
            masks: Name of a tensor -> True where a weight is kept.
        """
        self.masks = dict(masks)
        for name, kept in masks.items():
            dropped = ~kept
            with torch.no_grad():
                self.parameter(name).masked_fill_(dropped, 0.0)
            hook = partial(_unmoved, dropped)
            self.parameter(name).register_hook(hook)  # type: ignore[no-untyped-call]

    def count(self) -> int:
        """Count the weights that are trained: not those that are masked."""
        return super().count() - sum(int((~kept).sum()) for kept in self.masks.values())

    def acts_at(self, site: Site) -> bool:
        """Say whether the adapter has weights at a site."""
        return f"{site}.down" in self

    def scaling(self, site: Site) -> Tensor | float:
        """Give the factor on what is added at a site."""
        scaling = self.shape.scaling
        return self[f"{site}.scaling"] if scaling == "learned" else scaling

    def bias(self, name: str, size: int) -> Tensor:
        """Give a bias, or zeros where the shape has none."""
        return self[name] if name in self else next(self.parameters()).new_zeros(size)

    def coupling(self) -> Coupling | None:
        """Give what it does to the embeddings; None: it is not invertible."""
        if not self.shape.invertible:
            return None
        return Coupling(f=self._two_layers("f"), g=self._two_layers("g"))

    def _two_layers(self, name: str) -> TwoLayers:
        down, up = (self[f"embeddings.{name}_{which}"] for which in ("down", "up"))
        return TwoLayers(
            down=down,
            down_bias=self.bias(f"embeddings.{name}_down_bias", len(down)),
            up=up,
            up_bias=self.bias(f"embeddings.{name}_up_bias", len(up)),
            non_linearity=self.shape.non_linearity,
        )

    def middle(self, site: Site) -> list[tuple[Tensor, Tensor]]:
        """List weight and bias of the middle layers at a site."""
        if not isinstance(self.shape, MAdapter):
            return []
        return [
            (weight, self.bias(f"{site}.middle.{depth}_bias", len(weight)))
            for depth in range(self.shape.middle_layers)
            for weight in [self[f"{site}.middle.{depth}"]]
        ]


def adapter_sites(shape: BottleneckShape, sites: Iterable[Site]) -> list[Site]:
    """List the sites at which an adapter of this shape has weights."""
    wanted = sub_layers(shape.placement)
    return [site for site in sites if site.where in wanted and site.layer not in shape.leave_out]


def new_bottleneck(
    shape: BottleneckShape,
    *,
    sites: Mapping[Site, nn.LayerNorm],
    size: int,
    generator: torch.Generator,
) -> Bottleneck:
    """Make an untrained bottleneck adapter: matrices as `init` says, norms the backbone's.

    Args:
        shape: From the recipe.
        sites: Every site of the backbone with the norm behind it.
        size: Hidden size of the backbone.
        generator: Source of the weights; consumed in order of sites, then for the embeddings.

    Raises:
        AdapterError: It is invertible, and the hidden size has no halves.
    """
    tensors: dict[str, Tensor] = {}
    for site in adapter_sites(shape, sites):
        width = bottleneck_width(shape, size, layer=site.layer)
        matrices = {"down": (width, size)}
        for depth in range(shape.middle_layers if isinstance(shape, MAdapter) else 0):
            matrices[f"middle.{depth}"] = (width, width)
        matrices["up"] = (size, width)
        for name, lengths in matrices.items():
            tensors[f"{site}.{name}"] = initial(shape.init, name, lengths, generator)
            if shape.bias:
                tensors[f"{site}.{name}_bias"] = torch.zeros(lengths[0])
        if shape.scaling == "learned":
            tensors[f"{site}.scaling"] = torch.ones(1)
        if shape.train_norm:
            tensors |= _norm_copy(site, sites[site])
    if shape.invertible:
        tensors |= _new_coupling(size, generator, bias=shape.bias)
    return Bottleneck(shape, tensors)


def _new_coupling(size: int, generator: torch.Generator, *, bias: bool) -> dict[str, Tensor]:
    """Start an invertible adapter: matrices from N(0, 0.02), biases 0, next to the identity."""
    if not halves(size):
        raise AdapterError(
            f"an invertible adapter cuts the hidden size in halves, and the backbone's is {size}"
        )
    tensors: dict[str, Tensor] = {}
    for name, lengths in coupling_matrices(size).items():
        tensors[f"embeddings.{name}"] = normal(lengths, generator)
        if bias:
            tensors[f"embeddings.{name}_bias"] = torch.zeros(lengths[0])
    return tensors


class Owned(Part):
    """What a composition owns: the weights of its mixers, and copies of norms.

    Mixers are numbered in reading order: "3.output.0.query".
    """

    def has_mixer(self, site: Site, number: int) -> bool:
        """Say whether mixer `number` acts at a site."""
        return f"{site}.{number}.query" in self or f"{site}.{number}.gate" in self

    def doubled(self) -> "Owned":
        """Give a copy in float64, to fold exactly."""
        return Owned({name: tensor.double() for name, tensor in self.tensors().items()})

    def identity_distance(self) -> Tensor:
        """Give sum |V - I|^2 over all fusions: what draws V towards the identity."""
        values = [self[name] for name in self.names if name.endswith(".value")]
        return sum_of([((value - torch.eye(len(value)).to(value)) ** 2).sum() for value in values])


def new_owned(
    *,
    mixers: Sequence[tuple[str, int]],
    train_norm: bool,
    sites: Mapping[Site, nn.LayerNorm],
    placement: Placement,
    size: int,
    generator: torch.Generator,
) -> Owned:
    """Make the untrained weights of a composition.

    Args:
        mixers: ("fuse" | "gate", number of members) of each mixer, in reading order.
        train_norm: Whether copies of the norms are trained.
        sites: Every site of the backbone with the norm behind it.
        placement: The members'.
        size: Hidden size of the backbone.
        generator: Source of the weights.

    A fusion starts with query and key from N(0, 0.02) and V the identity; a gate at zero,
    where all members weigh the same.
    """
    tensors: dict[str, Tensor] = {}
    for site in sites:
        if site.where not in sub_layers(placement):
            continue
        for number, (form, members) in enumerate(mixers):
            tensors |= _new_mixer(f"{site}.{number}", form, members, size, generator)
        if train_norm:
            tensors |= _norm_copy(site, sites[site])
    return Owned(tensors)


def _new_mixer(
    prefix: str, form: str, members: int, size: int, generator: torch.Generator
) -> dict[str, Tensor]:
    if form == "gate":
        return {
            f"{prefix}.gate": torch.zeros(members, size),
            f"{prefix}.gate_bias": torch.zeros(members),
        }
    return {
        f"{prefix}.query": normal((size, size), generator),
        f"{prefix}.query_bias": torch.zeros(size),
        f"{prefix}.key": normal((size, size), generator),
        f"{prefix}.value": torch.eye(size),
    }


class Head(Part):
    """From a vector to one value a class: one linear layer, or a dense one before it.

    Args:
        tensors: By the names that files use.
        non_linearity: Behind the dense layer; None: there is none.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], non_linearity: NonLinearity | None = None
    ) -> None:
        super().__init__(tensors)
        self.non_linearity = non_linearity

    def logits(self, pooled: Tensor) -> Tensor:
        """Give one value a class: (..., size) to (..., classes)."""
        if self.non_linearity is not None:
            wide = F.linear(pooled, self["dense"], self["dense_bias"])
            pooled = ACTIVATIONS[self.non_linearity](wide)
        return F.linear(pooled, self["weight"], self["bias"])


def new_head(*, classes: int, size: int, generator: torch.Generator) -> Head:
    """Make an untrained head: weight from N(0, 0.02), bias 0."""
    return Head({"weight": normal((classes, size), generator), "bias": torch.zeros(classes)})


def _norm_copy(site: Site, norm: nn.LayerNorm) -> dict[str, Tensor]:
    return {
        f"{site}.norm_weight": norm.weight.detach().float(),
        f"{site}.norm_bias": norm.bias.detach().float(),
    }


def _unmoved(dropped: Tensor, gradient: Tensor) -> Tensor:
    """Take the gradient off masked weights, whatever it is."""
    return gradient.masked_fill(dropped, 0.0)


def _key(name: str) -> str:
    return name.replace(".", "/")
