"""What a bundle weighs, file by file."""

from dataclasses import dataclass

from composer.bundle.manifest import MANIFEST, Manifest


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


def _users(manifest: Manifest, part: str) -> tuple[str, ...]:
    return tuple(
        name
        for name, composition in sorted(manifest.compositions.items())
        if part in (*composition.parts, composition.head)
    )
