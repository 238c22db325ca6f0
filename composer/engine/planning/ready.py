"""Whether everything is there that a recipe names: its backbone, and the data of every stage.

This is what `composer check` asks beyond the recipe itself, and what a plan begins with.
"""

from collections.abc import Iterable
from pathlib import Path

from composer.bundle.fingerprint import Fingerprints
from composer.data.digest import uses_digest
from composer.engine.planning.backbones import (
    BackboneFacts,
    backbone_facts,
    stated_faults,
    stated_shape,
)
from composer.engine.planning.wanted import Wanted
from composer.errors import BackboneError, DataError, Fault, RecipeError
from composer.recipe.expansion.stages import Evaluate, Stage, data_uses
from composer.recipe.grammar.data import DataSource, Split

DataUsed = tuple[tuple[DataSource, tuple[str, ...], Split | None], ...]


def check_ready(wanted: Wanted, *, cache: Path) -> None:
    """Tell what is missing or does not fit.

    Raises:
        DataError: Data is missing; all of it at once.
        BackboneError: The backbone is not there, or not the one that stored parts need.
        RecipeError: The recipe does not fit the backbone.
    """
    known_backbone(wanted, cache=cache)
    data_digests(wanted)


def known_backbone(wanted: Wanted, *, cache: Path) -> BackboneFacts | None:
    """Say what is known of the backbone, and hold it to what is wanted; None: not fetched yet."""
    facts = backbone_facts(wanted.backbone, folder=wanted.folder, cache=cache)
    shape = stated_shape(wanted.backbone) if facts is None else facts.shape
    if shape is not None and (
        faults := [*stated_faults(wanted.backbone, shape), *wanted.fit(shape)]
    ):
        raise RecipeError(faults)
    if facts is None:
        return None
    trained_on = wanted.fingerprints
    if trained_on is not None and trained_on != facts.fingerprints:
        raise BackboneError(
            f"backbone: its fingerprint is {_short(facts.fingerprints)}, the stored adapters were "
            f"trained on {_short(trained_on)}; give the backbone that they were trained on"
        )
    return facts


def data_used(stage: Stage) -> DataUsed:
    """List the data that a stage reads, of which languages, and of which split alone."""
    split = stage.split if isinstance(stage, Evaluate) else None
    return tuple((use.source, use.languages, split) for use in data_uses(stage))


def data_digests(wanted: Wanted) -> dict[DataUsed, str]:
    """Digest the data of all stages; say all that is wrong with any of it at once."""
    digests: dict[DataUsed, str] = {}
    faults: list[Fault] = []
    for use in _different(wanted.stages):
        try:
            digests[use] = uses_digest(use, folder=wanted.folder, outside=wanted.outside)
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(dict.fromkeys(faults))
    return digests


def _different(stages: Iterable[Stage]) -> list[DataUsed]:
    return list(dict.fromkeys(use for one in stages if (use := data_used(one))))


def _short(fingerprints: Fingerprints) -> str:
    return f"{fingerprints.body[:12]} (vocabulary {fingerprints.vocabulary[:12]})"
