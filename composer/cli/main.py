"""The command `composer`: a list of commands, each imported when it is run.

`composer --help` therefore imports none of them. A `ComposerError` becomes text on stderr and
the exit status that the error says; anything else is a defect and shows its traceback. What the
library logs is printed as a warning.
"""

import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

import click

from composer.cli.logs import WarningHandler
from composer.errors import ComposerError, FaultsError, StoppedError, did_you_mean

COMMANDS = {
    "init": "Write a recipe to begin with.",
    "schema": "Print the JSON schema of recipes, for editors.",
    "check": "Check a recipe and name every fault.",
    "debug-data": "Look through data for what may be wrong.",
    "leakage": "Show how much test text stands in what is learnt from.",
    "plan": "Show what a run would do, and why.",
    "why": "Tell why a stage would run, down to the edit.",
    "run": "Carry out a recipe.",
    "status": "Show how far a recipe is: done, running, stopped, failed.",
    "compare": "Show what the comparisons of a recipe have measured.",
    "transfer": "Show scores of all languages, and how sure they are.",
    "report": "Write one HTML file about a run.",
    "show": "Show everything about a stored result.",
    "diff": "Tell what changed from one lock file to another.",
    "train-task": "Train one task adapter.",
    "train-language": "Train one language adapter.",
    "fuse": "Learn an AdapterFusion over trained adapters.",
    "evaluate": "Score a trained composition.",
    "predict": "Predict texts with a bundle or a trained composition.",
    "explain": "Tell why a model says what it says.",
    "export": "Make a bundle for devices.",
    "bundle": "Verify, inspect, compare, change, sign and unpack bundles.",
    "push": "Send a bundle or an adapter to the Hub or a bucket.",
    "pull": "Fetch a bundle or an adapter, and check all of it.",
    "trim": "Copy a backbone with fewer token embeddings.",
    "adopt": "Accept a result that was made elsewhere.",
    "import": "Take over adapters in the formats of other libraries.",
    "gc": "Remove results that nothing names.",
    "samples": "List and show the sample data and backbones.",
    "doctor": "Check what composer finds on this machine.",
    "completion": "Print what makes a shell complete commands.",
}


class LazyGroup(click.Group):
    """A group that imports `composer.cli.<name>` only for the command that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS:
            return None
        module = import_module(f"composer.cli.{_module(name)}")
        return module.command  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is typed; if there is none, name the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _module(command: str) -> str:
    """Name the module of a command; one that is a word of Python has a line behind it."""
    name = command.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="adapter-composer", prog_name="composer")
def group() -> None:
    """Train small adapters on one frozen transformer, compose them, export them to devices.

    \b
    Example:
      composer run recipes/assistant/quickstart.yaml
      composer train-task intent --backbone sample:multilingual-e5-small --data train.csv
      composer train-task --help
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: Left out: those that the program was called with.
    """
    if "_COMPOSER_COMPLETE" in os.environ:  # a shell asks what may be typed
        import_module("composer.cli.shells").use_shells()
    handler, library = WarningHandler(), logging.getLogger("composer")
    library.addHandler(handler)
    # SIGTERM ends what is no run (reading, planning, predicting) as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(_status(arguments))
    finally:
        signal.signal(signal.SIGTERM, before)
        library.removeHandler(handler)


def _status(arguments: Sequence[str] | None) -> int:
    """Run the command line; say what went wrong, and give the exit status."""
    typed = shlex.join(["composer", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        status = group.main(arguments, prog_name="composer", standalone_mode=False, obj=typed)
    except ComposerError as error:
        # A list of faults begins each line with its place, which editors make a link of.
        own = isinstance(error, FaultsError)
        click.echo(str(error) if own else f"composer: {error}", err=True)
        return error.exit_status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("composer: stopped; run the same command again to go on", err=True)
        return StoppedError.exit_status
    return status if isinstance(status, int) else 0
