"""What a stage was, as plain values in the manifest of its result.

    {
      "backbone": {"source": "sample", "name": "multilingual-e5-small", …},
      "data_digest": "77ab…",
      "fingerprints": {"body": "31c0…", "vocabulary": "9e55…"},
      "needs": ["0a41…"],
      "precision": "float32",
      "settings": {"kind": "task", "shape": {…}, "task": {…}, "over": {"de": "0a41…"}, …},
      "versions": {"arithmetic": "1", "torch": "2.13.0", …}
    }

Other stages stand in it by key, never by name, so it can be read back wherever the store is:
in the stage that `read_stage` gives, the name of a needed stage is its key.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from composer.bundle.fingerprint import Fingerprints
from composer.engine.planning.machine import Resolved
from composer.engine.storage.manifest import Kind, Manifest
from composer.errors import StoreError
from composer.recipe.expansion.stages import (
    Choose,
    Evaluate,
    Export,
    ScoreText,
    Stage,
    TrainComposition,
    TrainHead,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.backbones import Backbone
from composer.recipe.grammar.composition import (
    CompositionError,
    parse_composition,
    print_composition,
)

KINDS: dict[type[Stage], Kind] = {
    TrainHead: "language-head",
    TrainLanguage: "language",
    TrainTask: "task",
    TrainComposition: "composition",
    Choose: "choice",
    Evaluate: "evaluation",
    ScoreText: "language-loss",
    Export: "bundle",
}
_CLASSES = {kind: one for one, kind in KINDS.items()}


class Record(BaseModel):
    """Everything that a key was made of, and where the backbone and the data were found.

    Attributes:
        settings: Of the stage; see `stage_settings`.
        needs: Keys of the stages that it rests on, sorted.
        data_digest: Of the data's bytes; empty for a stage that reads none.
        backbone: The recipe's block.
        fingerprints: Of the backbone.
        precision: "float32" or "bfloat16".
        versions: Of the arithmetic and of libraries.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, object]
    needs: tuple[str, ...]
    data_digest: str
    backbone: Backbone
    fingerprints: Fingerprints
    precision: Resolved
    versions: dict[str, str]

    def plain(self) -> dict[str, object]:
        """Give it as values that JSON can spell."""
        return self.model_dump(mode="json")


def read_record(manifest: Manifest) -> Record:
    """Read what `Record.plain` gave.

    Raises:
        StoreError: It was written by a version of composer with another grammar.
    """
    try:
        return Record.model_validate_json(json.dumps(manifest.stage))
    except ValidationError as error:
        raise _unreadable(manifest.key, error) from error


def stage_settings(stage: Stage, needs: Mapping[str, str]) -> dict[str, object]:
    """Spell a stage as plain values, without its name.

    Args:
        stage: Whatever it does.
        needs: Stage name -> key, for every need.
    """
    kind = KINDS[type(stage)]
    values = _adapter(kind).dump_python(_with_plain_parts(stage, needs), mode="json")
    del values["name"]
    return {"kind": kind, **values}


def read_stage(record: Record, *, name: str) -> Stage:
    """Build the stage that a record tells of; needed stages are named by their keys.

    Args:
        record: Of a published result.
        name: For the stage that is given back.

    Raises:
        StoreError: It was written by a version of composer with another grammar.
    """
    values = {**record.settings, "name": name}
    kind = values.pop("kind", None)
    if kind not in _CLASSES:
        raise StoreError(f"{name}: a result of kind {kind!r}, which this composer does not know")
    try:
        stage = _adapter(kind).validate_json(json.dumps(values))
        return _with_parsed_parts(stage)
    except (ValidationError, CompositionError) as error:
        raise _unreadable(name, error) from error


def _with_plain_parts(stage: Stage, needs: Mapping[str, str]) -> Stage:
    """Put keys where stages are named, and text where compositions are."""
    if isinstance(stage, TrainHead):
        return stage
    if isinstance(stage, TrainLanguage):
        return replace(stage, head=stage.head and needs[stage.head])
    if isinstance(stage, ScoreText):
        adapter = stage.adapter and needs[stage.adapter]
        return replace(stage, adapter=adapter, head=needs[stage.head])
    if isinstance(stage, TrainTask):
        choice = stage.choice and needs[stage.choice]
        return replace(stage, over=_renamed(stage.over, needs), choice=choice)
    if isinstance(stage, Choose):
        trials = tuple(replace(one, stage=needs[one.stage]) for one in stage.trials)
        return replace(stage, trials=trials)
    parts = _renamed(stage.parts, needs)
    if isinstance(stage, Export):
        bundled = [
            replace(
                one,
                composition=print_composition(one.composition),
                owner=needs[one.owner],
                evaluations=tuple(needs[name] for name in one.evaluations),
            )
            for one in stage.compositions
        ]
        return replace(stage, parts=parts, compositions=tuple(bundled))
    text = print_composition(stage.composition)
    if isinstance(stage, Evaluate):
        return replace(stage, parts=parts, composition=text, owner=needs[stage.owner])
    return replace(stage, parts=parts, composition=text)


def _with_parsed_parts(stage: Stage) -> Stage:
    if isinstance(stage, TrainComposition | Evaluate):
        return replace(stage, composition=parse_composition(str(stage.composition)))
    if isinstance(stage, Export):
        bundled = [
            replace(one, composition=parse_composition(str(one.composition)))
            for one in stage.compositions
        ]
        return replace(stage, compositions=tuple(bundled))
    return stage


def _renamed(stages: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {part: names[stage] for part, stage in stages.items()}


@cache
def _adapter(kind: Kind) -> TypeAdapter[Stage]:
    return TypeAdapter(_CLASSES[kind])


def _unreadable(place: str, error: Exception) -> StoreError:
    return StoreError(
        f"{place[:12] if len(place) == 64 else place}: what this result is cannot be read "
        f"({error}); it was made by another version of composer: make it again"
    )
