"""`composer explain`: why a model says what it says about texts."""

from typing import Any

import click

from composer.cli.bundles import make_for
from composer.cli.options import json_option, store_option
from composer.cli.predict import asking_options, read_texts, which_composition
from composer.cli.single import backbone_option, read_command
from composer.cli.texts import print_json


@click.command()
@asking_options
@click.option("--full", is_flag=True, help="Show shares at each layer for each token, not means.")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Show so many labels, the most probable ones.",
)
@backbone_option
@store_option
@json_option
def command(**given: Any) -> None:
    """Tell why a model says what it says.

    For each text the probabilities, and how much each member of a fusion or gate weighed, by layer
    and by token: the numbers of that very pass through the model. SOURCE and TEXTS are those of
    `composer predict`; the model runs on torch in float32, also where a bundle has a graph of
    its own, as graphs do not give these numbers away.

    \b
    Example:
      composer explain few-shot "turn on the lamp"
      composer explain home.zip --composition few-shot:de "wie warm ist es" --full
      composer explain bundle/ "turn on the lamp" --json
    """
    from composer.api.runtimes import TorchRuntime, refuse_overflow
    from composer.engine.commands.bundles import open_source, recorded_backbone
    from composer.model.explained import explain
    from composer.report.explained import explained_lines, explained_values

    examples = read_texts(given["texts"], given["pairs"])
    shared = read_command(given)
    languages, make = given["languages"], make_for(shared)
    bundle, block = open_source(given["source"], shared, make=make, languages=languages)
    name = which_composition(bundle, given["composition"])
    runtime = TorchRuntime(bundle, block or recorded_backbone(bundle, shared), folder=shared.folder)
    found = explain(runtime.predictor(name), examples, truncate=given["truncate"])
    refuse_overflow([one.prediction for one in found], path=bundle.path, name=name)
    expression = bundle.manifest.compositions[name].expression
    explained = list(zip(examples, found, strict=True))
    if given["as_json"]:
        about = {"composition": name, "expression": expression}
        print_json([{**about, **explained_values(*one)} for one in explained])
        return
    click.echo(f"{name}: {expression}")
    if not any(one.mixers for one in found):
        click.echo("no fusion and no gate in it: nothing is weighed by what is read")
    for example, one in explained:
        pair = "" if example.pair is None else f" | {example.pair}"
        click.echo(f"\n{example.text}{pair}")
        for line in explained_lines(example, one, top=given["top"], full=given["full"]):
            click.echo(line)
