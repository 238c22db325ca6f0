"""What depends on the backbone's shape: whether a recipe fits it, and how much is trained.

    adapters.task.width: must be at most 384, the backbone's hidden size, not 500
    adapters.task.leave_out[0]: the backbone has the layers 0 to 11, and no 12

Needs the backbone's config only, and no weights. Parameters are counted by formula.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.errors import Fault
from composer.recipe.document.findings import Finding, Path, Place, dotted, fault_at, show
from composer.recipe.expansion.stages import (
    Stage,
    TrainComposition,
    TrainHead,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.adapters import (
    AdaMix,
    AdapterShape,
    BottleneckShape,
    Full,
    Lora,
    MAdapter,
    sub_layers,
    trains_norm,
)
from composer.recipe.grammar.composition import (
    LANGUAGE,
    NONE,
    Average,
    Composition,
    Fuse,
    Gate,
    Mixture,
    adapter_names,
    walk,
)
from composer.recipe.grammar.invertible import coupling_matrices, halves
from composer.recipe.grammar.schema import Recipe
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.inner import COMPUTED, Inner, inner_parameters, kept_layers
from composer.recipe.sizes.sparsity import dropped_weights, sparsity_of

_DEFAULT_FACTORS = {"bottleneck": 16.0, "madapter": 32.0, "adamix": 16.0}


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """How many weights a stage changes.

    Attributes:
        adapter: Of the adapter, or of what a composition mixes with, without norms; None: too
            little is known of the backbone.
        norms: Of own copies of the norms.
        head: Of the head, 0 for none; None: its classes are not known.
    """

    adapter: int | None = 0
    norms: int = 0
    head: int | None = 0

    @property
    def total(self) -> int | None:
        """All of it; a head that is not known is left out."""
        return None if self.adapter is None else self.adapter + self.norms + (self.head or 0)


def check_fit(recipe: Recipe, shape: BackboneShape, place: Place = dotted) -> list[Fault]:
    """List what does not fit the backbone.

    Args:
        recipe: One without other faults.
        shape: The backbone's.
        place: Says where a path of keys stands; left out, the path itself is the place.
    """
    found = [*_tokens(recipe, shape)]
    for name, adapter in recipe.adapters.items():
        found.extend(_adapter(("adapters", name), adapter, shape))
    return [fault_at(one.path, one.message, place(one.path)) for one in found]


def bottleneck_width(adapter: AdapterShape, hidden_size: int, *, layer: int | None = None) -> int:
    """Give the units of an adapter's bottleneck: as said, or hidden size by reduction factor.

    Args:
        adapter: A bottleneck of any kind.
        hidden_size: Of the backbone.
        layer: Whose bottleneck; None: widths are the same in all, or the widest is asked for.

    >>> bottleneck_width(MAdapter(kind="madapter"), 384)
    12
    """
    if not isinstance(adapter, BottleneckShape):
        raise TypeError(f"{adapter.kind} has no bottleneck")
    if adapter.width is not None:
        return adapter.width
    factor = adapter.reduction_factor
    if isinstance(factor, dict):
        here = min(factor.values()) if layer is None else factor.get(str(layer))
        factor = factor.get("default") if here is None else here
    if factor is None:
        factor = _DEFAULT_FACTORS[adapter.kind]
    return int(hidden_size // factor)


def adapter_sites(adapter: AdapterShape, layers: int) -> frozenset[tuple[int, str]]:
    """List the sites at which an adapter sits: layer and sub-layer.

    >>> sorted(adapter_sites(MAdapter(kind="madapter", placement="pfeiffer"), 2))
    [(0, 'output'), (1, 'output')]
    """
    if not isinstance(adapter, BottleneckShape):
        raise TypeError(f"{adapter.kind} has no sites")
    places = sub_layers(adapter.placement)
    kept = [layer for layer in range(layers) if layer not in adapter.leave_out]
    return frozenset((layer, place) for layer in kept for place in places)


def adapter_parameters(adapter: AdapterShape, backbone: BackboneShape) -> int | None:
    """Count an adapter's weights, its norms and what it does to the embeddings included.

    >>> madapter = MAdapter(kind="madapter", width=32, bias=False)
    >>> adapter_parameters(madapter, BackboneShape(hidden_size=384, layers=1, max_tokens=512))
    51200

    Returns:
        None where too little is known of the backbone.
    """
    return _of_adapter(adapter, backbone).total


def _of_adapter(
    adapter: AdapterShape, backbone: BackboneShape, *, trained: bool = False
) -> Trainable:
    """Count an adapter as it is stored, or as it is trained: AdaMix with all its experts."""
    if not isinstance(adapter, BottleneckShape):
        norms = 0
        if trains_norm(adapter) and not isinstance(adapter, Full):
            norms = 4 * backbone.hidden_size * len(kept_layers(adapter, backbone.layers))
        return Trainable(adapter=inner_parameters(adapter, backbone), norms=norms)
    size, sites = backbone.hidden_size, adapter_sites(adapter, backbone.layers)
    widths = [bottleneck_width(adapter, size, layer=layer) for layer, _ in sites]
    middle = adapter.middle_layers if isinstance(adapter, MAdapter) else 0
    weights = sum(2 * size * width + middle * width * width for width in widths)
    weights -= dropped_weights(weights, sparsity_of(adapter))
    if adapter.bias:
        weights += sum(size + (1 + middle) * width for width in widths)
    if trained and isinstance(adapter, AdaMix):
        weights *= adapter.experts
    if adapter.scaling == "learned":
        weights += len(sites)
    if adapter.invertible:
        weights += coupling_parameters(size, bias=adapter.bias)
    return Trainable(adapter=weights, norms=2 * size * len(sites) if adapter.train_norm else 0)


def coupling_parameters(hidden_size: int, *, bias: bool) -> int:
    """Count what an invertible adapter has at the embeddings: d^2 / 2, and 1.5 d biases.

    >>> coupling_parameters(384, bias=True)
    74304
    """
    matrices = coupling_matrices(hidden_size).values()
    return sum(rows * columns + (rows if bias else 0) for rows, columns in matrices)


def mixture_parameters(mixture: Mixture, *, sites: int, hidden_size: int) -> int:
    """Count what a fusion or a gate learns at its sites; an average learns nothing.

    >>> mixture_parameters(Gate(("a", "b")), sites=2, hidden_size=384)
    1540
    """
    match mixture:
        case Fuse():
            # query with its bias, key and value; the key's bias cancels in the softmax
            return sites * (3 * hidden_size * hidden_size + hidden_size)
        case Gate(parts):
            return sites * len(parts) * (hidden_size + 1)
        case Average():
            return 0


def head_transform_parameters(hidden_size: int) -> int:
    """Count a masked-LM head's weights without its bias a piece: those it has are in the text.

    >>> head_transform_parameters(384)
    148608
    """
    return hidden_size * hidden_size + 3 * hidden_size


def head_parameters(hidden_size: int, classes: int, *, dense: bool = False) -> int:
    """Count a head's weights; a regression has 1 class, spans 2 tags a label and one for none.

    Args:
        hidden_size: Of the backbone.
        classes: That it predicts.
        dense: Whether it has a layer before the last, as one from elsewhere may.
    """
    return (classes + (hidden_size if dense else 0)) * (hidden_size + 1)


def trainable(
    stage: Stage,
    *,
    backbone: BackboneShape,
    shapes: Mapping[str, AdapterShape],
    classes: int | None = None,
    dense: bool = False,
) -> Trainable:
    """Count what a stage changes.

    Args:
        stage: Of `expand`.
        backbone: Its shape.
        shapes: Name of a stage -> the shape of the adapter it trains; see `shapes_of`.
        classes: Outputs of the head; None: not known yet.
        dense: Whether the head has two layers.
    """
    size = backbone.hidden_size
    head = None if classes is None else head_parameters(size, classes, dense=dense)
    match stage:
        case TrainHead():
            found = head_transform_parameters(backbone.hidden_size) if stage.found is None else 0
            return Trainable(adapter=found)
        case TrainLanguage():
            return _of_adapter(stage.shape, backbone)
        case TrainTask():
            return replace(_of_adapter(stage.shape, backbone, trained=True), head=head)
        case TrainComposition():
            mixtures = [part for part in walk(stage.composition) if isinstance(part, Mixture)]
            found_in = [_mixture(stage, one, backbone=backbone, shapes=shapes) for one in mixtures]
            return Trainable(
                adapter=sum(weights for weights, _ in found_in),
                norms=sum(norms for _, norms in found_in),
                head=head,
            )
    return Trainable()


def trainable_parameters(
    stage: Stage,
    *,
    backbone: BackboneShape,
    shapes: Mapping[str, AdapterShape],
    classes: int | None = None,
) -> int | None:
    """Count what a stage changes, in all; see `trainable`. None: too little is known."""
    return trainable(stage, backbone=backbone, shapes=shapes, classes=classes).total


def shapes_of(stages: tuple[Stage, ...]) -> dict[str, AdapterShape]:
    """Give the shape of the adapter that each training stage makes, by the stage's name."""
    return {
        stage.name: stage.shape for stage in stages if isinstance(stage, TrainLanguage | TrainTask)
    }


