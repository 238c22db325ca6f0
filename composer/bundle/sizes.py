"""What a bundle weighs: file by file, and what it would weigh in float32."""

from collections.abc import Iterator
from dataclasses import dataclass

from composer.bundle.graphs import WEIGHTS
from composer.bundle.header import read_header
from composer.bundle.manifest import MANIFEST, Manifest
from composer.bundle.reader import OpenedBundle
from composer.errors import BundleError

BACKBONE, TOKENS = "backbone", "token embeddings"

_TOKENS = ("embeddings.tokens", "embeddings.tokens_int8", "embeddings.scales")  # in WEIGHTS
_FLOAT = 4  # bytes of a number in float32


@dataclass(frozen=True, kw_only=True)
class SizeRow:
    """One file of a bundle.

    Attributes:
        name: Of the part; of another file its path.
        kind: Of the part; "file" for another file.
        bytes: On disk.
        parameters: Numbers in the part; 0 for another file.
        used_by: Names of the compositions that need it; empty: all, or none.
    """

    name: str
    kind: str
    bytes: int
    parameters: int = 0
    used_by: tuple[str, ...] = ()


def size_report(manifest: Manifest) -> list[SizeRow]:
    """List parts, then other files, each by name; the sum is the bundle's size."""
    rows = [
        SizeRow(
            name=name,
            kind=part.kind,
            bytes=part.bytes,
            parameters=part.parameters,
            used_by=_users(manifest, name),
        )
        for name, part in sorted(manifest.parts.items())
    ]
    sizes = {name: record.bytes for name, record in manifest.files.items()}
    sizes[MANIFEST] = len(manifest.to_bytes())
    return rows + [
        SizeRow(name=name, kind="file", bytes=size) for name, size in sorted(sizes.items())
    ]


@dataclass(frozen=True, kw_only=True)
class WeightRow:
    """What is computed with: the backbone, or a part.

    Attributes:
        name: Of the part; "backbone", or "token embeddings", which are in the backbone too.
        kind: Of the part; of the others "frozen".
        parameters: Numbers in it.
        float32: Bytes that they would take.
        stored: Bytes in this bundle; 0: it is not in it.
        used_by: Names of the compositions that need the part.
    """

    name: str
    kind: str
    parameters: int
    float32: int
    stored: int
    used_by: tuple[str, ...] = ()


def weight_report(opened: OpenedBundle) -> list[WeightRow]:
    """List the backbone, its token embeddings, and every part by name."""
    manifest, backbone = opened.manifest, opened.manifest.backbone
    weights = manifest.files.get(WEIGHTS)
    tokens = _token_bytes(opened) if weights else 0
    return [
        _row(BACKBONE, backbone.parameters, weights.bytes if weights else 0),
        _row(TOKENS, backbone.token_parameters, tokens),
        *_part_rows(manifest),
    ]


def _part_rows(manifest: Manifest) -> Iterator[WeightRow]:
    for name, part in sorted(manifest.parts.items()):
        users = _users(manifest, name)
        yield _row(name, part.parameters, part.bytes, kind=part.kind, used_by=users)


def _row(
    name: str, parameters: int, stored: int, *, kind: str = "frozen", used_by: tuple[str, ...] = ()
) -> WeightRow:
    return WeightRow(
        name=name,
        kind=kind,
        parameters=parameters,
        float32=_FLOAT * parameters,
        stored=stored,
        used_by=used_by,
    )


def _token_bytes(opened: OpenedBundle) -> int:
    with opened.source.open(WEIGHTS) as (file, size):
        entries = read_header(file, size, place=f"{opened.path}: {WEIGHTS}", error=BundleError)
    return sum(entry.type.bytes for name, entry in entries.items() if name in _TOKENS)


def _users(manifest: Manifest, part: str) -> tuple[str, ...]:
    return tuple(
        name
        for name, composition in sorted(manifest.compositions.items())
        if part in (*composition.parts, composition.head)
    )
