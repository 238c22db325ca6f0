"""`composer evaluate`: score a trained task or composition."""

from typing import Any

import click

from composer.cli.options import json_option, store_option
from composer.cli.single import carry_out, data_options, read_command, read_data, set_option
from composer.cli.texts import print_json, print_table


@click.command()
@click.argument("name")
@data_options(required=False)
@click.option(
    "--language",
    "languages",
    multiple=True,
    help="To score in; may be repeated. Left out, what it was trained in.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Part of the data.",
)
@set_option
@store_option
@json_option
def command(**given: Any) -> None:
    """Score a trained composition.

    NAME is a task or a composition in the store. Without --data, the split of the data it was
    trained on; a file that is given is scored whole. Scores are taken in float32.

    \b
    Example:
      composer evaluate few-shot --language en --language de
      composer evaluate intent --data test.csv --text utterance --label intent
    """
    from composer.engine.commands.single import evaluate_stage, whole_data
    from composer.recipe.expansion.stages import Evaluate
    from composer.report.shares import ShareRow, members_of, share_lines
    from composer.train.results import read_scores

    shared = read_command(given)
    wanted = evaluate_stage(
        shared,
        given["name"],
        languages=given["languages"],
        data=whole_data(read_data(given), given["split"]),
        split=given["split"],
    )
    _, result = carry_out(wanted, shared)
    stages = [stage for stage in wanted.stages if isinstance(stage, Evaluate)]
    found = [read_scores(result.results[stage.name].folder) for stage in stages]
    members = [members_of(stage.composition) for stage in stages]
    if given["as_json"]:
        pairs = zip(found, members, strict=True)
        print_json([{**one.model_dump(mode="json"), "members": of} for one, of in pairs])
        return
    names = sorted(found[0].scores)
    rows = [["language", *names, "n"]]
    for one in found:
        scores = [f"{one.scores[name]:.3f}" for name in names]
        rows.append([one.language, *scores, str(one.n)])
    print_table(rows, right=range(1, len(names) + 2))
    shares = [
        ShareRow(composition=given["name"], language=one.language, members=of, found=one.shares)
        for one, of in zip(found, members, strict=True)
    ]
    for line in share_lines(shares):
        click.echo(line)