def _mixture(
    stage: TrainComposition,
    mixture: Mixture,
    *,
    backbone: BackboneShape,
    shapes: Mapping[str, AdapterShape],
) -> tuple[int, int]:
    """Count the weights of one mixture, and its copies of the norms."""
    members = list(_shapes_in(stage, mixture, shapes))
    sites = frozenset(site for member in members for site in _sites_of(member, backbone.layers))
    weights = mixture_parameters(mixture, sites=len(sites), hidden_size=backbone.hidden_size)
    norms = stage.train_norm
    if norms is None:
        norms = any(trains_norm(member) for member in members)
    return weights, 2 * backbone.hidden_size * len(sites) if norms else 0


def _sites_of(adapter: AdapterShape, layers: int) -> frozenset[tuple[int, str]]:
    """List the sites whose norms an adapter has a say in: its own, or all."""
    if isinstance(adapter, BottleneckShape):
        return adapter_sites(adapter, layers)
    return frozenset((layer, place) for layer in range(layers) for place in sub_layers("houlsby"))


def _shapes_in(
    stage: TrainComposition, composition: Composition, shapes: Mapping[str, AdapterShape]
) -> Iterator[AdapterShape]:
    for name in adapter_names(composition):
        if name == LANGUAGE:
            yield from (shapes[stage.parts[tag]] for tag in stage.data.languages)
        elif name != NONE:
            yield shapes[stage.parts[name]]


