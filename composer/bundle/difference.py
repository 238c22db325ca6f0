"""What changed from one bundle to another: backbone, graphs, parts, compositions, scores, sizes.

changed  part         intent        2 of 24 tensors: 0.output.up (by up to 0.031), ...
added    composition  mad-x:de      de > intent
changed  score        intent en     accuracy, test, float32: 91.2 -> 93.1 (+1.9 points)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from composer.bundle.graphs import WEIGHTS, graph_file
from composer.bundle.manifest import Manifest
from composer.bundle.reader import OpenedBundle
from composer.bundle.records import CompositionRecord, PartRecord, ScoreRecord

What = Literal["added", "removed", "changed"]
TENSORS_NAMED = 5

_Name = TypeVar("_Name", str, tuple[str, ...])

_SAID_APART = {"sha256", "bytes", "file", "parameters", "tensors", "config"}  # of a part


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is not the same in both.

    Attributes:
        what: How.
        section: "backbone", "graph", "part", "composition", "score", "licence", "self-test",
            "size", or another field of the manifest.
        name: Of what changed in that section.
        how: In words; empty where nothing is to be added.
        before: A score, or bytes; None: it is no number, or was not there.
        after: The same of the second bundle.
    """

    what: What
    section: str
    name: str
    how: str = ""
    before: float | None = None
    after: float | None = None


def differences(one: OpenedBundle, other: OpenedBundle) -> list[Change]:
    """List all that differs; nothing where the bundles are the same, byte for byte."""
    before, after = one.manifest, other.manifest
    if before.to_bytes() == after.to_bytes():
        return []
    found = [
        *_field_changes("backbone", before.backbone.model_dump(), after.backbone.model_dump()),
        *_graph_changes(one, other),
        *_part_changes(one, other),
        *_compositions(before, after),
        *_scores(before, after),
        *_field_changes("licence", before.licences, after.licences),
        *_self_test(before, after),
        *_sizes(before, after),
    ]
    for name in ("composer", "recipe", "lock"):
        if getattr(before, name) != getattr(after, name):
            found.append(Change(what="changed", section="manifest", name=name))
    return found


def _graph_changes(one: OpenedBundle, other: OpenedBundle) -> Iterator[Change]:
    before, after = one.manifest, other.manifest
    for name, what in _names(before.graphs, after.graphs):
        how = []
        if what == "changed":
            old, new = before.graphs[name], after.graphs[name]
            if old.precision != new.precision:
                how.append(f"precision: {old.precision} -> {new.precision}")
            if old.signature != new.signature:
                how.append("what it can run")
            if before.files[graph_file(name)] != after.files[graph_file(name)]:
                how.append("its structure")
        if how or what != "changed":
            yield Change(what=what, section="graph", name=name, how=", ".join(how))
    if before.graphs and after.graphs and before.files[WEIGHTS] != after.files[WEIGHTS]:
        how_ = _tensor_changes(one.read_graph_weights(), other.read_graph_weights())
        yield Change(what="changed", section="graph", name=WEIGHTS, how=how_)


def _part_changes(one: OpenedBundle, other: OpenedBundle) -> Iterator[Change]:
    before, after = one.manifest.parts, other.manifest.parts
    for name, what in _names(before, after):
        old, new, how = before.get(name), after.get(name), []
        if old == new:
            continue
        if old and new:
            if old.sha256 != new.sha256:
                how.append(_tensor_changes(one.read_part(name), other.read_part(name)))
            how += [*_value_words(old.config, new.config), *_value_words(_rest(old), _rest(new))]
        sizes = {"before": old.bytes if old else None, "after": new.bytes if new else None}
        yield Change(what=what, section="part", name=name, how=", ".join(how), **sizes)


def _rest(part: PartRecord) -> dict[str, object]:
    return {name: value for name, value in dict(part).items() if name not in _SAID_APART}


