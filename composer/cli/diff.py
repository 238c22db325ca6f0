"""`composer diff`: what changed from one lock file to another."""

from pathlib import Path

import click

from composer.cli.options import json_option, store_option
from composer.cli.texts import print_json

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("one", type=_PATH)
@click.argument("other", type=_PATH)
@store_option
@json_option
def command(one: Path, other: Path, store_folder: Path, as_json: bool) -> int:
    """Tell what changed from one lock file to another.

    Stage by stage; where the store has both results, with the reasons. The exit status is 0 if
    nothing changed, 1 if something did, 2 if one of them is no lock file.

    \b
    Example:
      composer diff before.lock home.lock
      composer diff home.lock home.smoke.lock --json
    """
    from composer.engine.looking.lockdiff import shared_changes, stage_changes
    from composer.engine.planning.lock import needed_lock
    from composer.engine.storage.store import open_store
    from composer.report.locks import lock_change_lines, lock_change_values

    before, after = needed_lock(one), needed_lock(other)
    shared = shared_changes(before, after)
    stages = list(stage_changes(before, after, open_store(store_folder)))
    if as_json:
        print_json(lock_change_values(shared, stages))
    else:
        for line in lock_change_lines(shared, stages, stages_after=len(after.stages)):
            click.echo(line)
    return int(bool(shared or stages))
