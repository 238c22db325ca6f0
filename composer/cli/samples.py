"""`composer samples`: the backbones and data that come in installed packages."""

from typing import TYPE_CHECKING

import click

from composer.cli.options import json_option
from composer.cli.texts import print_json, print_table
from composer.report.layout import count

if TYPE_CHECKING:
    from composer.data.examples import Label


@click.group()
def command() -> None:
    """List and show the sample data and backbones.

    They are real: templates by native speakers of a voice assistant, and two trained encoders.

    \b
    Example:
      composer samples list
      composer samples show assistant/intent --language fi
    """


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List sample backbones, data sets and languages.

    \b
    Example:
      composer samples list
    """
    from composer.data.samples.assistant import OWN_NAMES, SAMPLE_DATA, languages, names_from
    from composer.data.samples.backbones import SAMPLE_BACKBONES

    if as_json:
        print_json(
            {
                "backbones": {
                    info.name: {"install": info.install, "licence": info.licence}
                    for info in SAMPLE_BACKBONES.values()
                },
                "data": {info.name: info.description for info in SAMPLE_DATA.values()},
                "languages": {tag: {"names_from": names_from(tag)} for tag in languages()},
            }
        )
        return
    rows = [["backbone", "layers", "size", "licence", "about"]]
    for one in SAMPLE_BACKBONES.values():
        rows.append([one.name, str(one.layers), str(one.hidden_size), one.licence, one.note])
    print_table(rows, right=(1, 2))
    for one in SAMPLE_BACKBONES.values():
        click.echo(f"  {one.name}: {one.install}")
    click.echo()
    print_table([["data", "about"], *([i.name, i.description] for i in SAMPLE_DATA.values())])
    copied = [tag for tag in languages() if tag not in OWN_NAMES]
    click.echo(f"\nlanguages with names of their own: {' '.join(OWN_NAMES)}")
    click.echo("names of rooms and devices copied from another language, most from English:")
    click.echo(f"  {' '.join(copied)}")


def _shown(label: "Label") -> str:
    if isinstance(label, tuple):
        return "|".join(label) or "-"
    return "" if label is None else str(label)


@command.command()
@click.argument("name")
@click.option("--language", default="en", show_default=True, help="Its tag.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="train",
    show_default=True,
    help="Part of the data.",
)
@click.option("--count", "wanted", default=10, show_default=True, help="Examples to show.")
@json_option
def show(name: str, language: str, split: str, wanted: int, as_json: bool) -> None:
    """Show examples of a sample data set, and how many there are.

    \b
    Example:
      composer samples show assistant/intent --language fi
      composer samples show assistant/slots --language de --split test --count 3
    """
    from composer.data.samples.assistant import counts, sample_data, sample_examples

    task = sample_data(name).task
    found = sample_examples(task, language=language, split=split)  # type: ignore[arg-type]
    wanted = min(wanted, len(found))
    shown = [found[number * len(found) // wanted] for number in range(wanted)]  # all over the split
    values = [
        {
            "text": one.text,
            "pair": one.pair,
            "label": one.label,
            "spans": [[span.start, span.end, span.label] for span in one.spans],
        }
        for one in shown
    ]
    if as_json:
        print_json({"name": name, "language": language, "split": split, "examples": values})
        return
    for one in shown:
        spans = ", ".join(f"{s.label}={one.text[s.start : s.end]!r}" for s in one.spans)
        label = _shown(one.label)
        click.echo("  ".join(part for part in (label, one.text, one.pair, spans) if part))
    click.echo()
    rows = [["split", "templates", "sentences", "examples"]]
    for part, number in counts(language).items():
        examples = len(sample_examples(task, language=language, split=part))
        rows.append([part, *map(count, (number.templates, number.sentences, examples))])
    print_table(rows, right=(1, 2, 3))
