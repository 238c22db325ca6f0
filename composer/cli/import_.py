"""`composer import`: adapters in the formats of other libraries, into the store."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from composer.cli.options import command_line, json_option, store_option
from composer.cli.single import backbone_option, read_command
from composer.cli.texts import print_json

if TYPE_CHECKING:
    from composer.cli.importing import Imported


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what both formats are asked."""
    for option in (
        click.option(
            "--without-head", is_flag=True, help="Take the adapter alone; its head stays behind."
        ),
        click.option(
            "--type",
            "type_",
            default="text-classification",
            show_default=True,
            metavar="TYPE",
            help="Of the task, where no head says it.",
        ),
        click.option("--labels", default="", metavar="A,B", help="The label set, in order."),
        click.option(
            "--language",
            "languages",
            multiple=True,
            default=("en",),
            show_default=True,
            help="That a task was learnt in; may be repeated.",
        ),
        click.option(
            "--as",
            "role",
            type=click.Choice(["task", "language"]),
            help="What the adapter is of. Left out: what its config says, else a task.",
        ),
        click.option("--name", help="In the store; left out, the one it has in its format."),
        backbone_option,
        click.argument("path", type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return json_option(store_option(function))


@click.group()
def command() -> None:
    """Take over adapters in the formats of other libraries.

    PATH is a folder as the library saves it. Everything in it is checked before it is used; what
    does not fit composer is named, all at once. What was imported is used by its name as what was
    trained here: fused, evaluated, exported, and adopted by a recipe.

    \b
    Example:
      composer import adapterhub sst-2/ --backbone folder:bert-base-uncased --name sst
      composer import peft my-lora/ --backbone sample:multilingual-e5-small --without-head
    """


@command.command()
@_options
@click.option(
    "--head",
    "head_folder",
    type=click.Path(path_type=Path),
    help="Folder of its head, where that lies elsewhere.",
)
@click.option(
    "--member",
    "members",
    multiple=True,
    metavar="THERE=NAME",
    help="Of a fusion: which name of the store an adapter has that it was learnt over.",
)
def adapterhub(**given: Any) -> None:
    """Take over an adapter, head or fusion of `adapters` (AdapterHub).

    PATH holds adapter_config.json or adapter_fusion_config.json and their weights, in
    safetensors or as .bin, which is read weights-only in a process of its own; or it is a whole
    composition, with adapter_setup.json. The members of a fusion are imported first, or --member
    says what they are called here.

    \b
    Example:
      composer import adapterhub sst-2/ --backbone folder:bert-base-uncased --name sst
      composer import adapterhub sw-wiki/ --backbone folder:xlm-r --as language --name sw
      composer import adapterhub fusion/ --backbone folder:bert-base-uncased --name few \\
        --member sst-2=sst --member mnli=nli --head fusion-head/
    """
    from composer.cli.importing import import_adapterhub

    _tell(import_adapterhub(read_command(given), given, command_line()), given["as_json"])


@command.command()
@_options
def peft(**given: Any) -> None:
    """Take over a LoRA of PEFT.

    PATH holds adapter_config.json and adapter_model.safetensors, or adapter_model.bin, which is
    read weights-only in a process of its own. Other kinds of PEFT's are refused.

    \b
    Example:
      composer import peft my-lora/ --backbone sample:multilingual-e5-small --name polite
      composer import peft ner-lora/ --backbone folder:xlm-r --labels O,B-place,I-place
    """
    from composer.cli.importing import import_peft

    _tell([import_peft(read_command(given), given, command_line())], given["as_json"])


def _tell(imported: "list[Imported]", as_json: bool) -> None:
    if as_json:
        print_json([one.plain() for one in imported])
        return
    for one in imported:
        for line in one.lines():
            click.echo(line)
