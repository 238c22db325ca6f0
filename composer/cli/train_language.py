"""`composer train-language`: one language adapter."""

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
@click.argument("language")
@backbone_option
@data_options(required=True, labelled=False)
@click.option(
    "--adapter",
    default="bottleneck",
    show_default=True,
    help="Its kind: bottleneck, madapter, lora, bitfit, prefix or prompt.",
)
@set_option
@store_option
@tracker_option
@json_option
def command(**given: Any) -> None:
    """Train one language adapter.

    By masked language modelling on plain text, a sentence a line. The adapter goes into the
    store under the LANGUAGE's tag.

    \b
    Example:
      composer train-language de --backbone sample:multilingual-e5-small --data de.txt
      composer train-language fi --backbone sample:multilingual-e5-small \\
        --data sample:assistant/text --set training.epochs=4
    """
    from composer.cli.outcome import print_training
    from composer.engine.commands.single import train_language_stage

    shared, data = read_command(given), given_data(given)
    wanted = train_language_stage(shared, given["language"], data=data, adapter=given["adapter"])
    print_training(*carry_out(wanted, shared, trackers=given["trackers"]), given["as_json"])
