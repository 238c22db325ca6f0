"""The bundle that names in the store stand for, made with progress on stderr if it is not there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from composer.cli.single import carry_out

if TYPE_CHECKING:
    from composer.engine.commands.bundles import Make, StoredBundle
    from composer.engine.commands.single import Command


def stored_bundle(
    command: "Command",
    names: Sequence[str],
    *,
    languages: Sequence[str] = (),
    precision: str | None = None,
    part_precision: str = "float32",
) -> "StoredBundle":
    """Find the bundle of names in the store, or make it; see `composer.engine.commands.bundles`."""
    from composer.engine.commands import bundles

    return bundles.stored_bundle(
        command,
        names,
        make=make_for(command),
        languages=languages,
        precision=precision,
        part_precision=part_precision,
    )


def make_for(command: "Command") -> "Make":
    """Give what carries out what a command wants, with progress on stderr."""
    return lambda wanted: carry_out(wanted, command)[1]
