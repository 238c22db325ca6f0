"""`composer plan`: what a run would do and why, without torch."""

from pathlib import Path

import click

from composer.cli.options import json_option, recipe_options, store_option
from composer.cli.texts import fault_values, print_json, print_table, print_warnings
from composer.report.layout import count, duration, number_of, size

_REASONS_SHOWN = 3


@click.command()
@recipe_options
@store_option
@json_option
def command(
    recipe: Path, profile: str | None, changes: tuple[str, ...], store_folder: Path, as_json: bool
) -> None:
    """Show what a run would do, and why.

    Each stage is done, stale (something it depends on changed) or to be run; with trainable
    parameters, seconds the last time, and bytes.

    \b
    Example:
      composer plan recipes/assistant/quickstart.yaml
      composer plan home.yaml --set training.learning_rate=5e-4 --json
    """
    from composer.engine.plan import Plan, make_plan
    from composer.engine.store import Store
    from composer.engine.wanted import wanted_of
    from composer.recipe.advice import warnings
    from composer.recipe.reader import read_recipe

    loaded = read_recipe(recipe, profile=profile, changes=changes)
    found = warnings(loaded.recipe, loaded.place)
    plan: Plan = make_plan(wanted_of(loaded), Store(store_folder))
    if as_json:
        print_json(
            {
                "recipe": loaded.recipe.name,
                "precision": plan.precision,
                "warnings": fault_values(found),
                "stages": [
                    {
                        "name": one.stage.name,
                        "key": one.key,
                        "state": one.state,
                        "reasons": list(one.reasons),
                        "needs": list(one.stage.needs),
                        "trainable_parameters": one.cost.parameters,
                        "bytes": one.cost.bytes,
                        "seconds": one.cost.seconds,
                    }
                    for one in plan.stages
                ],
            }
        )
        return
    print_warnings(found)
    rows = [["stage", "state", "parameters", "size", "time", "why"]]
    for one in plan.stages:
        trained = count(one.cost.parameters) if one.cost.parameters != 0 else "-"
        rows.append(
            [
                one.stage.name,
                one.state,
                trained,
                size(one.cost.bytes),
                duration(one.cost.seconds),
                _why(one.reasons),
            ]
        )
    print_table(rows, right=(2, 3, 4))
    left = sum(one.state != "done" for one in plan.stages)
    whole = number_of(len(plan.stages), "stage")
    click.echo(f"{whole}, {left} to run; precision {plan.precision}")


def _why(reasons: tuple[str, ...]) -> str:
    """Write the first reasons; JSON has them all."""
    more = len(reasons) - _REASONS_SHOWN
    shown = "; ".join(reasons[:_REASONS_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
