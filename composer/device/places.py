"""Where a graph file says that its weights lie: only ever in `graph.safetensors`, at their places.

The device runtime hands weights over as arrays and looks at none of this. A program that loads
the file by its path does: there a place may lead to any file, so it is held to the weights'.
"""

from collections.abc import Iterator, Mapping

from composer.bundle.graphs import WEIGHTS
from composer.bundle.header import Entry
from composer.device.structure import fields_of, message_of, read_structure, text_of
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
    expected = read_structure(structure, place=place).external
    for name, told in _told(structure, place):
        if name not in expected:
            continue
        entry = weights.get(name)
        if entry is None or entry.type != expected[name]:
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


def _told(structure: bytes, place: str) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Give the name of every constant, and all that is said of its place, in order."""
    for outer, graph in fields_of(structure, "model", place):
        if outer != "graph":
            continue
        for field, constant in fields_of(message_of(graph, place), "graph", place):
            if field == "initializer":
                values = list(fields_of(message_of(constant, place), "initializer", place))
                names = [text_of(value, place) for inner, value in values if inner == "name"]
                told = [
                    _pair(message_of(value, place), place)
                    for inner, value in values
                    if inner == "external_data"
                ]
                yield "".join(names[-1:]), tuple(told)


def _pair(entry: bytes, place: str) -> tuple[str, str]:
    said = {name: text_of(value, place) for name, value in fields_of(entry, "place", place)}
    return said.get("key", ""), said.get("value", "")
