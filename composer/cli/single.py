"""What the commands of one stage share: their options, and carrying the stage out."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from composer.cli.options import command_line

if TYPE_CHECKING:
    from composer.engine.commands.single import Command, DataOptions
    from composer.engine.planning.plan import Plan
    from composer.engine.planning.wanted import Wanted
    from composer.engine.running.events import RunResult

_COLUMNS = {
    "text": "Column of the text.",
    "pair": "Column of the second text of a pair.",
    "label": "Column of the label or number.",
    "spans": "Column of spans: a list of {start, end, label}.",
    "words": "Column of words, instead of text and spans.",
    "tags": "Column of BIO tags, one a word.",
}


def data_options(*, required: bool, labelled: bool = True) -> Callable[..., Any]:
    """Add what says where data is and which columns it has.

    Args:
        required: Whether there must be any.
        labelled: False: plain text, in one column.
    """

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        columns = _COLUMNS if labelled else {"text": _COLUMNS["text"]}
        for name, text in reversed(columns.items()):
            function = click.option(f"--{name}", metavar="COLUMN", help=text)(function)
        function = click.option(
            "--truncate", is_flag=True, help="Cut texts that are too long instead of refusing."
        )(function)
        for split in ("test", "validation"):
            help_ = f"File of the {split} split; left out, held out of --data."
            function = click.option(f"--{split}", metavar="FILE", help=help_)(function)
        return click.option(
            "--data",
            metavar="SOURCE",
            required=required,
            help="A file (CSV, JSON lines, Parquet, text), sample:NAME or hub:OWNER/NAME@COMMIT.",
        )(function)

    return add


def backbone_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the backbone."""
    return click.option(
        "--backbone",
        metavar="SOURCE",
        help="sample:NAME, folder:PATH or hub:OWNER/NAME@COMMIT.",
    )(function)


def set_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add changes to the recipe that the command stands for."""
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="A.B=VALUE",
        help="Change a value, as in a recipe: adapters.task.width=32, training.epochs=3.",
    )(function)


def read_data(given: Mapping[str, Any]) -> "DataOptions | None":
    """Take the data options out of a command's arguments; None if no data was given."""
    from composer.engine.commands.single import DataOptions

    columns = {name: given[name] for name in _COLUMNS if given.get(name) is not None}
    if given["data"] is None:
        more = [*columns, *(name for name in ("validation", "test", "truncate") if given[name])]
        if more:
            raise click.UsageError(f"--{more[0]} says how to read --data, which is not given")
        return None
    return DataOptions(
        data=given["data"],
        validation=given["validation"],
        test=given["test"],
        columns=columns,
        truncate=given["truncate"],
    )


def given_data(given: Mapping[str, Any]) -> "DataOptions":
    """Take the data options of a command that demands `--data`."""
    data = read_data(given)
    if data is None:
        raise click.UsageError("give --data")
    return data


def read_command(given: Mapping[str, Any]) -> "Command":
    """Take what all commands share out of a command's arguments."""
    from composer.engine.commands.single import Command, working_folder
    from composer.engine.storage.store import open_store

    return Command(
        store=open_store(given["store_folder"]),
        folder=working_folder(),
        backbone=given.get("backbone"),
        changes=given.get("changes", ()),
    )


def carry_out(
    wanted: "Wanted", command: "Command", *, trackers: tuple[str, ...] = ()
) -> "tuple[Plan, RunResult]":
    """Plan and run the stages of a command, with progress on stderr."""
    from composer.cli.progress import ProgressView
    from composer.engine.planning.plan import make_plan
    from composer.engine.running.events import RunOptions
    from composer.engine.running.run import run_stages

    plan = make_plan(wanted, command.store, fetch=True)
    with ProgressView() as progress:
        options = RunOptions(command=command_line(), trackers=trackers, on_event=progress)
        return plan, run_stages(plan, command.store, options)
