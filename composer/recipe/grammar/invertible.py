"""Invertible adapters: what they are made of, and where in a composition one may stand.

    de    de > intent    de > fuse(intent, domain)    `de` may be invertible
    intent > de    average(de, ru)    fuse(de, ru)    none of them may

It moves the embeddings, which everything behind it reads, so it stands first and alone: in a
mixture there is one embedding and not one for each member, and on top of another adapter it
would move what that one was trained to read.

A vector of size d is cut in halves x1, x2 (NICE, Dinh et al., 2015, eq. 2; MAD-X, Pfeiffer et
al., 2020, section 3.3), and F and G go from d / 2 over d / 4 to d / 2:

    y1 = x1 + F(x2)        y2 = x2 + G(y1)
"""

from collections.abc import Collection

from composer.recipe.grammar.adapters import AdapterShape, BottleneckShape
from composer.recipe.grammar.composition import NONE, Composition, adapter_names, stacked_parts


def coupling_matrices(size: int) -> dict[str, tuple[int, int]]:
    """Give the matrices of an invertible adapter: name -> rows (outputs) and columns (inputs).

    >>> coupling_matrices(32)
    {'f_down': (8, 16), 'f_up': (16, 8), 'g_down': (8, 16), 'g_up': (16, 8)}
    """
    half, quarter = size // 2, size // 4
    return {
        f"{which}_{name}": lengths
        for which in ("f", "g")
        for name, lengths in (("down", (quarter, half)), ("up", (half, quarter)))
    }


def is_invertible(shape: AdapterShape) -> bool:
    """Say whether an adapter moves the embeddings; only a bottleneck of some kind may."""
    return isinstance(shape, BottleneckShape) and shape.invertible


def halves(size: int) -> bool:
    """Say whether vectors of this size can be cut for an invertible adapter."""
    return size % 2 == 0 and size >= 4


def first_adapter(composition: Composition) -> str | None:
    """Name the adapter that acts first and alone; None where a mixture or nothing does.

    >>> first_adapter("de"), first_adapter(NONE)
    ('de', None)
    """
    first = stacked_parts(composition)[0]
    return first if isinstance(first, str) and first != NONE else None


def misplaced(composition: Composition, invertible: Collection[str]) -> str | None:
    """Say what is wrong with where an invertible adapter stands; None: nothing is.

    Args:
        composition: Bound, or with `$language`.
        invertible: The names in it of those that are.
    """
    parts = stacked_parts(composition)
    others = parts if first_adapter(composition) is None else parts[1:]
    for name in (name for part in others for name in adapter_names(part)):
        if name in invertible:
            return (
                f"{name} is invertible and does not stand alone at the start of {composition}; "
                "it moves the embeddings, which all adapters share, so it is neither mixed nor "
                "put on top; train it with `invertible: false`"
            )
    return None
