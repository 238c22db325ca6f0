"""What a command of one stage says when its training ended."""

from typing import TYPE_CHECKING

import click

from composer.cli.texts import print_json

if TYPE_CHECKING:
    from composer.engine.planning.plan import Plan
    from composer.engine.running.events import RunResult


def print_training(plan: "Plan", result: "RunResult", as_json: bool) -> None:
    """Print what the last stage of a command trained."""
    from composer.report.trained import read_trained, trained_lines

    trained = read_trained(plan, result)
    if as_json:
        values = trained.found.model_dump(mode="json")
        print_json({"name": trained.stage.name, "key": trained.stored.key, **values})
        return
    for line in trained_lines(trained):
        click.echo(line)
