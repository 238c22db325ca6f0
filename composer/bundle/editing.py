"""Put compositions into a bundle and take them out again, without the backbone moving.

    edit = with_compositions(open_bundle("home"), open_bundle("german"), names=["mad-x:de"])
    publish(edit, "home")                                 # a folder or a zip, as it was
    publish(without_compositions(open_bundle("home"), ["mad-x:de"]), "home")   # as before

Files that stay are copied byte for byte. What was added and is removed again leaves the bytes
that were there before; only a licence of data stays, as nothing says whose it is.
"""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from composer.bundle.agreement import refuse_disagreement
from composer.bundle.archive import write_archive
from composer.bundle.files import safe_join, unfinished_file
from composer.bundle.fingerprint import Fingerprints
from composer.bundle.graphs import FixedShape, Signature
from composer.bundle.jsontext import one_line
from composer.bundle.manifest import MANIFEST, Manifest, build_manifest
from composer.bundle.publish import unfinished_folder
from composer.bundle.ranks import joint_shape, needed_shape, part_widths
from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.records import CompositionRecord, PartRecord, ScoreRecord, SelfTestCase
from composer.bundle.slots import covers, signature_of
from composer.bundle.source import PARTS, Source, chunks
from composer.errors import BundleError, did_you_mean

_Told = TypeVar("_Told", ScoreRecord, SelfTestCase)


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A bundle as it will be; its files are still where they were. It is a `Source` itself.

    Attributes:
        bundle: What is edited.
        manifest: What it will say.
        origins: Path in the bundle -> where the file is read from.
        added: Names of the compositions that come in.
        removed: Names of the compositions and parts that go.
    """

    bundle: OpenedBundle
    manifest: Manifest
    origins: Mapping[str, Source]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the bundle is, for messages."""
        return self.bundle.path

    @property
    def changes(self) -> bool:
        """Say whether a byte changes."""
        return self.manifest.to_bytes() != self.bundle.manifest.to_bytes()

    def sizes(self) -> dict[str, int]:
        """Tell the size of every file."""
        listed = {name: record.bytes for name, record in self.manifest.listed().items()}
        return listed | {MANIFEST: len(self.manifest.to_bytes())}

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BufferedReader, int]]:
        """Open a file where it lies, or the manifest that is not written yet."""
        if name == MANIFEST:
            data = self.manifest.to_bytes()
            yield BufferedReader(io.BytesIO(data)), len(data)
            return
        with self.origins[name].open(name) as found:
            yield found

    def opened(self) -> OpenedBundle:
        """Give it as if it were published; what is read of it is checked."""
        tensors = self.bundle.backbone_tensors
        return OpenedBundle(manifest=self.manifest, backbone_tensors=tensors, source=self)

    def with_cases(self, cases: Iterable[SelfTestCase]) -> "Edit":
        """Give the same with other cases in its self-test."""
        test = self.manifest.self_test.model_copy(update={"cases": tuple(cases)})
        manifest = _manifest(self.bundle, {**dict(self.manifest), "self_test": test})
        return replace(self, manifest=manifest)


def with_compositions(
    bundle: OpenedBundle,
    other: OpenedBundle,
    *,
    names: Iterable[str] = (),
    replacing: bool = False,
) -> Edit:
    """Add compositions of another bundle of the same backbone, and all that they need.

    Scores of another precision than the bundle's own graph stay behind, and so does what the
    other's graph answered in the self-test.

    Args:
        bundle: What they are put into.
        other: Where they come from; a graph of its own is not looked at.
        names: Which; none: all.
        replacing: Let them take the place of compositions and parts of the same name.

    Raises:
        BundleError: Another backbone, no such composition, no graph that runs it, or a name
            that is taken.
    """
    _refuse_other_backbone(bundle, other)
    ours, theirs = bundle.manifest, other.manifest
    added = _asked(other, names) or sorted(theirs.compositions)
    added = [name for name in added if replacing or not _is_there(ours, theirs, name)]
    compositions = {name: _placed(bundle, other, name) for name in added}
    needed = {name for record in compositions.values() for name in _needed(record)}
    parts = {name: theirs.parts[name] for name in sorted(needed)}
    if not replacing:
        _refuse_taken(bundle, compositions, parts)
    _refuse_shared(bundle, compositions, parts)
    kept = {name: part for name, part in parts.items() if not _same_part(ours, name, part)}
    cases = (*_others(ours.self_test.cases, added), *_cases(theirs, added))
    values = {
        **dict(ours),
        "compositions": {**ours.compositions, **compositions},
        "parts": {**ours.parts, **kept},
        "scores": [*_others(ours.scores, added), *_scores(ours, theirs, added)],
        "licences": _licences(bundle, other, kept),
        "self_test": ours.self_test.model_copy(update={"cases": cases}),
    }
    origins = {**_origins(bundle), **{part.file: other.source for part in kept.values()}}
    manifest = _manifest(bundle, _without_orphans(values, ours))
    return Edit(bundle=bundle, manifest=manifest, origins=origins, added=tuple(added))


