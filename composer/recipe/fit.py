"""What depends on the backbone's shape: whether a recipe fits it, and how much is trained.

    adapters.task.width: must be at most 384, the backbone's hidden size, not 500
    adapters.task.leave_out[0]: the backbone has the layers 0 to 11, and no 12

Needs the backbone's config only, and no weights. Parameters are counted by formula.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.errors import Fault
from composer.recipe.composition import (
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
from composer.recipe.findings import Finding, Path, Place, dotted, fault_at, show
from composer.recipe.invertible import coupling_matrices, halves
from composer.recipe.schema import AdapterShape, BottleneckAdapter, MAdapter, OtherAdapter, Recipe
from composer.recipe.stages import Stage, TrainComposition, TrainLanguage, TrainTask

_DEFAULT_FACTORS = {"bottleneck": 16.0, "madapter": 32.0}


@dataclass(frozen=True, kw_only=True)
class BackboneShape:
    """The numbers of a backbone that a recipe depends on.

    Attributes:
        hidden_size: Units of a hidden state.
        layers: Transformer blocks.
        max_tokens: Longest input, in tokens with the special ones.
    """

    hidden_size: int
    layers: int
    max_tokens: int


def check_fit(recipe: Recipe, shape: BackboneShape, place: Place = dotted) -> list[Fault]:
    """List what does not fit the backbone.

    Args:
        recipe: One without other faults.
        shape: The backbone's.
        place: Says where a path of keys stands; left out, the path itself is the place.
    """
    found = [*_tokens(recipe, shape)]
    for name, adapter in recipe.adapters.items():
        if not isinstance(adapter, OtherAdapter):
            found.extend(_adapter(("adapters", name), adapter, shape))
    return [fault_at(one.path, one.message, place(one.path)) for one in found]


def bottleneck_width(adapter: AdapterShape, hidden_size: int) -> int:
    """Give the units of an adapter's bottleneck: as said, or hidden size by reduction factor.

    >>> bottleneck_width(MAdapter(kind="madapter"), 384)
    12
    """
    if isinstance(adapter, OtherAdapter):
        raise TypeError(f"{adapter.kind} has no bottleneck")
    if adapter.width is not None:
        return adapter.width
    factor = adapter.reduction_factor
    if not isinstance(factor, float):
        factor = _DEFAULT_FACTORS[adapter.kind]
    return int(hidden_size // factor)


def adapter_sites(adapter: AdapterShape, layers: int) -> frozenset[tuple[int, str]]:
    """List the sites at which an adapter sits: layer and sub-layer.

    >>> sorted(adapter_sites(BottleneckAdapter(kind="bottleneck", placement="pfeiffer"), 2))
    [(0, 'feed-forward'), (1, 'feed-forward')]
    """
    if isinstance(adapter, OtherAdapter):
        raise TypeError(f"{adapter.kind} has no sites")
    both = ("attention", "feed-forward")
    places = both if adapter.placement == "houlsby" else both[1:]
    kept = [layer for layer in range(layers) if layer not in adapter.leave_out]
    return frozenset((layer, place) for layer in kept for place in places)


def adapter_parameters(adapter: AdapterShape, backbone: BackboneShape) -> int:
    """Count an adapter's weights, its norms and what it does to the embeddings included.

    >>> madapter = MAdapter(kind="madapter", width=32, bias=False)
    >>> adapter_parameters(madapter, BackboneShape(hidden_size=384, layers=1, max_tokens=512))
    51200
    """
    if isinstance(adapter, OtherAdapter):
        raise TypeError(f"{adapter.kind} has no bottleneck")
    size, width = backbone.hidden_size, bottleneck_width(adapter, backbone.hidden_size)
    middle = adapter.middle_layers if isinstance(adapter, MAdapter) else 0
    site = 2 * size * width + middle * width * width
    if adapter.bias:
        site += width + size + middle * width
    if adapter.train_norm:
        site += 2 * size
    embeddings = coupling_parameters(size, bias=adapter.bias) if adapter.invertible else 0
    return site * len(adapter_sites(adapter, backbone.layers)) + embeddings


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


def head_parameters(hidden_size: int, classes: int) -> int:
    """Count a head's weights; a regression has 1 class, spans 2 tags a label and one for none."""
    return classes * (hidden_size + 1)


def trainable_parameters(
    stage: Stage,
    *,
    backbone: BackboneShape,
    shapes: Mapping[str, AdapterShape],
    classes: int | None = None,
) -> int:
    """Count what a stage changes; 0 for one that trains nothing.

    Args:
        stage: Of `expand`.
        backbone: Its shape.
        shapes: Name of a stage -> the shape of the adapter it trains; see `shapes_of`.
        classes: Outputs of the head; None: not known yet, the head is not counted.
    """
    head = head_parameters(backbone.hidden_size, classes) if classes is not None else 0
    match stage:
        case TrainLanguage():
            return adapter_parameters(stage.shape, backbone)
        case TrainTask():
            return adapter_parameters(stage.shape, backbone) + head
        case TrainComposition():
            return head + sum(
                _mixture(stage, part, backbone=backbone, shapes=shapes)
                for part in walk(stage.composition)
                if isinstance(part, Mixture)
            )
    return 0


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
) -> int:
    """Count the weights of one mixture and its copies of the norms."""
    members = list(_shapes_in(stage, mixture, shapes))
    sites = frozenset(site for member in members for site in adapter_sites(member, backbone.layers))
    weights = mixture_parameters(mixture, sites=len(sites), hidden_size=backbone.hidden_size)
    norms = stage.train_norm
    if norms is None:
        norms = any(member.train_norm for member in members)
    return weights + (2 * backbone.hidden_size * len(sites) if norms else 0)


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


def _adapter(
    path: Path, adapter: BottleneckAdapter | MAdapter, shape: BackboneShape
) -> Iterator[Finding]:
    size = shape.hidden_size
    for key, value in (("width", adapter.width), ("reduction_factor", adapter.reduction_factor)):
        if isinstance(value, int | float) and value > size:
            message = f"must be at most {size}, the backbone's hidden size, not {value:g}"
            yield Finding((*path, key), message)
    for place, layer in enumerate(adapter.leave_out):
        if layer >= shape.layers:
            message = f"the backbone has the layers 0 to {shape.layers - 1}, and no {show(layer)}"
            yield Finding((*path, "leave_out", place), message)
    if adapter.invertible and not halves(size):
        message = (
            "an invertible adapter cuts the hidden size in halves, and the backbone's is "
            f"{size}; leave `invertible` out"
        )
        yield Finding((*path, "invertible"), message)
    if set(range(shape.layers)) <= set(adapter.leave_out):
        yield Finding((*path, "leave_out"), "no layer is left for the adapter")
