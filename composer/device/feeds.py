"""A composition's tensors as the inputs of the device graph.

    parts/de.safetensors        0.output.down (24, 384), ...
    parts/intent.safetensors    0.output.down (12, 384), ...
    ->  lower_down.0 (384, 24), ... upper_down.0 (384, 12), ... head_weight (384, 42), ...

What the inputs mean is said in `composer.bundle.graphs`. Adapters keep their columns at every
site; where one does not act, or is narrower, the columns are zero and add nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from composer.bundle.graphs import Signature, Slot, slot_sites
from composer.bundle.shapes import Shape
from composer.bundle.slots import Filling, Member
from composer.recipe.grammar.adapters import NonLinearity

Array = NDArray[np.floating]  # what is stored may be float16; what is fed is float32
Tensors = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """All that was trained of a composition, as its bundle has it.

    Attributes:
        filling: Which adapter fills which slot.
        shapes: Name of an adapter -> how it is run.
        adapters: Name of an adapter -> its tensors.
        owned: Folded mixers and norms of the composition itself; empty if it owns nothing.
        head: "weight" and "bias", of two layers "dense" and "dense_bias" too.
        top: The adapter whose norms are used; None: the composition's own, or the backbone's.
        non_linearity: Between the head's two layers; None: it has one.
    """

    filling: Filling
    shapes: Mapping[str, Shape]
    adapters: Mapping[str, Tensors]
    owned: Tensors
    head: Tensors
    top: str | None
    non_linearity: NonLinearity | None = None


def feeds_of(
    trained: Trained, signature: Signature, norms: Tensors, layers: int
) -> dict[str, Array]:
    """Lay out a composition's tensors as a graph of this signature takes them.

    Args:
        trained: The composition.
        signature: The graph's; it can run the composition.
        norms: The backbone's: "0.attention.norm_weight" and so on.
        layers: Of the backbone.

    Returns:
        Every input but the tokens and `pooling`.
    """
    size = trained.head["weight"].shape[1]
    filling = trained.filling
    feeds: dict[str, Array] = _coupling(trained, signature, size) if signature.invertible else {}
    if signature.lower is not None:
        members = (filling.lower or (),)
        feeds |= _SlotFeeds("lower", signature.lower, members, trained, layers, size).single()
    if signature.upper is not None:
        upper = filling.upper or ((),)
        slot = _SlotFeeds("upper", signature.upper, upper, trained, layers, size)
        feeds |= slot.mixed() if signature.mixing else slot.single()
    if signature.norms:
        feeds |= _norms(trained, norms, layers)
    return {**_numbered(feeds), **_head(trained, signature)}


def _head(trained: Trained, signature: Signature) -> dict[str, Array]:
    """Give the head; what a layer that it does not have would put out is masked."""
    head, size = trained.head, trained.head["weight"].shape[1]
    feeds: dict[str, Array] = {}
    if signature.heads:
        has = trained.non_linearity
        dense = head.get("dense", np.zeros((size, size), np.float32))
        feeds["head_dense"] = _contiguous(dense.T)
        feeds["head_dense_bias"] = _contiguous(head.get("dense_bias", np.zeros(size, np.float32)))
        feeds["head_dense_mask"] = np.full(size, has is not None, np.float32)
        if len(signature.heads) > 1:
            feeds |= {f"head_{a}": np.full(size, a == has, np.float32) for a in signature.heads}
    return feeds | {
        "head_weight": _contiguous(head["weight"].T),
        "head_bias": _contiguous(head["bias"]),
    }


def _numbered(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Make an input a site of what was filled for all sites together."""
    found: dict[str, Array] = {}
    for name, array in feeds.items():
        if array.ndim == 1 or name == "segments":
            found[name] = array
        else:
            found |= {f"{name}.{number}": one for number, one in enumerate(array)}
    return found