def _tensor_changes(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> str:
    """Say which tensors differ, and how far."""
    said = []
    for name, what in _names(old, new):
        if what != "changed":
            said.append(f"{name} {what}")
        elif old[name].dtype != new[name].dtype or old[name].shape != new[name].shape:
            said.append(f"{name} ({_type(old[name])} -> {_type(new[name])})")
        elif not np.array_equal(old[name], new[name]):
            far = np.abs(old[name].astype(np.float64) - new[name].astype(np.float64)).max()
            said.append(f"{name} (by up to {far:.2g})")
    more = len(said) - TENSORS_NAMED
    shown = [*said[:TENSORS_NAMED], *([f"and {more:,} more"] if more > 0 else [])]
    return f"{len(said):,} of {len(old.keys() | new.keys()):,} tensors: {', '.join(shown)}"


def _type(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _compositions(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.compositions, after.compositions
    for name, what in _names(old, new):
        if what != "changed":
            how = (old.get(name) or new[name]).expression
        elif old[name] != new[name]:
            how = ", ".join(_composition_words(old[name], new[name]))
        else:
            continue
        yield Change(what=what, section="composition", name=name, how=how)


def _composition_words(old: CompositionRecord, new: CompositionRecord) -> Iterator[str]:
    if old.labels != new.labels:
        lost = [repr(one) for one in old.labels if one not in new.labels]
        won = [repr(one) for one in new.labels if one not in old.labels]
        words = [f"without {', '.join(lost)}"] * bool(lost) + [f"with {', '.join(won)}"] * bool(won)
        yield f"labels: {'; '.join(words) or 'in another order'}"
    values, others = dict(old), dict(new)
    yield from _value_words(
        {name: value for name, value in values.items() if name != "labels"},
        {name: value for name, value in others.items() if name != "labels"},
    )


def _scores(before: Manifest, after: Manifest) -> Iterator[Change]:
    """Compare what was measured of the same: composition, language, split, score, precision."""
    old, new = _by_subject(before.scores), _by_subject(after.scores)
    for key, what in _names(old, new):
        composition, language, *rest = key
        name, words = f"{composition} {language}", ", ".join(rest)
        was, is_ = old.get(key), new.get(key)
        if was == is_:
            continue
        how = [f"{words}: {_points(was)} -> {_points(is_)}"]
        if was and is_:
            how[0] += f" ({100 * (is_.value - was.value):+.1f} points)"
            how += _value_words(_circumstances(was), _circumstances(is_))
        numbers = {"before": was.value if was else None, "after": is_.value if is_ else None}
        yield Change(what=what, section="score", name=name, how=", ".join(how), **numbers)


def _by_subject(scores: tuple[ScoreRecord, ...]) -> dict[tuple[str, ...], ScoreRecord]:
    """Give each score by what it is of; one that was measured twice has its seed or data added."""
    found: dict[tuple[str, ...], ScoreRecord] = {}
    for one in scores:
        key: tuple[str, ...] = (one.composition, one.language, one.score, one.split, one.variant)
        if key in found:
            key = (*key, f"seed {one.seed}", f"data {one.data_digest[:12]}", f"n {one.n}")
        found[key] = one
    return found


def _circumstances(score: ScoreRecord) -> dict[str, object]:
    return {"n": score.n, "seed": score.seed, "data": score.data_digest[:12]}


def _points(score: ScoreRecord | None) -> str:
    return "none" if score is None else f"{100 * score.value:.1f}"


def _self_test(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.self_test, after.self_test
    if old != new:
        how = f"{len(old.cases):,} cases -> {len(new.cases):,}"
        if len(old.cases) == len(new.cases):
            how = ", ".join(
                f"{name}: {getattr(old, name)} -> {getattr(new, name)}"
                for name in ("tolerance", "graph_tolerance")
                if getattr(old, name) != getattr(new, name)
            )
        yield Change(what="changed", section="self-test", name="cases", how=how or "other cases")


def _sizes(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = ({n: one.bytes for n, one in m.listed().items()} for m in (before, after))
    for name, what in _names(old, new):
        if old.get(name) != new.get(name):
            was, is_ = old.get(name), new.get(name)
            yield Change(what=what, section="size", name=name, before=was, after=is_)
    if sum(old.values()) != sum(new.values()):
        yield Change(
            what="changed",
            section="size",
            name="in all",
            before=sum(old.values()),
            after=sum(new.values()),
        )


def _field_changes(
    section: str, old: Mapping[str, object], new: Mapping[str, object]
) -> Iterator[Change]:
    for name, what in _names(old, new):
        if what != "changed":
            yield Change(what=what, section=section, name=name, how=str({**old, **new}[name]))
        elif old[name] != new[name]:
            how = f"{old[name]} -> {new[name]}"
            yield Change(what="changed", section=section, name=name, how=how)


def _value_words(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name, what in _names(old, new):
        if what != "changed":
            yield f"{name}: {what}"
        elif old[name] != new[name]:
            yield f"{name}: {_plain(old[name])} -> {_plain(new[name])}"


def _plain(value: object) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _names(old: Mapping[_Name, object], new: Mapping[_Name, object]) -> list[tuple[_Name, What]]:
    """List the names of both, sorted, each with what may have become of it."""
    return [
        (name, "removed" if name not in new else "added" if name not in old else "changed")
        for name in sorted(old.keys() | new.keys())
    ]
