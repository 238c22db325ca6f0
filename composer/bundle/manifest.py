"""The manifest: what a bundle holds, what it was made for, and what it scored.

    home/
    ├── manifest.json              this; written last, and listing every other file
    ├── backbone.json              a digest of every tensor of the backbone it was made for, and
    │                              where its vocabulary was trimmed, which rows were kept
    ├── tokenizer.json             the backbone's
    └── parts/
        ├── de.safetensors         a language adapter
        ├── intent.safetensors     a task adapter
        ├── intent.head.safetensors
        └── few-shot.safetensors

A zip of that folder is a bundle too (`composer.bundle.archive`). The file is canonical JSON,
and `digest` is the SHA-256 of it with the digest left empty: no byte can change unnoticed.
"""

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError

from composer.bundle.graphs import GraphRecord
from composer.bundle.jsontext import canonical_json, one_line, parse_json
from composer.bundle.records import (
    BackboneRecord,
    CompositionName,
    CompositionRecord,
    FileRecord,
    GraphName,
    Licence,
    PartName,
    PartRecord,
    Record,
    ScoreRecord,
    SelfTest,
    Sha256,
)
from composer.errors import BundleError
from composer.recipe.grammar.block import LanguageTag

FORMAT = 3
MANIFEST = "manifest.json"
BACKBONE = "backbone.json"
TOKENIZER = "tokenizer.json"
MANIFEST_LIMIT = 8 * 2**20  # bytes

_TOLD = 1000  # faults: to tell one takes a kilobyte, and a megabyte of text can hold many


class Manifest(Record):
    """All that a bundle says about itself.

    Attributes:
        format: Number of this format.
        composer: Version that wrote it.
        backbone: What it was made for.
        parts: Name -> part.
        files: Name -> every other file but the manifest.
        graphs: Name -> graph of the backbone, all in one precision; none: parts only.
        compositions: Name -> composition.
        languages: Of all compositions, sorted.
        scores: Sorted.
        licences: SPDX expressions, or "unknown", of "backbone", "part/NAME" and "data/NAME".
        recipe: The recipe that it was made from.
        lock: What the recipe left open: commits, precision, versions.
        self_test: Inputs and expected outputs.
        digest: SHA-256 of the canonical form with an empty digest.
    """

    format: Literal[3] = 3
    composer: Annotated[str, Field(min_length=1, max_length=100)]
    backbone: BackboneRecord
    parts: Annotated[dict[PartName, PartRecord], Field(min_length=1)]
    files: dict[str, FileRecord]
    graphs: dict[GraphName, GraphRecord] = {}
    compositions: Annotated[dict[CompositionName, CompositionRecord], Field(min_length=1)]
    languages: tuple[LanguageTag, ...] = ()
    scores: tuple[ScoreRecord, ...] = ()
    licences: dict[str, Licence]
    recipe: dict[str, JsonValue] = {}
    lock: dict[str, JsonValue] = {}
    self_test: SelfTest = SelfTest()
    digest: Sha256 | Literal[""] = ""

    def sealed(self) -> Self:
        """Return a copy with its digest filled in."""
        return self.model_copy(update={"digest": self.own_digest()})

    def own_digest(self) -> str:
        """Digest everything but the digest."""
        return hashlib.sha256(canonical_json({**self._plain(), "digest": ""})).hexdigest()

    def to_bytes(self) -> bytes:
        """Spell it as the file does."""
        return canonical_json(self._plain())

    def listed(self) -> dict[str, FileRecord]:
        """List every file but the manifest: path in the bundle -> size and hash."""
        return dict(sorted({**self.files, **{p.file: p for p in self.parts.values()}}.items()))

    def _plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def build_manifest(values: Mapping[str, object], *, place: str) -> Manifest:
    """Make a manifest of plain values or records.

    Raises:
        BundleError: With all fields that are missing, unknown or of the wrong type.
    """
    try:
        return Manifest.model_validate(values)
    except ValidationError as fault:
        if fault.error_count() > _TOLD:
            raise BundleError(f"{place}: {fault.error_count():,} fields are wrong") from None
        faults = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}, not {one['input']!r:.80}"
            for one in islice(fault.errors(), 20)
        ]
        raise BundleError("\n".join(f"{place}: {one_line(one)}" for one in faults)) from fault


def parse_manifest(data: bytes, *, place: str) -> Manifest:
    """Read a manifest, and refuse it if a single byte is not as composer writes it.

    Whether its parts agree with each other is for `composer.bundle.agreement`.

    Raises:
        BundleError: With all faults that were found at that step.
    """
    values = parse_json(data, place=place)
    _refuse_other_formats(values.get("format"), place)
    manifest = build_manifest(values, place=place)
    if manifest.to_bytes() != data:
        raise _changed(place, "not in canonical form")
    if manifest.digest != manifest.own_digest():
        raise _changed(place, "its digest does not match")
    return manifest


def _changed(place: str, how: str) -> BundleError:
    return BundleError(f"{place}: changed since it was written ({how}); copy the bundle again")


def _refuse_other_formats(number: object, place: str) -> None:
    if number == FORMAT and type(number) is int:
        return
    if type(number) is int and number > FORMAT:
        raise BundleError(
            f"{place}: format {number} was made by a later composer; this one reads format "
            f"{FORMAT}: upgrade adapter-composer"
        )
    if type(number) is int and 0 < number:
        raise BundleError(
            f"{place}: format {number} was made by an earlier composer; this one reads format "
            f"{FORMAT}: export it again"
        )
    raise BundleError(f"{place}: format {number!r:.80} is unknown; this composer reads {FORMAT}")
