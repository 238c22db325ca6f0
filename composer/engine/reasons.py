"""Why a stage is to be made anew: what differs between its last record and its new one.

training.learning_rate: 0.001 -> 0.0005
the data is other
task/intent is made anew
versions.torch: "2.12.0" -> "2.13.0"
"""

import re
from collections.abc import Mapping

from composer.engine.record import Record, read_stage
from composer.recipe.keys import Settings, stage_reasons, stage_settings

_PLAIN = {
    "data.digest": "the data is other",
    "backbone.body": "the backbone is another",
    "backbone.vocabulary": "the backbone's vocabulary is another",
}
# A score stands in a record by its key: one that is made anew is told under its new key.
_GONE = re.compile(r".*\.evaluations\.[0-9a-f]{64}: .* -> absent")
_SHORT = 8  # digits of a digest, as `stage_reasons` shows them


def differences(old: Record, new: Record, *, anew: Mapping[str, str]) -> tuple[str, ...]:
    """List what differs, in words; at least one.

    Args:
        old: Of the result that the label had.
        new: Of the stage now.
        anew: Stage name -> key, of needs that are themselves to be made.
    """
    names = {key[:_SHORT]: name for name, key in anew.items()}
    lines = stage_reasons(_decisive(old), _decisive(new))
    kept = [line for line in lines if not (anew and _GONE.fullmatch(line))]
    found = dict.fromkeys(_in_words(line, names) for line in kept)
    return tuple(found) or ("this composer makes keys in another way",)


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


def _in_words(line: str, names: Mapping[str, str]) -> str:
    path, _, change = line.partition(": ")
    now = change.rpartition(" -> ")[2]
    if now in names:
        return f"{names[now]} is made anew"
    return _PLAIN.get(path, line)
