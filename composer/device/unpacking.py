"""A bundle taken apart for programs in C++, C#, Java or JavaScript that run ONNX Runtime.

    unpacked/
    ├── graph.onnx               loaded by its path; its weights lie beside it
    ├── graph.safetensors
    ├── tokenizer.json
    ├── intent.onnx_adapter      all inputs of a composition but the tokens and `pooling`
    ├── intent.safetensors       the same, for programs that cannot read the former
    ├── intent.json              what it predicts, which graph runs it, the inputs' shapes
    └── mad-x@de.onnx_adapter    `mad-x:de`; a colon is no sign for the name of a file

Where ONNX Runtime is given an adapter (`AddActiveLoraAdapter`), its tensors need not be fed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from composer.bundle.files import write_bytes, write_json
from composer.bundle.graphs import WEIGHTS, graph_file
from composer.bundle.header import Entry, read_header
from composer.bundle.manifest import TOKENIZER
from composer.bundle.publish import unfinished_folder
from composer.bundle.reader import OpenedBundle
from composer.bundle.records import CompositionRecord
from composer.bundle.tensors import write_tensors
from composer.device.bundle import Bundle
from composer.device.places import check_places
from composer.errors import BundleError

ADAPTER_VERSION = 1  # of what is written; ONNX Runtime wants a number

# Names that Windows keeps for itself, whatever follows the dot.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10))}


def unpack_bundle(opened: OpenedBundle, target: Path) -> list[str]:
    """Write what a program needs that runs ONNX Runtime itself.

    Args:
        opened: With a graph.
        target: A folder that is not there, or is empty.

    Returns:
        The names of the files.

    Raises:
        BundleError: There is no graph, a graph is not what composer writes, or the target is taken.
        StoreError: A file cannot be written.
    """
    if target.is_symlink() or (target.exists() and not _is_empty(target)):
        raise BundleError(f"{target} is there; give a name that is free, or an empty folder")
    bundle = Bundle(opened)
    graphs = opened.manifest.graphs
    names = _file_names(opened)
    places = _places(opened)
    for graph in graphs:
        check_places(opened.read_graph(graph), places, place=f"{opened.path}: {graph_file(graph)}")
    with unfinished_folder(target) as folder:
        for graph in graphs:
            write_bytes(folder / graph_file(graph), opened.read_graph(graph))
        for name in (WEIGHTS, TOKENIZER):
            write_bytes(folder / name, opened.read_file(name))
        for name, stem in names.items():
            _write_composition(bundle, name, stem, folder)
        return sorted(path.name for path in folder.iterdir())


def file_stem(composition: str) -> str:
    """Say what a composition's files are called.

    >>> file_stem("mad-x:de")
    'mad-x@de'
    """
    return composition.replace(":", "@")


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def _file_names(opened: OpenedBundle) -> dict[str, str]:
    """Give each composition a name for its files that no other file has, on any system."""
    stems = {name: file_stem(name) for name in sorted(opened.manifest.compositions)}
    taken = {*opened.manifest.graphs, "graph", "tokenizer"}
    spellings = Counter(stem.lower() for stem in stems.values())
    for name, stem in stems.items():
        if stem.lower() in taken or stem.lower() in _DEVICES:
            raise BundleError(
                f"{opened.path}: a composition {name!r} cannot be unpacked: that is the name of "
                "another file; export it under another name"
            )
        if spellings[stem.lower()] > 1:
            raise BundleError(f"{opened.path}: {name!r} and another differ in case only")
    return stems


def _places(opened: OpenedBundle) -> dict[str, Entry]:
    with opened.source.open(WEIGHTS) as (file, size):
        return read_header(file, size, place=f"{opened.path}: {WEIGHTS}", error=BundleError)


def _write_composition(bundle: Bundle, name: str, stem: str, folder: Path) -> None:
    composition = bundle.use(name)
    feeds = {one: np.ascontiguousarray(array) for one, array in sorted(composition.feeds.items())}
    write_adapter(folder / f"{stem}.onnx_adapter", feeds)
    write_tensors(folder / f"{stem}.safetensors", feeds)
    about = dict(_about(composition.record, feeds), composition=name)
    write_json(folder / f"{stem}.json", about)


def write_adapter(path: Path, feeds: Mapping[str, np.ndarray]) -> None:
    """Write inputs as ONNX Runtime's own kind of adapter; the same inputs give the same bytes.

    Args:
        path: A file that is not there.
        feeds: Name -> array.
    """
    adapter = onnxruntime.AdapterFormat()
    adapter.set_adapter_version(ADAPTER_VERSION)
    adapter.set_model_version(ADAPTER_VERSION)
    adapter.set_parameters(
        {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array)
            for name, array in sorted(feeds.items())
        }
    )
    adapter.export_adapter(str(path))


def _about(
    record: CompositionRecord, feeds: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, object]]:
    yield "expression", record.expression
    yield "graph", graph_file(str(record.graph))
    yield "type", record.type
    yield "labels", list(record.labels)
    yield "pooling", "token" if record.type == "token-classification" else record.pooling
    yield "languages", list(record.languages)
    yield "inputs", {name: list(array.shape) for name, array in feeds.items()}
