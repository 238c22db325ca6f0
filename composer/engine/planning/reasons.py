"""Why a stage is to be made anew: what differs between its last record and its new one.

    training.learning_rate: 0.001 -> 0.0005
    the content of data.intent: 77ab01c2 -> 9e551fa0
    task/intent is made anew
    version of torch: "2.12.0" -> "2.13.0"

Each reason names what was edited, a key of the recipe where there is one, with the value that the
last result was made with and the one now.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from composer.engine.planning.record import Record, read_stage
from composer.recipe.expansion.keys import Change, Settings, changed_settings, stage_settings

ReasonKind = Literal[
    "setting",  # a key of the recipe
    "data",  # the bytes of a data source
    "backbone",  # its weights or its vocabulary
    "version",  # of a library or of the arithmetic
    "anew",  # an input is made anew
    "input",  # another result is an input
    "added",  # a result is an input now
    "removed",  # a result is no input any more
    "new",  # never made
    "gone",  # its result is no longer there
    "told",  # in the words of `what`
]

_WORDS: Mapping[ReasonKind, str] = {
    "setting": "{what}: {before} -> {after}",
    "data": "the content of {what}: {before} -> {after}",
    "backbone": "the backbone's {what}: {before} -> {after}",
    "version": "version of {what}: {before} -> {after}",
    "anew": "{what} is made anew",
    "input": "{what} is another result: {before} -> {after}",
    "added": "{what} is used now",
    "removed": "{what} is not used any more",
    "new": "never made",
    "gone": "its result is gone from the store",
    "told": "{what}",
}
_SHORT = 8  # digits of a digest that are shown
_DIGEST = re.compile('"[0-9a-f]{64}"')


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One reason why a stage is to be made.

    Attributes:
        kind: What sort of thing changed.
        what: A key of the recipe, a stage, a library; what changed.
        before: What the last result was made with; None: it had none.
        after: What there is now; None: there is none.

    >>> print(Reason(kind="setting", what="training.epochs", before="8", after="4"))
    training.epochs: 8 -> 4
    """

    kind: ReasonKind
    what: str = ""
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        before, after = _shown(self.before), _shown(self.after)
        return _WORDS[self.kind].format(what=self.what, before=before, after=after)

    def plain(self) -> dict[str, str | None]:
        """Give it as JSON has it."""
        return {"kind": self.kind, "what": self.what, "before": self.before, "after": self.after}


NEVER_MADE = Reason(kind="new")
GONE = Reason(kind="gone")


def told(words: str) -> Reason:
    """Give a reason in words of its own."""
    return Reason(kind="told", what=words)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the keys in records are called, and what is behind the settings.

    Attributes:
        anew: Key -> stage, of needs that are themselves to be made.
        now: Key -> stage, of all needs.
        before: Key -> stage, of the results that the last result rests on.
        key_of: Setting -> the key of the recipe that decides it.
    """

    anew: Mapping[str, str]
    now: Mapping[str, str]
    before: Mapping[str, str]
    key_of: Callable[[str], str]


def differences(old: Record, new: Record, known: Known) -> tuple[Reason, ...]:
    """List what differs; at least one reason.

    Args:
        old: Of the result that the label had.
        new: Of the stage now.
        known: Names for what is in them.
    """
    changes = changed_settings(_decisive(old), _decisive(new))
    found = dict.fromkeys(reason for one in changes if (reason := _reason(one, known)))
    return tuple(found) or (told("this composer makes keys in another way"),)


def _decisive(record: Record) -> Settings:
    """Give what the key is made of, spelt as this composer spells it."""
    return stage_settings(
        read_stage(record, name="stage"),
        needs={key: key for key in record.needs},
        data_digest=record.data_digest,
        backbone=record.fingerprints.__dict__,
        precision=record.precision,
        versions=record.versions,
    )


def _reason(change: Change, known: Known) -> Reason | None:
    block, _, rest = change.path.partition(".")
    before, after = change.before, change.after
    if change.path == "data.digest":
        return Reason(kind="data", what=known.key_of("data.digest"), before=before, after=after)
    if block == "backbone":
        what = "weights" if rest == "body" else rest
        return Reason(kind="backbone", what=what, before=before, after=after)
    if block == "versions":
        what = "composer's arithmetic" if rest == "arithmetic" else rest
        return Reason(kind="version", what=what, before=before, after=after)
    if all(one is None or _DIGEST.fullmatch(one) for one in (before, after)):
        return _input(change, known)
    return Reason(kind="setting", what=known.key_of(change.path), before=before, after=after)


def _input(change: Change, known: Known) -> Reason | None:
    """Say of which input another result is used, or none; None: another reason says it."""
    before, after = (change.before or "").strip('"'), (change.after or "").strip('"')
    if after in known.anew:
        return Reason(kind="anew", what=known.anew[after], before=before or None, after=after)
    # What is not to be made under its old key is told under its new one, if it has one.
    was, now = known.before.get(before, ""), known.now.get(after, "")
    if not after:
        again = was in known.anew.values() or was in known.now.values()
        named = was or f"the result {before[:_SHORT]}"
        return None if again else Reason(kind="removed", what=named, before=before)
    if not before and now not in known.before.values():
        return Reason(kind="added", what=now or change.path, after=after)
    return Reason(kind="input", what=now or change.path, before=before or None, after=after)


def _shown(value: str | None) -> str:
    """Shorten a digest.

    >>> _shown('"' + 64 * "a" + '"'), _shown("8"), _shown(None)
    ('aaaaaaaa', '8', 'absent')
    """
    if value is None:
        return "absent"
    digest = value.strip('"')
    return digest[:_SHORT] if _DIGEST.fullmatch(f'"{digest}"') else value
