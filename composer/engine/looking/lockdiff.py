"""What changed from one lock file to another, stage by stage, with the reasons.

    task/intent   changed   training.epochs: 8 -> 4
    task/domain   removed
    language/de   bytes     the same key, other bytes: the processor, or a library, decided them

Reasons are read from the records of results, where a store still has both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from composer.engine.planning.lock import Lock
from composer.engine.planning.reasons import Known, Reason, differences, told
from composer.engine.planning.record import Record, read_record
from composer.engine.storage.faults import DamagedError
from composer.engine.storage.store import Store
from composer.errors import StoreError

How = Literal["added", "removed", "changed", "bytes", "made", "unmade"]

_BYTES = told("the same key, other bytes: the processor, or a library, decided this result")


@dataclass(frozen=True, kw_only=True)
class StageChange:
    """What changed of a stage.

    Attributes:
        stage: Its name.
        how: "added" or "removed"; "changed": another key; "bytes": the same key, other outputs;
            "made" or "unmade": the same key, whose outputs only one of the two knows.
        before: Its key in the first lock.
        after: Its key in the second.
        reasons: As far as the store tells.
    """

    stage: str
    how: How
    before: str | None = None
    after: str | None = None
    reasons: tuple[Reason, ...] = ()


def shared_changes(one: Lock, other: Lock) -> list[Reason]:
    """List what changed for all stages: recipe, backbone, precision, versions."""
    before, after = _shared(one), _shared(other)
    return [
        Reason(kind="setting", what=name, before=before.get(name), after=after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def stage_changes(one: Lock, other: Lock, store: Store) -> Iterator[StageChange]:
    """Compare the stages of two locks, in the order of their names.

    Args:
        one: Before.
        other: After.
        store: That may hold the results of both.
    """
    names = _Names(one, other)
    for stage in sorted({*one.stages, *other.stages}):
        was, now = one.stages.get(stage), other.stages.get(stage)
        if was is None or now is None:
            how: How = "added" if was is None else "removed"
            keys = [one.key if one else None for one in (was, now)]
            yield StageChange(stage=stage, how=how, before=keys[0], after=keys[1])
        elif was.key != now.key:
            reasons = _reasons(was.key, now.key, store, names)
            yield StageChange(
                stage=stage, how="changed", before=was.key, after=now.key, reasons=reasons
            )
        elif was.outputs != now.outputs:
            how = "bytes" if was.outputs and now.outputs else "made" if now.outputs else "unmade"
            reasons = (_BYTES,) if how == "bytes" else ()
            yield StageChange(stage=stage, how=how, before=was.key, after=now.key, reasons=reasons)


class _Names:
    """What the keys in two locks are called."""

    def __init__(self, one: Lock, other: Lock) -> None:
        self.before = {stage.key: name for name, stage in one.stages.items()}
        self.now = {stage.key: name for name, stage in other.stages.items()}
        self.anew = {key: name for key, name in self.now.items() if key not in self.before}


def _reasons(before: str, after: str, store: Store, names: _Names) -> tuple[Reason, ...]:
    try:
        records = [_record(key, store) for key in (before, after)]
        if records[0] is None or records[1] is None:
            gone = " and ".join(
                k[:12] for k, r in zip((before, after), records, strict=True) if r is None
            )
            return (told(f"not known: the store has no result {gone}"),)
        known = Known(anew=names.anew, now=names.now, before=names.before, key_of=lambda path: path)
        return differences(records[0], records[1], known)
    except (DamagedError, StoreError) as fault:
        return (told(f"not known: {fault}"),)


def _record(key: str, store: Store) -> Record | None:
    manifest = store.peek(key)
    return read_record(manifest) if manifest else None


def _shared(lock: Lock) -> Mapping[str, str]:
    backbone = {
        f"backbone.{block}.{key}": str(value)
        for block, values in lock.backbone.items()
        for key, value in values.items()
    }
    versions = {f"versions.{name}": value for name, value in lock.versions.items()}
    return {"recipe": lock.recipe, "precision": lock.precision, **backbone, **versions}
