"""The tensors of adapters that act inside an encoder: names and shapes, promised by their config.

    lora      3.query.down (rank, in)         3.query.up (out, rank)      for each target
    bitfit    embeddings.norm_bias_delta      3.query.bias_delta          (out,)
              3.attention.norm_bias_delta     3.output.norm_bias_delta    not beside own norms
    prefix    3.prefix.keys (length, size)    3.prefix.values (length, size)
    prompt    embeddings.prompt (length, size)
    all       3.attention.norm_weight (size,) 3.attention.norm_bias       if norms are trained

`wide` is the width of the backbone's feed-forward block.
"""

from collections.abc import Iterator, Mapping

from composer.bundle.header import TensorType
from composer.recipe.grammar.adapters import BitFit, Lora, Prefix, Prompt
from composer.recipe.sizes.inner import MATRICES, Inner, kept_layers, matrix_shapes

Tensors = Iterator[tuple[str, tuple[int, ...]]]  # name, lengths

SITES = ("attention", "output")


def inner_tensors(shape: Inner, *, size: int, wide: int, layers: int) -> Tensors:
    """List the tensors of an adapter.

    >>> list(inner_tensors(Prompt(kind="prompt", length=5), size=8, wide=32, layers=2))
    [('embeddings.prompt', (5, 8))]
    """
    match shape:
        case Lora():
            yield from _lora(shape, size, wide, layers)
        case BitFit():
            yield from _bitfit(shape, size, wide, layers)
        case Prefix():
            for layer in kept_layers(shape, layers):
                yield f"{layer}.prefix.keys", (shape.length, size)
                yield f"{layer}.prefix.values", (shape.length, size)
        case Prompt():
            yield "embeddings.prompt", (shape.length, size)
    if shape.train_norm:
        for layer in kept_layers(shape, layers):
            for where in SITES:
                yield f"{layer}.{where}.norm_weight", (size,)
                yield f"{layer}.{where}.norm_bias", (size,)


def stored_width(found: Mapping[str, TensorType]) -> int | None:
    """Tell the width of the feed-forward block from tensors that depend on it; None: none does.

    >>> stored_width({"3.wide.bias_delta": TensorType("F32", (1536,))})
    1536
    """
    for name, type_ in found.items():
        _, _, inner = name.partition(".")
        if inner in ("wide.up", "wide.bias_delta") and type_.shape:
            return type_.shape[0]
        if inner == "narrow.down" and type_.shape:
            return type_.shape[-1]
    return None


def _lora(shape: Lora, size: int, wide: int, layers: int) -> Tensors:
    shapes = matrix_shapes(size, wide)
    for layer in kept_layers(shape, layers):
        for name in (name for name in MATRICES if name in shape.targets):
            rows, columns = shapes[name]
            yield f"{layer}.{name}.down", (shape.rank, columns)
            yield f"{layer}.{name}.up", (rows, shape.rank)


def _bitfit(shape: BitFit, size: int, wide: int, layers: int) -> Tensors:
    yield "embeddings.norm_bias_delta", (size,)
    for layer in kept_layers(shape, layers):
        for name, (rows, _) in matrix_shapes(size, wide).items():
            yield f"{layer}.{name}.bias_delta", (rows,)
        for where in SITES if not shape.train_norm else ():
            yield f"{layer}.{where}.norm_bias_delta", (size,)
