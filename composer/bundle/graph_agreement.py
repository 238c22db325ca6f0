"""Whether a bundle's graphs agree with its compositions and its files."""

from collections.abc import Iterator

from composer.bundle.graphs import WEIGHTS, graph_file
from composer.bundle.manifest import Manifest
from composer.bundle.ranks import shape_faults
from composer.bundle.records import CompositionRecord
from composer.bundle.slots import covers, signature_of
from composer.errors import ComposerError, did_you_mean


def graph_faults(manifest: Manifest) -> Iterator[str]:
    """Say which graph is missing, left over, or cannot run what it is to run."""
    graphs = manifest.graphs
    expected = {graph_file(name) for name in graphs} | ({WEIGHTS} if graphs else set())
    found = {name for name in manifest.files if name.endswith(".onnx") or name == WEIGHTS}
    for name in sorted(expected - found):
        yield f"files: {name!r} is missing"
    for name in sorted(found - expected):
        yield f"files: {name!r} is of no graph"
    if len({graph.precision for graph in graphs.values()}) > 1:
        yield "graphs: must have one precision"
    if any(graph.shape for graph in graphs.values()):
        yield from _shape_faults(manifest)
    for name, composition in manifest.compositions.items():
        for fault in _use_faults(composition, manifest):
            yield f"compositions.{name}: {fault}"


def _shape_faults(manifest: Manifest) -> Iterator[str]:
    try:
        yield from shape_faults(manifest)
    except (ComposerError, KeyError):
        return  # an expression or a part that is told of already


def _use_faults(composition: CompositionRecord, manifest: Manifest) -> Iterator[str]:
    name, graphs = composition.graph, manifest.graphs
    if name is None:
        if graphs:
            yield "graph: says none, and the bundle has graphs"
        return
    if name not in graphs:
        yield f"graph: no graph {name!r}; {did_you_mean(name, graphs)}"
        return
    try:
        needed = signature_of(composition, manifest.parts)
    except KeyError:
        return  # a part that is not there is told of already
    except ComposerError as fault:
        yield f"graph: {fault}"
        return
    if not covers(graphs[name].signature, needed):
        yield f"graph: {name!r} cannot run {composition.expression!r}"
