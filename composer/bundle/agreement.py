"""Whether a manifest agrees with itself: every name leads somewhere, every count adds up.

Run before a bundle is written and before one is used.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from composer.bundle.layout import classes, layout_faults, mixers
from composer.bundle.manifest import BACKBONE, MANIFEST, TOKENIZER, Manifest
from composer.bundle.records import CompositionRecord, PartRecord
from composer.bundle.source import PARTS
from composer.errors import BundleError, ComposerError, did_you_mean
from composer.recipe.composition import (
    LANGUAGE,
    Composition,
    Fuse,
    Gate,
    adapter_names,
    parse_composition,
    walk,
)

FAULTS_SHOWN = 20

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_KINDS_OF_ROLES = {
    "language": ("bottleneck", "madapter"),
    "task": ("bottleneck", "madapter"),
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
    faults = [f"{place}: {fault}" for fault in islice(_faults(manifest), FAULTS_SHOWN)]
    if faults:
        raise BundleError("\n".join(faults))


def _faults(manifest: Manifest) -> Iterator[str]:
    yield from _file_faults(manifest)
    for name, part in manifest.parts.items():
        for fault in _part_faults(name, part, manifest):
            yield f"parts.{name}: {fault}"
    for name, composition in manifest.compositions.items():
        for fault in _composition_faults(composition, manifest.parts):
            yield f"compositions.{name}: {fault}"
    yield from _use_faults(manifest)


def _file_faults(manifest: Manifest) -> Iterator[str]:
    names = [*manifest.files, *(part.file for part in manifest.parts.values())]
    for name in manifest.files:
        if name == MANIFEST or not _FILE.fullmatch(name):
            yield f"files: {name!r:.200} cannot be the name of a file here"
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


def _part_faults(name: str, part: PartRecord, manifest: Manifest) -> Iterator[str]:
    if part.file != part_file(name):
        yield f"its file must be {part_file(name)!r}, not {part.file!r:.200}"
    if part.kind not in _KINDS_OF_ROLES[part.role]:
        yield f"a {part.kind} cannot have the role {part.role!r}"
    types = part.types
    backbone = manifest.backbone
    yield from layout_faults(part.kind, types, size=backbone.hidden_size, layers=backbone.layers)
    count = sum(type_.elements for type_ in types.values())
    if part.parameters != count:
        yield f"{part.parameters:,} parameters are stated, its tensors have {count:,}"


def _composition_faults(
    composition: CompositionRecord, parts: Mapping[str, PartRecord]
) -> Iterator[str]:
    for name in (*composition.parts, composition.head):
        if name not in parts:
            yield f"no part {name!r}; {did_you_mean(name, parts)}"
    if len(set(composition.parts)) != len(composition.parts):
        yield "a part is listed twice"
    yield from _expression_faults(composition, parts)
    head = parts.get(composition.head)
    if head is None:
        return
    if head.kind != "head" or "bias" not in head.tensors or not head.types["bias"].shape:
        yield f"the part {composition.head!r} is no head"
        return
    if len(set(composition.labels)) != len(composition.labels):
        yield "a label is there twice"
    if (composition.type == "regression") != (not composition.labels):
        yield f"{len(composition.labels)} labels for a {composition.type}"
    elif classes(head.types) != composition.outputs:
        yield (
            f"{len(composition.labels)} labels of a {composition.type} need a head of "
            f"{composition.outputs} rows, not {classes(head.types)}"
        )


def _expression_faults(
    composition: CompositionRecord, parts: Mapping[str, PartRecord]
) -> Iterator[str]:
    try:
        expression = parse_composition(composition.expression)
    except ComposerError as fault:
        yield f"expression: {fault}"
        return
    if str(expression) != composition.expression:
        yield f"expression: must be written {str(expression)!r}"
    named = adapter_names(expression)
    for name in named:
        if name == LANGUAGE:
            yield f"expression: {LANGUAGE} is not bound to a language"
        elif name not in composition.parts:
            yield f"expression: {name!r} is not among its parts"
    for name in composition.parts:
        if name in parts and (parts[name].role in ("language", "task")) != (name in named):
            yield f"the part {name!r} ({parts[name].role}) does not belong to the expression"
    yield from _mixer_faults(expression, composition, parts)


def _mixer_faults(
    expression: Composition, composition: CompositionRecord, parts: Mapping[str, PartRecord]
) -> Iterator[str]:
    used = [parts[name] for name in composition.parts if name in parts]
    fusions = [part for part in used if part.kind == "fusion"]
    wanted = dict(enumerate({form} for form in _mixers(expression)))
    found = mixers(fusions[0].types) if len(fusions) == 1 else {}
    if len(fusions) > 1 or found != wanted:
        yield (
            f"expression: it has the mixers {_spoken(wanted)}, its parts of the kind fusion "
            f"have {_spoken(found)}"
        )


def _mixers(expression: Composition) -> Iterator[tuple[str, int]]:
    for part in walk(expression):
        if isinstance(part, Fuse | Gate):
            yield ("gate" if isinstance(part, Gate) else "fuse", len(part.parts))


def _spoken(mixers_: Mapping[int, set[tuple[str, int]]]) -> str:
    forms = [f"{form} of {count}" for found in mixers_.values() for form, count in sorted(found)]
    return ", ".join(forms) or "none"


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
        if any(len(row) != width for row in case.expected):
            yield f"self_test.cases[{number}]: rows of outputs must have {width} numbers"
    needed = {"backbone", *(f"part/{name}" for name in manifest.parts)}
    for name in sorted(needed - manifest.licences.keys()):
        yield f"licences: {name!r} is missing; where it is not known, say 'unknown'"
    for name in manifest.licences.keys() - needed:
        if not name.startswith("data/"):
            yield f"licences: {name!r:.200} is neither the backbone, a part nor data"
