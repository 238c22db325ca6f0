"""A trimmed copy of a backbone, as a folder: fewer token embeddings, and the body as it was.

composer trim sample:multilingual-e5-small --data words/$language.txt --language de --to small/
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from composer.bundle.publish import unfinished_folder
from composer.data.samples.backbones import default_cache
from composer.engine.commands.single import DataOptions, backbone_values, data_values
from composer.engine.planning.backbones import backbone_folder
from composer.errors import BackboneError, Fault, RecipeError
from composer.recipe.expansion.stages import DataUse
from composer.recipe.grammar.backbones import Backbone
from composer.recipe.grammar.data import DataSource

if TYPE_CHECKING:
    from composer.model.trimming import Trimmed

_Block = TypeVar("_Block")


def trimmed_copy(
    backbone: str,
    target: Path,
    *,
    data: DataOptions,
    languages: Sequence[str],
    pieces: int | None = None,
) -> "Trimmed":
    """Write a trimmed copy that `{source: folder}` and `folder:` read.

    Args:
        backbone: `sample:name`, `folder:path` or `hub:owner/name@revision`.
        target: A folder that is not there, or is empty.
        data: Its training and validation texts say what is kept, its test texts what changes.
        languages: Of the texts.
        pieces: Fill up to so many.

    Raises:
        BackboneError: The backbone cannot be trimmed, or the target is taken.
        DataError: The texts cannot be read.
        RecipeError: The backbone or the data is not named as it should be.
    """
    from composer.train.vocabulary import texts_of, trim_backbone

    if target.is_symlink() or (target.exists() and not _is_empty(target)):
        raise BackboneError(f"{target} is there; give a name that is free, or an empty folder")
    here = Path.cwd()
    block = _read(TypeAdapter(Backbone), backbone_values(backbone), "backbone")
    source = _read(TypeAdapter(DataSource), data_values(data), "--data")
    use = DataUse(source=source, languages=tuple(languages))
    whole = backbone_folder(block, folder=here, cache=default_cache())
    texts = partial(texts_of, use, where={"folder": here, "outside": True})
    with unfinished_folder(target) as folder:
        return trim_backbone(whole, folder, use.languages, texts, pieces=pieces)


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def _read(adapter: TypeAdapter[_Block], values: dict[str, object], place: str) -> _Block:
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        faults = [Fault(place, one["msg"]) for one in error.errors()]
        raise RecipeError(faults) from error
