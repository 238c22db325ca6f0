"""Small bundles with a graph of the tiny backbone, for tests of what is done with such bundles."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.records import ScoreRecord, SelfTest
from composer.bundle.writer import NewGraphs, NewPart, write_bundle
from composer.device.bundle import Bundle
from composer.model.backbone import open_backbone
from composer.recipe.grammar.bundles import GraphPrecision
from composer.train.graphs import make_device_graphs
from tests.model.bundles import write_tiny_bundle

ALL = ("fused", "mean", "one", "spans", "stacked")


def write_parts(target: Path, folder: Path) -> Path:
    """Write a bundle of parts only, of every composition that a device graph runs."""
    backbone = open_backbone(folder, precision="float32")
    with TemporaryDirectory() as scratch:
        write_tiny_bundle(Path(scratch) / "whole", backbone, folder)
        whole = open_bundle(Path(scratch) / "whole")
        write_some(target, whole, ALL, folder)
    return target


def write_some(
    target: Path,
    whole: OpenedBundle,
    names: Iterable[str],
    folder: Path,
    *,
    graph_for: Iterable[str] = (),
    precision: GraphPrecision = "float32",
    scores: bool = True,
) -> Path:
    """Write a bundle of some of another's compositions.

    Args:
        target: Folder that is written.
        whole: Where they come from; parts only.
        names: Of the compositions.
        folder: The backbone's.
        graph_for: Compositions that its graph runs at least; none: no graph.
        precision: Of the graph.
        scores: Whether there are any.
    """
    names, graph_for = list(names), list(graph_for)
    backbone = open_backbone(folder, precision="float32")
    known = whole.manifest
    compositions = {name: known.compositions[name] for name in names}
    parts = {
        name: _part(whole, name)
        for record in compositions.values()
        for name in (*record.parts, record.head)
    }
    graphs: NewGraphs | None = None
    if graph_for:
        for_them = {name: known.compositions[name] for name in dict.fromkeys([*names, *graph_for])}
        needed = {name: _part(whole, name) for name in known.parts}
        made = make_device_graphs(backbone, needed, for_them, precision)
        graphs = made.files
        compositions = {
            name: record.model_copy(update={"graph": made.used_by[name]})
            for name, record in compositions.items()
        }
    tokens = backbone.word_embeddings.weight.numel()
    values = {
        "composer": "0.1.0",
        "backbone": known.backbone.model_copy(
            update={"parameters": 2 * tokens, "token_parameters": tokens}
        ),
        "backbone_tensors": whole.backbone_tensors,
        "tokenizer": whole.read_tokenizer(),
        "parts": parts,
        "compositions": compositions,
        "graphs": graphs,
        "scores": [_score(name) for name in names] if scores else [],
    }
    cases = tuple(case for case in known.self_test.cases if case.composition in names)
    write_bundle(target, **values, self_test=SelfTest(cases=cases))
    if graphs and precision != "float32":
        device = Bundle.open(target, threads=1)
        cases = tuple(c.model_copy(update={"by_graph": device.outputs(c)}) for c in cases)
        write_bundle(target, **values, self_test=SelfTest(cases=cases))
    return target


def files_of(folder: Path) -> dict[str, bytes]:
    """Give every byte of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _part(whole: OpenedBundle, name: str) -> NewPart:
    record = whole.manifest.parts[name]
    return NewPart(
        kind=record.kind,
        role=record.role,
        tensors=whole.read_part(name),
        config=record.config,
        parents=record.parents,
        licence="MIT",
    )


def _score(name: str) -> ScoreRecord:
    return ScoreRecord(
        composition=name,
        language="en",
        split="test",
        score="accuracy",
        value=0.5,
        n=40,
        seed=1,
        data_digest="0" * 64,
    )