def _tokens(recipe: Recipe, shape: BackboneShape) -> Iterator[Finding]:
    wanted = recipe.backbone.max_tokens
    if wanted is not None and wanted > shape.max_tokens:
        message = f"must be at most {shape.max_tokens}, what the backbone takes, not {wanted}"
        yield Finding(("backbone", "max_tokens"), message)
    packed = recipe.languages.pack_tokens if recipe.languages else None
    longest = min(wanted or shape.max_tokens, shape.max_tokens)
    if packed is not None and packed > longest:
        message = f"must be at most {longest}, the longest input of the backbone, not {packed}"
        yield Finding(("languages", "pack_tokens"), message)


def _adapter(path: Path, adapter: AdapterShape, shape: BackboneShape) -> Iterator[Finding]:
    if isinstance(adapter, BottleneckShape):
        yield from _bottleneck(path, adapter, shape)
    else:
        yield from _inner(path, adapter, shape)
    left_out = getattr(adapter, "leave_out", ())
    for place, layer in enumerate(left_out):
        if layer >= shape.layers:
            message = f"the backbone has the layers 0 to {shape.layers - 1}, and no {show(layer)}"
            yield Finding((*path, "leave_out", place), message)
    if set(range(shape.layers)) <= set(left_out):
        yield Finding((*path, "leave_out"), "no layer is left for the adapter")


def _bottleneck(path: Path, adapter: BottleneckShape, shape: BackboneShape) -> Iterator[Finding]:
    size = shape.hidden_size
    for key, value in (("width", adapter.width), ("reduction_factor", adapter.reduction_factor)):
        if isinstance(value, int | float) and value > size:
            message = f"must be at most {size}, the backbone's hidden size, not {value:g}"
            yield Finding((*path, key), message)
    if isinstance(adapter.reduction_factor, dict):
        yield from _factors((*path, "reduction_factor"), adapter, shape)
    if adapter.invertible and not halves(size):
        message = (
            "an invertible adapter cuts the hidden size in halves, and the backbone's is "
            f"{size}; leave `invertible` out"
        )
        yield Finding((*path, "invertible"), message)


def _factors(path: Path, adapter: BottleneckShape, shape: BackboneShape) -> Iterator[Finding]:
    """Check the factors of each layer; every layer with an adapter needs one."""
    factors = adapter.reduction_factor if isinstance(adapter.reduction_factor, dict) else {}
    for key, value in factors.items():
        if value > shape.hidden_size:
            size = f"{shape.hidden_size}, the backbone's hidden size"
            yield Finding((*path, key), f"must be at most {size}, not {value:g}")
        if key != "default" and int(key) >= shape.layers:
            message = f"the backbone has the layers 0 to {shape.layers - 1}, and no {key}"
            yield Finding((*path, key), message)
    for layer in range(shape.layers):
        if not {str(layer), "default"} & factors.keys() and layer not in adapter.leave_out:
            message = f"layer {layer} has no factor; give it one, or all others by `default`"
            yield Finding(path, message)
            return


def _inner(path: Path, adapter: Inner | Full, shape: BackboneShape) -> Iterator[Finding]:
    if shape.architecture not in (None, *COMPUTED):
        message = (
            f"{adapter.kind} acts inside a layer, and the layers of {shape.architecture!r} are "
            f"computed by transformers; composer computes those of {', '.join(COMPUTED)}. Use a "
            "bottleneck, which acts behind sub-layers"
        )
        yield Finding((*path, "kind"), message)
    if isinstance(adapter, Lora) and adapter.rank > shape.hidden_size:
        message = f"must be at most {shape.hidden_size}, the backbone's hidden size, not "
        yield Finding((*path, "rank"), message + str(adapter.rank))
