"""How many weights adapters have that act inside an encoder: by formula, from its shape.

With d the hidden size, f the width of the feed-forward block, L the layers an adapter acts in:

    lora     L sum over targets of rank (in + out)
    bitfit   L (7 d + f) + d, or L (5 d + f) + d beside own norms
    prefix   2 L length d
    prompt   length d
    full     (tokens + positions + types) d + 2 d + L (4 d^2 + 2 d f + 9 d + f)

Trained norms, 4 d a layer, are counted apart.
"""

from collections.abc import Iterable

from composer.recipe.grammar.adapters import BitFit, Full, Lora, Matrix, Prefix, Prompt
from composer.recipe.sizes.backbone_shape import BackboneShape

Inner = Lora | BitFit | Prefix | Prompt
COMPUTED = ("bert", "distilbert", "roberta", "xlm-roberta")
"""Architectures whose layers composer computes, so that adapters may act inside them."""

MATRICES: tuple[Matrix, ...] = ("query", "key", "value", "mixed", "wide", "narrow")


def matrix_shapes(size: int, wide: int) -> dict[Matrix, tuple[int, int]]:
    """Give the shape of each matrix of a layer, (out, in).

    >>> matrix_shapes(8, 32)["narrow"]
    (8, 32)
    """
    square = (size, size)
    return {**dict.fromkeys(MATRICES, square), "wide": (wide, size), "narrow": (size, wide)}


def kept_layers(shape: Inner, layers: int) -> list[int]:
    """List the layers in which an adapter acts.

    >>> kept_layers(BitFit(kind="bitfit", leave_out=(0,)), 3)
    [1, 2]
    """
    left_out: Iterable[int] = () if isinstance(shape, Prompt) else shape.leave_out
    return [layer for layer in range(layers) if layer not in set(left_out)]


def inner_parameters(shape: Inner | Full, backbone: BackboneShape) -> int | None:
    """Count an adapter's weights without its norms; None: too little is known of the backbone.

    >>> bert = BackboneShape(hidden_size=768, layers=12, max_tokens=512, intermediate_size=3072)
    >>> inner_parameters(BitFit(kind="bitfit"), bert)
    102144
    """
    size, wide = backbone.hidden_size, backbone.intermediate_size
    match shape:
        case Prompt():
            return shape.length * size
        case Prefix():
            return 2 * len(kept_layers(shape, backbone.layers)) * shape.length * size
        case Lora():
            return _lora(shape, backbone)
        case BitFit():
            norms = 0 if shape.train_norm else 2
            layers = len(kept_layers(shape, backbone.layers))
            return None if wide is None else layers * ((5 + norms) * size + wide) + size
        case Full():
            rows = backbone.embedding_rows
            if wide is None or rows is None:
                return None
            layer = 4 * size * size + 2 * size * wide + 9 * size + wide
            return (rows + 2) * size + backbone.layers * layer


def _lora(shape: Lora, backbone: BackboneShape) -> int | None:
    wide = backbone.intermediate_size
    if wide is None and {"wide", "narrow"} & set(shape.targets):
        return None
    shapes = matrix_shapes(backbone.hidden_size, wide or 0)
    a_layer = shape.rank * sum(sum(shapes[name]) for name in shape.targets)
    return a_layer * len(kept_layers(shape, backbone.layers))
