"""Where a graph file says that its weights lie: only ever in `graph.safetensors`, at their places.

The device runtime hands weights over as arrays and looks at none of this. A program that loads
the file by its path does: there a place may lead to any file, so it is held to the weights'.
"""

from collections.abc import Mapping

from composer.bundle.graphs import WEIGHTS
from composer.bundle.header import Entry
from composer.device.structure import read_structure
from composer.errors import BundleError


def check_places(structure: bytes, weights: Mapping[str, Entry], *, place: str) -> None:
    """Hold what a graph file says of its weights' places to where they lie.

    Args:
        structure: The graph file; all of it is checked.
        weights: Name -> place of each tensor in `graph.safetensors`.
        place: For messages.

    Raises:
        BundleError: It names another file, or another place in it.
    """
    found = read_structure(structure, place=place)
    for name, told in found.told.items():
        entry = weights.get(name)
        if entry is None or entry.type != found.external[name]:
            raise BundleError(f"{place}: {WEIGHTS} has no tensor {name[:80]!r} of its type")
        wanted = (
            ("location", WEIGHTS),
            ("offset", str(entry.start)),
            ("length", str(entry.type.bytes)),
        )
        if told != wanted:
            raise BundleError(
                f"{place}: says that {name[:80]!r} lies at {dict(told)!r:.200}, "
                f"not at {dict(wanted)!r}"
            )
