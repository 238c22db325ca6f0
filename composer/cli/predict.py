"""`composer predict`: what a bundle, or a trained composition, says about texts."""

import codecs
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from composer.cli.bundles import make_for
from composer.cli.completing import compositions
from composer.cli.options import json_option, store_option
from composer.cli.single import backbone_option, read_command
from composer.cli.texts import print_json, print_table
from composer.errors import DataError, Fault, RecipeError

if TYPE_CHECKING:
    from composer.bundle.reader import OpenedBundle
    from composer.data.examples import Example
    from composer.data.predictions import Prediction
    from composer.recipe.grammar.tasks import TaskType


def asking_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what is asked: a bundle or a name, which of its compositions, and about which texts."""
    for option in (
        click.option(
            "--truncate", is_flag=True, help="Cut texts that are longer than the backbone takes."
        ),
        click.option(
            "--pair",
            "pairs",
            multiple=True,
            help="The second text of a pair, one a text, in order.",
        ),
        click.option("--language", "languages", multiple=True, help="What $language is bound to."),
        click.option(
            "--composition",
            help="Which of a bundle's compositions: its name or expression.",
            shell_complete=compositions,
        ),
        click.argument("texts", nargs=-1),
        click.argument("source"),
    ):
        function = option(function)
    return function


@click.command()
@asking_options
@backbone_option
@store_option
@json_option
def command(**given: Any) -> None:
    """Predict texts with a bundle or a trained composition.

    SOURCE is a bundle (folder or .zip), or a name in the store. A bundle that holds its backbone
    is run as a device runs it, without torch; `--backbone` runs it on torch. TEXTS are read from
    the command line, or one a line from standard input.

    \b
    Example:
      composer predict bundle/ "turn on the lamp" "wie warm ist es"
      composer predict few-shot "turn on the lamp" --json
      composer predict home.zip --composition "de > intent" < utterances.txt
    """
    from composer.api.runtimes import open_runtime, refuse_overflow
    from composer.engine.commands.bundles import open_source

    examples = read_texts(given["texts"], given["pairs"])
    shared = read_command(given)
    languages, make = given["languages"], make_for(shared)
    bundle, block = open_source(given["source"], shared, make=make, languages=languages)
    name = which_composition(bundle, given["composition"])
    runtime = open_runtime(bundle, block, folder=shared.folder)
    found = runtime.predict(name, examples, truncate=given["truncate"])
    refuse_overflow(found, path=bundle.path, name=name)
    texts = [one.text for one in examples]
    if given["as_json"]:
        print_json([_plain(text, one) for text, one in zip(texts, found, strict=True)])
        return
    rows = [["prediction", "confidence", "text"]]
    kind = bundle.manifest.compositions[name].type
    rows += [_row(text, one, kind) for text, one in zip(texts, found, strict=True)]
    print_table(rows, right=[1])


def read_texts(given: Sequence[str], pairs: Sequence[str]) -> "list[Example]":
    """Make examples of the texts of the command line, or of the lines of standard input."""
    from composer.data.examples import Example
    from composer.data.tasks import check_examples

    placed = [(f"text {number}", text) for number, text in enumerate(given, start=1)]
    placed = placed or list(_lines())
    if not placed:
        message = "no texts; give them on the command line, or one a line on standard input"
        raise DataError([Fault("TEXTS", message)])
    if pairs and len(pairs) != len(placed):
        message = f"{len(pairs)} for {len(placed)} texts; give one for each, in their order"
        raise RecipeError([Fault("--pair", message)])
    second: Sequence[str | None] = pairs or [None] * len(placed)
    examples = [
        Example(text=text, pair=pair, place=place)
        for (place, text), pair in zip(placed, second, strict=True)
    ]
    check_examples(examples, type=None, labels=(), split="test")
    return examples


def _lines() -> Iterator[tuple[str, str]]:
    """Read standard input, a text a line, each with its place."""
    if sys.stdin.isatty():
        click.echo("reading texts from standard input, one a line, until its end", err=True)
    data = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
    faults = []
    for number, line in enumerate(data.splitlines(), start=1):
        place = f"standard input:{number}"
        try:
            yield place, line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            faults.append(Fault(place, f"byte 0x{byte:02x} is not UTF-8; give the texts as UTF-8"))
    if faults:
        raise DataError(faults)


def which_composition(bundle: "OpenedBundle", asked: str | None) -> str:
    """Name the composition that is asked for; it may be left out where there is one."""
    from composer.api.bundles import choose_composition

    return choose_composition(bundle, asked, place="--composition")


def _plain(text: str, one: "Prediction") -> dict[str, object]:
    from composer.data.predictions import plain_value

    return {"text": text, "prediction": plain_value(one.value), "confidence": one.confidence}


def _row(text: str, one: "Prediction", kind: "TaskType") -> list[str]:
    confidence = "" if one.confidence is None else f"{one.confidence:.2f}"
    if isinstance(one.value, tuple):
        parts = [
            part if isinstance(part, str) else f"{part.label}={text[part.start : part.end]!r}"
            for part in one.value
        ]
        nothing = "no spans" if kind == "token-classification" else "no labels"
        return [", ".join(parts) or nothing, confidence, text]
    value = f"{one.value:.4g}" if isinstance(one.value, float) else one.value
    return [value, confidence, text]
