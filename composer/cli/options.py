"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def recipe_options(function: Command) -> Command:
    """Add what chooses and changes a recipe."""
    for option in (
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="A.B=VALUE",
            help="Change a value of the recipe; read as YAML, may be repeated.",
        ),
        click.option("--profile", metavar="NAME", help="Merge a profile of the recipe over it."),
        click.argument("recipe", type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


def store_option(function: Command) -> Command:
    """Add where results are kept."""
    return click.option(
        "--store",
        "store_folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(".composer"),
        show_default=True,
        envvar="COMPOSER_STORE",
        help="Folder of results.",
    )(function)


def json_option(function: Command) -> Command:
    """Add output for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def tracker_option(function: Command) -> Command:
    """Add trackers, by the names that accelerate knows."""
    return click.option(
        "--tracker",
        "trackers",
        multiple=True,
        metavar="NAME",
        help="Log losses and scores to it as well (tensorboard, wandb, ...), by accelerate.",
    )(function)


def command_line() -> str:
    """Give the command as it was typed; the store keeps it, to tell how to make a result again."""
    context = click.get_current_context()
    return str(context.obj or context.command_path)