def without_compositions(bundle: OpenedBundle, names: Iterable[str]) -> Edit:
    """Take compositions out, and the parts that only they needed.

    Raises:
        BundleError: There is none of that name, or none would be left.
    """
    ours = bundle.manifest
    removed = _asked(bundle, names)
    left = {name: one for name, one in ours.compositions.items() if name not in removed}
    if not left:
        raise BundleError(
            f"{bundle.path}: {', '.join(removed)} would leave nothing to ask for; a bundle has "
            "at least one composition"
        )
    values = {
        **dict(ours),
        "compositions": left,
        "scores": _others(ours.scores, removed),
        "self_test": ours.self_test.model_copy(
            update={"cases": tuple(_others(ours.self_test.cases, removed))}
        ),
    }
    manifest = _manifest(bundle, _without_orphans(values, ours))
    gone = sorted(ours.parts.keys() - manifest.parts.keys())
    return Edit(
        bundle=bundle, manifest=manifest, origins=_origins(bundle), removed=(*removed, *gone)
    )


def publish(edit: Edit, target: str | Path) -> Manifest:
    """Write an edited bundle in its place, complete or not at all; a folder or a zip.

    Raises:
        BundleError: A file of it changed since it was checked; the place is as it was.
        StoreError: It cannot be written.
    """
    target = Path(os.path.abspath(target))
    if target.is_symlink():
        raise BundleError(
            f"{target} is a symbolic link; change the bundle that it leads to: {edit.path}"
        )
    if not target.is_dir():
        with unfinished_file(target) as file:
            write_archive(file, edit)
            file.flush()
            return open_bundle(file.name).manifest
    with unfinished_folder(target) as folder:
        (folder / PARTS).mkdir()
        for name in edit.sizes():
            with unfinished_file(safe_join(folder, name)) as file:
                file.writelines(chunks(edit, name))
        return open_bundle(folder).manifest


def _refuse_other_backbone(bundle: OpenedBundle, other: OpenedBundle) -> None:
    """Let what was made for the whole vocabulary into a trimmed bundle; its self-test decides."""
    backbone, theirs = bundle.manifest.backbone, other.manifest.backbone
    if bundle.is_trimmed_of(Fingerprints(body=theirs.body, vocabulary=theirs.vocabulary)):
        return
    other.check_backbone(
        Fingerprints(body=backbone.body, vocabulary=backbone.vocabulary), bundle.backbone_tensors
    )


def _asked(bundle: OpenedBundle, names: Iterable[str]) -> list[str]:
    known, asked = bundle.manifest.compositions, list(dict.fromkeys(names))
    unknown = [name for name in asked if name not in known]
    if unknown:
        faults = [f"no composition {one_line(n)!r}; {did_you_mean(n, known)}" for n in unknown]
        raise BundleError("\n".join(f"{bundle.path}: {fault}" for fault in faults))
    return asked


def _placed(bundle: OpenedBundle, other: OpenedBundle, name: str) -> CompositionRecord:
    """Give another bundle's composition with the first graph of this one that runs it."""
    record, graphs = other.manifest.compositions[name], bundle.manifest.graphs
    if not graphs:
        return record.model_copy(update={"graph": None})
    needed = signature_of(record, other.manifest.parts)
    for graph in sorted(graphs):
        fits = covers(graphs[graph].signature, needed)
        if fits and _has_room(graphs[graph].shape, record, other):
            return record.model_copy(update={"graph": graph})
    has = "; ".join(f"{one} has {_spoken(graphs[one].signature)}" for one in sorted(graphs))
    raise BundleError(
        f"{bundle.path}: no graph of it can run {name} ({one_line(record.expression)}), which "
        f"needs {_spoken(needed)}; {has}: export a bundle that holds them all"
    )


def _has_room(shape: FixedShape | None, record: CompositionRecord, of: OpenedBundle) -> bool:
    """Say whether a graph of this shape takes what a composition feeds."""
    if shape is None:
        return True
    widths = part_widths(of.manifest, record)
    needed = needed_shape(record, widths, batch=shape.batch, tokens=shape.tokens)
    return joint_shape([shape, needed]) == shape


def _spoken(signature: Signature) -> str:
    """Say what a signature holds.

    >>> _spoken(Signature(mixing=True))
    'mixing'
    """
    slots = {"lower": signature.lower, "upper": signature.upper}
    said = [
        f"{name} {slot.placement}{' parallel' if slot.form == 'parallel' else ''} "
        f"{'/'.join(slot.non_linearities)}"
        + (f" with {slot.middle_layers} middle layers" if slot.middle_layers else "")
        for name, slot in slots.items()
        if slot is not None
    ]
    said += [word for word in ("invertible", "mixing", "norms") if getattr(signature, word)]
    if signature.heads:
        said.append(f"heads of two layers {'/'.join(signature.heads)}")
    return ", ".join(said) or "heads alone"


def _needed(record: CompositionRecord) -> tuple[str, ...]:
    return (*record.parts, record.head)


