"""Whether a manifest agrees with itself: every name leads somewhere, every count adds up.

Run before a bundle is written and before one is used.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from composer.bundle.compositions import composition_faults
from composer.bundle.graph_agreement import graph_faults
from composer.bundle.heads import head_faults
from composer.bundle.jsontext import one_line
from composer.bundle.layout import ADAPTERS, layout_faults
from composer.bundle.manifest import BACKBONE, MANIFEST, TOKENIZER, Manifest
from composer.bundle.records import BackboneRecord, PartRecord
from composer.bundle.shapes import adapter_faults, read_shape
from composer.bundle.source import PARTS
from composer.bundle.sparse import parameter_count
from composer.errors import BundleError

FAULTS_SHOWN = 20

# Nothing that a library might run when it is loaded: no .py, .bin, .pt, .pkl, .so.
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,89}\.(?:json|onnx|safetensors)")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_COMMIT = re.compile("[0-9a-f]{40}")

_KINDS_OF_ROLES = {
    "language": ADAPTERS,
    "task": ADAPTERS,
    "composition": ("fusion", "norms"),
    "head": ("head",),
}


def part_file(name: str) -> str:
    """Say where a part's tensors lie.

    >>> part_file("intent.head")
    'parts/intent.head.safetensors'
    """
    return f"{PARTS}/{name}.safetensors"


def refuse_disagreement(manifest: Manifest, *, place: str) -> None:
    """Raise a `BundleError` that names all faults, if there are any; at most 20."""
    found = islice(_faults(manifest), FAULTS_SHOWN)
    faults = [f"{place}: {one_line(fault)}" for fault in found]
    if faults:
        raise BundleError("\n".join(faults))


def _faults(manifest: Manifest) -> Iterator[str]:
    yield from _file_faults(manifest)
    yield from _backbone_faults(manifest.backbone)
    for name, part in manifest.parts.items():
        for fault in _part_faults(name, part, manifest.backbone):
            yield f"parts.{name}: {fault}"
    for name, composition in manifest.compositions.items():
        for fault in composition_faults(composition, manifest):
            yield f"compositions.{name}: {fault}"
    yield from graph_faults(manifest)
    yield from _use_faults(manifest)


def _file_faults(manifest: Manifest) -> Iterator[str]:
    names = [*manifest.files, *(part.file for part in manifest.parts.values())]
    for name in manifest.files:
        if name == MANIFEST or not _FILE.fullmatch(name):
            yield f"files: {name!r:.200} cannot be the name of a file here, as 'graph.onnx' can"
    spellings = Counter(name.lower() for name in names)
    for name in names:
        if spellings[name.lower()] > 1:  # one file, on systems that ignore case
            yield f"files: {name!r} and another differ in case only"
    for name in (BACKBONE, TOKENIZER):
        if name not in manifest.files:
            yield f"files: {name!r} is missing"
    tokenizer = manifest.files.get(TOKENIZER)
    if tokenizer and tokenizer.sha256 != manifest.backbone.tokenizer:
        yield f"files.{TOKENIZER}: not the backbone's tokenizer"


def _backbone_faults(backbone: BackboneRecord) -> Iterator[str]:
    """Let a name that is looked up, on a hub or among samples, be nothing but a name."""
    if backbone.source != "folder" and not _SOURCE.fullmatch(backbone.name):
        yield f"backbone.name: {backbone.name!r} is not a name, as 'owner/name' is"
    if backbone.source == "hub" and not _COMMIT.fullmatch(backbone.revision or ""):
        yield f"backbone.revision: {backbone.revision!r:.80} is not a commit of 40 hex digits"


def _part_faults(name: str, part: PartRecord, backbone: BackboneRecord) -> Iterator[str]:
    if part.file != part_file(name):
        yield f"its file must be {part_file(name)!r}, not {part.file!r:.200}"
    if part.kind not in _KINDS_OF_ROLES[part.role]:
        yield f"a {part.kind} cannot have the role {part.role!r}"
    types = part.types
    size, layers = backbone.hidden_size, backbone.layers
    yield from layout_faults(part.kind, types, size=size, layers=layers)
    count = parameter_count(types)
    if part.parameters != count:
        yield f"{part.parameters:,} parameters are stated, its tensors have {count:,}"
    if part.kind == "head":
        yield from (f"config: {fault}" for fault in head_faults(part.config, part.tensors))
    if part.kind not in ADAPTERS:
        return
    try:
        shape = read_shape(part.config)
    except BundleError as fault:
        yield f"config: {fault}"
        return
    if shape.kind != part.kind:
        yield f"config: kind: {shape.kind!r}, not {part.kind!r}"
    for broken in adapter_faults(shape, types, size=size, layers=layers):
        yield f"config: {broken}"


def _use_faults(manifest: Manifest) -> Iterator[str]:
    known = manifest.compositions
    languages = {tag for composition in known.values() for tag in composition.languages}
    if list(manifest.languages) != sorted(languages):
        yield f"languages: must be those of the compositions: {', '.join(sorted(languages))}"
    for number, score in enumerate(manifest.scores):
        if score.composition not in known:
            yield f"scores[{number}]: no composition {score.composition!r}"
    for number, case in enumerate(manifest.self_test.cases):
        if case.composition not in known:
            yield f"self_test.cases[{number}]: no composition {case.composition!r}"
            continue
        width = known[case.composition].outputs
        if any(len(row) != width for row in (*case.expected, *(case.by_graph or ()))):
            yield f"self_test.cases[{number}]: rows of outputs must have {width} numbers"
    needed = {"backbone", *(f"part/{name}" for name in manifest.parts)}
    for name in sorted(needed - manifest.licences.keys()):
        yield f"licences: {name!r} is missing; where it is not known, say 'unknown'"
    for name in manifest.licences.keys() - needed:
        if not name.startswith("data/"):
            yield f"licences: {name!r:.200} is neither the backbone, a part nor data"