def _coupling(trained: Trained, signature: Signature, size: int) -> dict[str, Array]:
    """Give what an invertible adapter does to the embeddings; without one, zeros do nothing."""
    found = [name for name, one in trained.adapters.items() if "embeddings.f_down" in one]
    tensors = trained.adapters[found[0]] if found else {}
    units = size // 4
    feeds: dict[str, Array] = {
        "embeddings_down": np.zeros((2, size, units), np.float32),
        "embeddings_down_bias": np.zeros((2, units), np.float32),
        "embeddings_up": np.zeros((2, units, size), np.float32),
        "embeddings_up_bias": np.zeros((2, size), np.float32),
    }
    if len(signature.invertible) > 1:
        acts = {trained.shapes[name].non_linearity for name in found}
        feeds |= {
            f"embeddings_{act}": np.full(units, act in acts, np.float32)
            for act in signature.invertible
        }
    first, second = slice(0, size // 2), slice(size // 2, size)
    for row, (network, read, written) in enumerate((("f", second, first), ("g", first, second))):
        places = {
            "down": feeds["embeddings_down"][row, read],
            "down_bias": feeds["embeddings_down_bias"][row],
            "up": feeds["embeddings_up"][row][:, written],
            "up_bias": feeds["embeddings_up_bias"][row, written],
        }
        for name, place in places.items():
            if f"embeddings.{network}_{name}" in tensors:
                place[...] = tensors[f"embeddings.{network}_{name}"].T
    return feeds


def _norms(trained: Trained, backbone: Tensors, layers: int) -> dict[str, Array]:
    """Give the norm at every site: trained with the composition, or the backbone's."""
    own = trained.owned if trained.top is None else trained.adapters[trained.top]
    sites = [f"{layer}.{where}" for layer in range(layers) for where in ("attention", "output")]
    return {
        name: np.stack(
            [_contiguous(own.get(f"{site}.{name}", backbone[f"{site}.{name}"])) for site in sites]
        )
        for name in ("norm_weight", "norm_bias")
    }


@dataclass(frozen=True, kw_only=True)
class _Mixer:
    """A slot's mixers at all sites: N members, R units."""

    up: Array  # (sites, R, size)
    up_bias: Array  # (sites, N, size)
    keys: Array  # (sites, size, R)
    keys_bias: Array  # (sites, R)
    direct: Array  # (sites, size, N)
    direct_bias: Array  # (sites, N)


@dataclass
class _SlotFeeds:
    """The inputs of one slot while they are filled."""

    name: str
    slot: Slot
    members: Sequence[Member]
    trained: Trained
    layers: int
    size: int
    columns: dict[str, slice] = field(default_factory=dict)  # of each adapter
    units: int = 0

    def __post_init__(self) -> None:
        for member in self.members:
            for piece in member:
                width = self._width(piece.adapter)
                self.columns[piece.adapter] = slice(self.units, self.units + width)
                self.units += width
        self.units = max(self.units, 1)  # a unit of zeros where there is none
        sites = slot_sites(self.slot, self.layers)
        self.sites = [f"{layer}.{where}" for layer, where in sites]

    def single(self) -> dict[str, Array]:
        """Give the inputs of a slot whose one member is added."""
        feeds = self._bottlenecks()
        up = self._zeros(len(self.sites), self.units, self.size)
        bias = self._zeros(len(self.sites), self.size)
        for row, site in enumerate(self.sites):
            self._add_up(site, self.members[0], up[row], bias[row])
        return feeds | {f"{self.name}_up": up, f"{self.name}_up_bias": bias}

    def mixed(self) -> dict[str, Array]:
        """Give the inputs of a slot whose members are mixed; one member has the share 1."""
        rows, members, units = len(self.sites), len(self.members), self.units
        feeds = self._bottlenecks()
        down, bias = feeds.pop("upper_down"), feeds.pop("upper_down_bias")
        mixer = _Mixer(
            up=self._zeros(rows, units, self.size),
            up_bias=self._zeros(rows, members, self.size),
            keys=self._zeros(rows, self.size, units),
            keys_bias=self._zeros(rows, units),
            direct=self._zeros(rows, self.size, members),
            direct_bias=self._zeros(rows, members),
        )
        for row, site in enumerate(self.sites):
            if self.trained.filling.mixer is None:
                self._add_up(site, self.members[0], mixer.up[row], mixer.up_bias[row, 0])
            else:
                self._add_mixer(f"{site}.{self.trained.filling.mixer}", site, row, mixer)
        return feeds | {
            "upper_read": np.concatenate([down, mixer.keys, mixer.direct], axis=-1),
            "upper_read_bias": np.concatenate([bias, mixer.keys_bias, mixer.direct_bias], axis=-1),
            "upper_out": np.concatenate([mixer.up, mixer.up_bias], axis=1),
            "segments": self._segments(),
        }

    def _bottlenecks(self) -> dict[str, Array]:
        """Give the projections down, the masks and the middle layers."""
        rows, depth = len(self.sites), self.slot.middle_layers
        feeds = {
            "down": self._zeros(rows, self.size, self.units),
            "down_bias": self._zeros(rows, self.units),
        }
        for layer in range(depth):
            feeds[f"middle_{layer}"] = self._zeros(rows, self.units, self.units)
            feeds[f"middle_{layer}_bias"] = self._zeros(rows, self.units)
            feeds[f"middle_{layer}_mask"] = self._zeros(self.units)
        if len(self.slot.non_linearities) > 1:
            feeds |= {act: self._zeros(self.units) for act in self.slot.non_linearities}
        for adapter, columns in self.columns.items():
            tensors, shape = self.trained.adapters[adapter], self.trained.shapes[adapter]
            if shape.non_linearity in feeds:
                feeds[shape.non_linearity][columns] = 1.0
            for row, site in enumerate(self.sites):
                if f"{site}.down" in tensors:
                    _put_down(feeds, tensors, site, row, self._columns_at(adapter, site))
        return {f"{self.name}_{name}": array for name, array in feeds.items()}

    def _add_up(self, site: str, member: Member, up: Array, bias: Array) -> None:
        for piece in member:
            tensors, shape = (
                self.trained.adapters[piece.adapter],
                self.trained.shapes[piece.adapter],
            )
            if f"{site}.up" not in tensors:
                continue
            scaling = tensors[f"{site}.scaling"][0] if shape.scaling == "learned" else shape.scaling
            factor = np.float32(piece.weight * float(scaling))
            up[self._columns_at(piece.adapter, site)] = factor * tensors[f"{site}.up"].T
            if f"{site}.up_bias" in tensors:
                bias += factor * tensors[f"{site}.up_bias"]

    def _add_mixer(self, prefix: str, site: str, row: int, mixer: _Mixer) -> None:
        """Put a folded mixer's tensors in, the columns of those members that act at the site."""
        owned = self.trained.owned
        acting = [
            self._columns_at(piece.adapter, site)
            for member in self.members
            for piece in member
            if f"{site}.up" in self.trained.adapters[piece.adapter]
        ]
        columns = [number for one in acting for number in range(one.start, one.stop)]
        mixer.up[row, columns] = owned[f"{prefix}.up"].T
        mixer.up_bias[row] = owned[f"{prefix}.up_bias"]
        mixer.direct[row] = owned[f"{prefix}.f_up_score"].T
        mixer.direct_bias[row] = owned[f"{prefix}.f_score"]
        if f"{prefix}.f_down" in owned:  # a gate scores members only
            mixer.keys[row][:, columns] = owned[f"{prefix}.f_down"].T
            mixer.keys_bias[row, columns] = owned[f"{prefix}.f_down_bias"]

    def _columns_at(self, adapter: str, site: str) -> slice:
        """Give the columns that an adapter has where it acts; elsewhere it may have more."""
        start = self.columns[adapter].start
        return slice(start, start + len(self.trained.adapters[adapter][f"{site}.down"]))

    def _segments(self) -> Array:
        segments = self._zeros(self.units, len(self.members))
        for number, member in enumerate(self.members):
            for piece in member:
                segments[self.columns[piece.adapter], number] = 1.0
        return segments

    def _width(self, adapter: str) -> int:
        tensors = self.trained.adapters[adapter]
        return max((len(one) for name, one in tensors.items() if name.endswith(".down")), default=0)

    @staticmethod
    def _zeros(*shape: int) -> Array:
        return np.zeros(shape, np.float32)


def _put_down(
    feeds: dict[str, Array], tensors: Tensors, site: str, row: int, columns: slice
) -> None:
    feeds["down"][row][:, columns] = tensors[f"{site}.down"].T
    if f"{site}.down_bias" in tensors:
        feeds["down_bias"][row, columns] = tensors[f"{site}.down_bias"]
    depth = 0
    while f"{site}.middle.{depth}" in tensors:
        feeds[f"middle_{depth}_mask"][columns] = 1.0
        feeds[f"middle_{depth}"][row, columns, columns] = tensors[f"{site}.middle.{depth}"].T
        if f"{site}.middle.{depth}_bias" in tensors:
            feeds[f"middle_{depth}_bias"][row, columns] = tensors[f"{site}.middle.{depth}_bias"]
        depth += 1


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)