def _is_there(ours: Manifest, theirs: Manifest, name: str) -> bool:
    """Say whether a composition is there already, whatever graph runs it."""
    known, record = ours.compositions.get(name), theirs.compositions[name]
    return (
        known is not None
        and known.model_copy(update={"graph": record.graph}) == record
        and all(_same_part(ours, part, theirs.parts[part]) for part in _needed(record))
    )


def _same_part(manifest: Manifest, name: str, part: PartRecord) -> bool:
    """Say whether a part is there already and does the same."""
    known = manifest.parts.get(name)
    fields = ("sha256", "bytes", "kind", "role", "config", "tensors")
    return known is not None and all(getattr(known, f) == getattr(part, f) for f in fields)


def _refuse_taken(
    bundle: OpenedBundle,
    compositions: Mapping[str, CompositionRecord],
    parts: Mapping[str, PartRecord],
) -> None:
    ours = bundle.manifest
    taken = [
        f"the part {name!r}"
        for name, part in parts.items()
        if name in ours.parts and not _same_part(ours, name, part)
    ]
    taken += [f"the composition {name!r}" for name in compositions if name in ours.compositions]
    if taken:
        raise BundleError(
            f"{bundle.path}: has {', '.join(sorted(taken))} already, and another; replace them "
            "(--replace), or export under another name"
        )


def _refuse_shared(
    bundle: OpenedBundle,
    compositions: Mapping[str, CompositionRecord],
    parts: Mapping[str, PartRecord],
) -> None:
    """Let no part change under a composition that stays: its scores would no longer be true."""
    ours = bundle.manifest
    changed = {n for n, part in parts.items() if n in ours.parts and not _same_part(ours, n, part)}
    for name, record in sorted(ours.compositions.items()):
        shared = sorted(changed.intersection(_needed(record)))
        if shared and name not in compositions:
            raise BundleError(
                f"{bundle.path}: {name} uses the part {shared[0]!r} that would be replaced; "
                "add that composition too, or remove it first"
            )


def _others(records: Iterable[_Told], names: Iterable[str]) -> list[_Told]:
    names = set(names)
    return [one for one in records if one.composition not in names]


def _scores(ours: Manifest, theirs: Manifest, names: Iterable[str]) -> list[ScoreRecord]:
    names = set(names)
    trimmed = ours.backbone.trimmed is not None
    fitting = {("float32", False), *((one.precision, trimmed) for one in ours.graphs.values())}
    return [
        one
        for one in theirs.scores
        if one.composition in names and (one.precision, one.trimmed) in fitting
    ]


def _cases(theirs: Manifest, names: Iterable[str]) -> list[SelfTestCase]:
    names = set(names)
    found = [case for case in theirs.self_test.cases if case.composition in names]
    return [case.model_copy(update={"by_graph": None}) for case in found]


def _licences(bundle: OpenedBundle, other: OpenedBundle, kept: Iterable[str]) -> dict[str, str]:
    """Join licences; data that is said to have two is refused."""
    ours, theirs = bundle.manifest.licences, other.manifest.licences
    data = {name: one for name, one in theirs.items() if name.startswith("data/")}
    for name, one in sorted(data.items()):
        if ours.get(name, one) != one:
            raise BundleError(
                f"{other.path}: says that {one_line(name)} is under {one!r}, {bundle.path} under "
                f"{ours[name]!r}; find out which is right, and export again"
            )
    return {**ours, **data, **{f"part/{name}": theirs[f"part/{name}"] for name in kept}}


def _without_orphans(values: dict[str, object], before: Manifest) -> dict[str, object]:
    """Drop parts that lost their last composition, with their licences."""
    compositions: dict[str, CompositionRecord] = values["compositions"]  # type: ignore[assignment]
    parts: dict[str, PartRecord] = values["parts"]  # type: ignore[assignment]
    licences: dict[str, str] = values["licences"]  # type: ignore[assignment]
    used = {name for record in compositions.values() for name in _needed(record)}
    was_used = {name for record in before.compositions.values() for name in _needed(record)}
    gone = was_used - used
    told = {f"part/{name}" for name in gone}
    return {
        **values,
        "parts": {name: part for name, part in parts.items() if name not in gone},
        "licences": {name: one for name, one in licences.items() if name not in told},
    }


def _origins(bundle: OpenedBundle) -> dict[str, Source]:
    return dict.fromkeys(bundle.manifest.listed(), bundle.source)


def _manifest(bundle: OpenedBundle, values: Mapping[str, object]) -> Manifest:
    """Make a manifest that agrees with itself, in the order that the writer gives it."""
    compositions: Mapping[str, CompositionRecord] = values["compositions"]  # type: ignore[assignment]
    scores: Iterable[ScoreRecord] = values["scores"]  # type: ignore[assignment]
    tags = {tag for record in compositions.values() for tag in record.languages}
    values = {
        **values,
        "languages": sorted(tags),
        "scores": sorted(scores, key=lambda score: score.model_dump_json()),
        "digest": "",
    }
    manifest = build_manifest(values, place=str(bundle.path)).sealed()
    refuse_disagreement(manifest, place=str(bundle.path))
    return manifest
