"""`composer run`: carry out a recipe, then show what it reached."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from composer.cli.completing import stages
from composer.cli.options import (
    command_line,
    json_option,
    recipe_options,
    store_option,
    tracker_option,
)
from composer.cli.texts import print_json, print_warnings

if TYPE_CHECKING:
    from composer.engine.running.events import RunOptions
    from composer.engine.running.executors.base import MakeExecutor


_JOBS = (
    "How many stages are carried out at a time, where memory allows it; 1: in this process. A "
    "stage of several processes (training.processes) counts as so many."
)
_EXECUTOR = "local: on this machine. ray: on a Ray cluster; then --jobs is not needed."


@click.command()
@recipe_options
@store_option
@tracker_option
@click.option(
    "--only",
    multiple=True,
    metavar="STAGE",
    help="This stage, and what it needs.",
    shell_complete=stages,
)
@click.option(
    "--from",
    "anew",
    multiple=True,
    metavar="STAGE",
    help="Make this stage, and all that rests on it, even if they are done.",
    shell_complete=stages,
)
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), metavar="N", help=_JOBS)
@click.option(
    "--keep-going", "-k", is_flag=True, help="Go on with what does not rest on a failed stage."
)
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", help=_EXECUTOR)
@click.option("--address", metavar="HOST:PORT", help="Of the Ray cluster; left out: found by Ray.")
@click.option(
    "--gpus",
    type=click.FloatRange(0),
    default=0.0,
    metavar="N",
    help="GPUs that each process of a training asks a Ray cluster for; may be a part of one.",
)
@click.option(
    "--lock",
    "lock_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the lock file is written; left out, beside the recipe.",
)
@click.option(
    "--events",
    "events_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where events are logged, a JSON line each; left out, in the store's logs folder.",
)
@json_option
def command(
    recipe: Path,
    profile: str | None,
    changes: tuple[str, ...],
    store_folder: str | Path,
    lock_file: Path | None,
    events_file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Carry out a recipe.

    Stages that are done are not done again; a run that was stopped goes on where it was. Ends
    with a table of scores, the mean weights of fusions, sizes, and the tables of comparisons.

    \b
    Example:
      composer run recipes/assistant/quickstart.yaml
      composer run home.yaml --profile smoke --only task/intent
      composer run home.yaml --jobs 2 --keep-going
    """
    from composer.api.running import carry_out, plan_run
    from composer.cli.progress import ProgressView
    from composer.engine.planning.lock import lock_path
    from composer.engine.storage.store import open_store
    from composer.recipe.checking.advice import warnings
    from composer.recipe.reading.reader import read_recipe
    from composer.report.tables import report_lines, report_values

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    print_warnings(warnings(loaded.recipe, loaded.place))
    store = open_store(store_folder)
    plan = plan_run(loaded, store)
    expected = {one.stage.name: one.cost.seconds for one in plan.stages}
    with ProgressView(expected) as progress:
        options = _options(given, lock_file or lock_path(recipe, profile=profile))
        options = replace(options, on_event=progress)
        done = carry_out(loaded, plan, store, options, events_file=events_file)
    if as_json:
        print_json(report_values(plan, done.result, done.comparisons))
        return
    for line in report_lines(plan, done.result, done.comparisons):
        click.echo(line)


def _options(given: Mapping[str, Any], lock_file: Path) -> "RunOptions":
    """Say how a run is carried out.

    Raises:
        click.UsageError: Options do not go together.
    """
    from composer.engine.running.events import RunOptions

    refuse_launcher(os.environ)
    if given["executor"] != "ray" and (given["address"] or given["gpus"]):
        raise click.UsageError("--address and --gpus are for --executor ray")
    return RunOptions(
        only=given["only"],
        anew=given["anew"],
        jobs=given["jobs"] or 1,
        executor=_ray(given) if given["executor"] == "ray" else None,
        keep_going=given["keep_going"],
        lock_file=lock_file,
        command=command_line(),
        trackers=given["trackers"],
    )


def _ray(given: Mapping[str, Any]) -> "MakeExecutor":
    from composer.engine.running.executors.cluster import RayCluster

    return RayCluster(address=given["address"], gpus=given["gpus"], jobs=given["jobs"]).executor


def refuse_launcher(environment: Mapping[str, str]) -> None:
    """Refuse to be one of several processes that were launched to share a training.

    Raises:
        click.UsageError: There are several; says what to do instead.
    """
    size = environment.get("WORLD_SIZE", "1")
    if size.isdecimal() and int(size) > 1:
        raise click.UsageError(
            f"this is one of {size} processes of a launcher (accelerate launch, torchrun), and "
            "composer begins its processes itself: how many share a stage's batches decides its "
            f"result, and is part of the recipe. Give it there, or with --set "
            f"training.processes={size}. To run several stages side by side: --jobs N, or "
            "--executor ray"
        )
