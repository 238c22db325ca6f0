"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from composer.cli.completing import profiles

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
        click.option(
            "--profile",
            metavar="NAME",
            help="Merge a profile of the recipe over it.",
            shell_complete=profiles,
        ),
        click.argument("recipe", type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


class StorePlace(click.Path):
    """A folder, as a path, or the URL of a shared store, as it is."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | Path:
        """Let a URL through; `composer.engine.storage.store.open_store` looks into it."""
        if isinstance(value, str) and "://" in value:
            return value
        return super().convert(value, param, ctx)  # type: ignore[return-value]


def store_option(function: Command) -> Command:
    """Add where results are kept; `open_store` opens it."""
    return click.option(
        "--store",
        "store_folder",
        type=StorePlace(path_type=Path, file_okay=False),
        metavar="PLACE",
        default=Path(".composer"),
        show_default=True,
        envvar="COMPOSER_STORE",
        help="Folder of results, or s3://, gs://, abfs:// for a store that hosts share.",
    )(function)


def json_option(function: Command) -> Command:
    """Add output for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def tracker_option(function: Command) -> Command:
    """Add trackers, besides those of a recipe."""
    return click.option(
        "--tracker",
        "trackers",
        multiple=True,
        metavar="NAME",
        help="Log losses and scores to it as well: tensorboard, trackio or wandb.",
    )(function)


def command_line() -> str:
    """Give the command as it was typed; the store keeps it, to tell how to make a result again."""
    context = click.get_current_context()
    return str(context.obj or context.command_path)
