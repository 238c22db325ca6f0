"""What is to be carried out: a recipe's stages, or the one stage of a command."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from composer.bundle.fingerprint import Fingerprints
from composer.errors import Fault
from composer.recipe.expansion.expand import expand
from composer.recipe.expansion.stages import Stage
from composer.recipe.grammar.backbones import Backbone
from composer.recipe.reading.reader import LoadedRecipe
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import check_fit


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Stages, and what they are carried out on.

    Attributes:
        recipe: Name that the results are labelled with.
        stages: Needs first.
        backbone: The recipe's block.
        folder: What relative paths start from.
        outside: Whether data may lie outside that folder.
        stored: Stage name -> key, for needs that no stage here makes.
        fingerprints: What the backbone must have, where stored parts demand it.
        values: The recipe as plain values; empty for a command.
        trackers: Names of those that are told its numbers.
        fit: Lists what does not fit the backbone's shape.
    """

    recipe: str
    stages: tuple[Stage, ...]
    backbone: Backbone
    folder: Path
    outside: bool = False
    stored: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Fingerprints | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    trackers: tuple[str, ...] = ()
    fit: Callable[[BackboneShape], Sequence[Fault]] = lambda _: ()


def wanted_of(loaded: LoadedRecipe) -> Wanted:
    """Want everything that a recipe describes."""
    recipe = loaded.recipe
    return Wanted(
        recipe=recipe.name,
        stages=expand(recipe),
        backbone=recipe.backbone,
        folder=loaded.folder,
        outside=loaded.outside,
        values=recipe.model_dump(mode="json"),
        trackers=recipe.trackers,
        fit=lambda shape: check_fit(recipe, shape, loaded.place),
    )
