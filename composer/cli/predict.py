"""`composer predict`: what a bundle, or a trained composition, says about texts."""

import codecs
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from composer.cli.bundles import stored_bundle
from composer.cli.options import json_option, store_option
from composer.cli.single import backbone_option, read_command
from composer.cli.texts import print_json, print_table
from composer.errors import BundleError, DataError, Fault, RecipeError

if TYPE_CHECKING:
    from composer.bundle.reader import OpenedBundle
    from composer.data.examples import Example
    from composer.data.predictions import Prediction
    from composer.engine.commands.single import Command
    from composer.recipe.schema import Backbone, TaskType


@click.command()
@click.argument("source")
@click.argument("texts", nargs=-1)
@click.option("--composition", help="Which of a bundle's compositions: its name or expression.")
@click.option("--language", "languages", multiple=True, help="What $language is bound to.")
@click.option(
    "--pair", "pairs", multiple=True, help="The second text of a pair, one a text, in order."
)
@click.option("--truncate", is_flag=True, help="Cut texts that are longer than the backbone takes.")
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
    examples = _examples(given["texts"], given["pairs"])
    shared = read_command(given)
    bundle, block = _open(given["source"], given["languages"], shared)
    name = _composition(bundle, given["composition"])
    predict = _predictor(bundle, name, block, shared)
    found = predict(examples, truncate=given["truncate"])
    _refuse_overflow(found, bundle, name)
    texts = [one.text for one in examples]
    if given["as_json"]:
        print_json([_plain(text, one) for text, one in zip(texts, found, strict=True)])
        return
    rows = [["prediction", "confidence", "text"]]
    kind = bundle.manifest.compositions[name].type
    rows += [_row(text, one, kind) for text, one in zip(texts, found, strict=True)]
    print_table(rows, right=[1])


def _examples(given: Sequence[str], pairs: Sequence[str]) -> "list[Example]":
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


def _open(
    source: str, languages: Sequence[str], shared: "Command"
) -> "tuple[OpenedBundle, Backbone | None]":
    """Open a bundle by path, or one of the store by name.

    Returns:
        The bundle, and the backbone to put it on; None: the one that lies in it.
    """
    from composer.bundle.reader import open_bundle

    asked = None if shared.backbone is None else _asked_backbone(shared.backbone)
    path = Path(source)
    if path.exists() or path.suffix == ".zip":
        bundle = open_bundle(path)
        return bundle, asked or (None if bundle.manifest.graphs else _recorded_backbone(bundle))
    place = "SOURCE (no such file or folder)"
    found = stored_bundle(shared, [source], languages=languages, place=place)
    bundle = open_bundle(found.folder)
    return bundle, asked or (None if bundle.manifest.graphs else found.backbone)


def _composition(bundle: "OpenedBundle", asked: str | None) -> str:
    from composer.device.bundle import find_composition

    known = list(bundle.manifest.compositions)
    if asked is None and len(known) > 1:
        message = f"the bundle holds {', '.join(known)}; say which"
        raise RecipeError([Fault("--composition", message)])
    return find_composition(bundle, asked or known[0])


def _predictor(
    bundle: "OpenedBundle", name: str, block: "Backbone | None", shared: "Command"
) -> "Callable[..., list[Prediction]]":
    """Give what predicts: ONNX Runtime where the backbone lies in the bundle, else torch."""
    if block is None:
        from composer.device.bundle import Bundle

        return Bundle(bundle).use(name).predict_examples
    from composer.data.samples.backbones import default_cache
    from composer.engine.planning.backbones import backbone_folder
    from composer.model.backbone import open_backbone
    from composer.model.bundled import check_backbone, open_composition

    folder = backbone_folder(block, folder=shared.folder, cache=default_cache())
    limit = bundle.manifest.backbone.max_tokens
    backbone = open_backbone(folder, precision="float32", max_tokens=limit)
    check_backbone(bundle, folder, backbone)
    return open_composition(bundle, name, backbone).predict


def _refuse_overflow(found: "Sequence[Prediction]", bundle: "OpenedBundle", name: str) -> None:
    """Give no answer out of numbers that grew past what float32 can hold."""
    for one in found:
        number = one.value if isinstance(one.value, float) else one.confidence
        if number is not None and not math.isfinite(number):
            raise BundleError(
                f"{bundle.path}: {name}: its answer is {number}, no number; "
                "its weights are finite and too large: they are not as they were trained"
            )


def _recorded_backbone(bundle: "OpenedBundle") -> "Backbone":
    """Say which backbone a bundle was made for, as a recipe would."""
    record = bundle.manifest.backbone
    if record.source == "folder":
        message = (
            f"{bundle.path} was made for the backbone {record.name!r}, which was in a folder; "
            "say where it is now: --backbone folder:PATH"
        )
        raise RecipeError([Fault("--backbone", message)])
    values: dict[str, object] = {"source": record.source, "name": record.name}
    if record.source == "hub":
        values["revision"] = record.revision
    return _block(values)


def _asked_backbone(asked: str) -> "Backbone":
    from composer.engine.commands.single import backbone_values

    return _block(backbone_values(asked))


def _block(values: Mapping[str, object]) -> "Backbone":
    """Read a backbone's block with every check that a recipe's gets."""
    from composer.recipe.reader import recipe_from

    recipe = recipe_from({"composer": 1, "name": "predict", "backbone": values})
    return recipe.backbone


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
