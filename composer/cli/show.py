"""`composer show`: everything about a stored result."""

from pathlib import Path

import click

from composer.cli.options import json_option, store_option
from composer.cli.texts import print_json


@click.command()
@click.argument("name")
@store_option
@json_option
def command(name: str, store_folder: Path, as_json: bool) -> None:
    """Show everything about a stored result.

    NAME is what the store calls it (intent, task/intent, home/task/intent) or the beginning of
    its key: settings, inputs, data, versions, training history, scores, sizes, and the command
    that makes it again. Every file is checked first.

    \b
    Example:
      composer show few-shot
      composer show home/evaluation/far/few-shot/de --json
    """
    from composer.engine.looking.naming import named_result
    from composer.engine.storage.store import open_store
    from composer.report.stored import read_shown, shown_lines

    store = open_store(store_folder)
    shown = read_shown(store, named_result(store, name))
    if as_json:
        print_json(shown.values)
        return
    for line in shown_lines(shown):
        click.echo(line)
