"""`composer bundle`: look after bundles."""

import click

from composer.cli.bundle_change import add, remove, sign, unpack
from composer.cli.bundle_look import diff, inspect, verify


@click.group()
def command() -> None:
    """Verify, inspect, compare, change, sign and unpack bundles.

    A bundle is a folder or a zip, as `composer export` makes it; every byte of it is checked
    before anything is done with it. None of these commands needs torch.

    \b
    Example:
      composer bundle verify home/
      composer bundle add home.zip german.zip
      composer bundle diff home.zip newer.zip
    """


for one in (verify, inspect, diff, add, remove, sign, unpack):
    command.add_command(one)
