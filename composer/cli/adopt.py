"""`composer adopt`: accept what was trained elsewhere as the result of a stage."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from composer.cli.options import command_line, json_option, recipe_options, store_option
from composer.cli.texts import print_json

if TYPE_CHECKING:
    from composer.engine.planning.wanted import Wanted
    from composer.engine.storage.store import Store
    from composer.engine.upkeep.adoption import Adoption


@click.command()
@recipe_options
@click.argument("stage")
@click.argument("folder", type=click.Path(path_type=Path))
@store_option
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    stage: str,
    folder: Path,
    store_folder: Path | str,
    as_json: bool,
) -> None:
    """Accept a result that was made elsewhere.

    FOLDER is the result of a training: of another store (objects/0a/0a41…), or a copy of its
    files. Its kind, shape, labels and backbone must be what RECIPE says of STAGE, and every
    tensor is checked; its data and training may be others. It is then used as the stage's own
    result, and its manifest says that it was adopted.

    \b
    Example:
      composer adopt home.yaml task/intent ../other/.composer/objects/0a/0a41…
      composer adopt home.yaml language/de trained-on-the-cluster/de --store s3://bucket/team
    """
    from composer.engine.planning.wanted import wanted_of
    from composer.engine.storage.store import open_store
    from composer.recipe.reading.reader import read_recipe

    wanted = wanted_of(read_recipe(recipe, profile=profile, changes=changes))
    done = _adopt(wanted, open_store(store_folder), stage, folder, recipe=recipe)
    _tell(stage, done, as_json=as_json)


def _adopt(
    wanted: "Wanted", store: "Store", stage: str, folder: Path, *, recipe: Path
) -> "Adoption":
    from composer.engine.planning.backbones import backbone_folder
    from composer.engine.planning.plan import make_plan
    from composer.engine.storage.refs import set_ref
    from composer.engine.upkeep.adoption import adopt, adoptable_stage

    plan = make_plan(wanted, store, fetch=True)
    planned = adoptable_stage(plan, stage, store)
    from composer.train.adopting import check_adopted  # torch, once it is needed

    place = partial(backbone_folder, wanted.backbone, folder=wanted.folder, cache=plan.cache)
    check = partial(check_adopted, backbone_folder=place)
    done = adopt(store, planned, folder, check=check, recipe_place=str(recipe))
    seen = Path(os.path.relpath(wanted.folder, store.folder)).as_posix()
    about = {"command": command_line(), "folder": seen}
    set_ref(store, wanted.recipe, stage, done.result.key, about=about)
    return done


def _tell(stage: str, done: "Adoption", *, as_json: bool) -> None:
    if as_json:
        differs = None if done.differs is None else list(done.differs)
        print_json({"stage": stage, "key": done.result.key, "differs": differs})
        return
    click.echo(f"{stage}: adopted as {done.result.key[:12]}")
    if done.differs is None:
        click.echo("it came without a manifest: how it was trained is not known")
    elif done.differs:
        click.echo(f"other when it was made: {', '.join(done.differs)}")
