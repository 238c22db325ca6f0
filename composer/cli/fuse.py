"""`composer fuse`: learn an AdapterFusion over trained adapters."""

from typing import Any

import click

from composer.cli.options import json_option, store_option, tracker_option
from composer.cli.single import (
    backbone_option,
    carry_out,
    data_options,
    read_command,
    read_data,
    set_option,
)


@click.command()
@click.argument("members", nargs=-1, required=True)
@click.option("--task", required=True, help="The trained task whose labels are learnt.")
@click.option("--name", required=True, help="Of the composition.")
@data_options(required=False)
@click.option(
    "--how",
    type=click.Choice(["fuse", "gate", "average"]),
    default="fuse",
    show_default=True,
    help="Attention, a linear gate, or a fixed mean.",
)
@click.option("--language", "languages", multiple=True, help="Of the data; left out, the task's.")
@click.option("--examples", type=int, help="Learn from so many examples only.")
@click.option(
    "--train-norm/--no-train-norm",
    default=None,
    help="Train own copies of the norms; left out, if a member has some.",
)
@backbone_option
@set_option
@store_option
@tracker_option
@json_option
def command(**given: Any) -> None:
    """Learn an AdapterFusion over trained adapters.

    MEMBERS are names in the store, or `none` for the null member; they stay as they are. Put
    the task's own adapter among them: without it a fusion can only mix what other tasks kept.

    \b
    Example:
      composer fuse intent domain --task intent --data few.csv --name few-shot
      composer fuse intent domain none --task intent --how gate --examples 200 --name gated
    """
    from composer.cli.outcome import print_training
    from composer.engine.commands.single import fuse_stage

    shared = read_command(given)
    wanted = fuse_stage(
        shared,
        given["members"],
        name=given["name"],
        task=given["task"],
        data=read_data(given),
        how=given["how"],
        languages=given["languages"],
        examples=given["examples"],
        train_norm=given["train_norm"],
    )
    print_training(*carry_out(wanted, shared, trackers=given["trackers"]), given["as_json"])
