"""`composer trim`: a copy of a backbone with the token embeddings that some languages use."""

from pathlib import Path

import click

from composer.cli.options import json_option
from composer.cli.texts import print_json


@click.command()
@click.argument("backbone")
@click.option(
    "--data",
    required=True,
    help="A file of text, `$language` in its name, or sample:assistant/text.",
)
@click.option("--test", help="A file of other texts, to count what changes; left out, a tenth.")
@click.option("--language", "languages", multiple=True, required=True, help="Of the texts.")
@click.option("--pieces", type=click.IntRange(min=1), help="Fill up to so many token embeddings.")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="A new folder, or an empty one.",
)
@json_option
def command(
    backbone: str,
    data: str,
    test: str | None,
    languages: tuple[str, ...],
    pieces: int | None,
    target: Path,
    as_json: bool,
) -> None:
    """Copy a backbone with fewer token embeddings.

    BACKBONE is sample:NAME, folder:PATH or hub:OWNER/NAME@COMMIT. The copy is a folder to train
    on and to export from; its body is the same to the last byte, so adapters of the one fit the
    other. Text that is cut into kept pieces is answered as before.

    \b
    Example:
      composer trim sample:multilingual-e5-small --data de.txt --language de --to small
    """
    from composer.engine.commands.copies import trimmed_copy
    from composer.engine.commands.single import DataOptions
    from composer.report.bundles import trimmed_rows
    from composer.report.layout import table_lines

    trimmed = trimmed_copy(
        backbone,
        target,
        data=DataOptions(data=data, test=test),
        languages=languages,
        pieces=pieces,
    )
    if as_json:
        print_json({"to": str(target), **trimmed.record.model_dump(mode="json")})
        return
    for line in table_lines(list(trimmed_rows(trimmed.record))):
        click.echo(line)
    click.echo(f"{target}: use it with `backbone: {{source: folder, path: {target}}}`")
