"""`composer train-task`: one task adapter and its head."""

from typing import Any

import click

from composer.cli.options import json_option, store_option, tracker_option
from composer.cli.single import (
    backbone_option,
    carry_out,
    data_options,
    given_data,
    read_command,
    set_option,
)


@click.command()
@click.argument("name")
@backbone_option
@data_options(required=True)
@click.option(
    "--type",
    "type_",
    default="text-classification",
    show_default=True,
    help="text-classification, multi-label-classification, token-classification or regression.",
    metavar="TYPE",
)
@click.option(
    "--language",
    "languages",
    multiple=True,
    default=("en",),
    show_default=True,
    help="Of the data; may be repeated.",
)
@click.option(
    "--adapter",
    default="bottleneck",
    show_default=True,
    help="Its kind: bottleneck, madapter, adamix, lora, bitfit, prefix, prompt or full.",
)
@click.option("--labels", default="", metavar="A,B", help="The label set, in order.")
@click.option("--examples", type=int, help="Learn from so many examples only.")
@click.option(
    "--over",
    multiple=True,
    metavar="LANGUAGE",
    help="Train on this language adapter, of the store.",
)
@set_option
@store_option
@tracker_option
@json_option
def command(**given: Any) -> None:
    """Train one task adapter.

    The adapter and its head go into the store under NAME; the backbone stays as it is.

    \b
    Example:
      composer train-task intent --backbone sample:multilingual-e5-small \\
        --data train.csv --text utterance --label intent --language en \\
        --adapter madapter --set adapters.task.width=32
    """
    from composer.cli.outcome import print_training
    from composer.engine.commands.single import train_task_stage

    shared, data = read_command(given), given_data(given)
    wanted = train_task_stage(
        shared,
        given["name"],
        data=data,
        type=given["type_"],
        languages=given["languages"],
        adapter=given["adapter"],
        labels=[label for label in given["labels"].split(",") if label],
        examples=given["examples"],
        over=given["over"],
    )
    print_training(*carry_out(wanted, shared, trackers=given["trackers"]), given["as_json"])
