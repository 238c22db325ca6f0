"""What a command of one stage says when its training ended."""

from typing import TYPE_CHECKING

import click

from composer.cli.texts import print_json
from composer.report.layout import count, number_of, size

if TYPE_CHECKING:
    from composer.engine.planning.plan import Plan
    from composer.engine.running.events import RunResult
    from composer.recipe.stages import Stage


def print_training(plan: "Plan", result: "RunResult", as_json: bool) -> None:
    """Print what the last stage of a command trained."""
    from composer.train.results import read_training

    stage = plan.wanted.stages[-1]
    stored = result.results[stage.name]
    done = read_training(stored.folder)
    if as_json:
        print_json({"name": stage.name, "key": stored.key, **done.model_dump(mode="json")})
        return
    known = "" if stage.name in result.made else " (done before)"
    click.echo(f"{stage.name}{known}: {count(done.trainable_parameters)} trainable parameters")
    steps, examples = done.steps, done.training_examples
    said = [f"{number_of(steps, 'step')} on {number_of(examples, 'example')}"]
    if done.best_score is not None:
        score = _score(stage, done.best_score)
        said.append(f"{score} in epoch {done.best_epoch} of {done.epochs}")
    said.append(size(stored.manifest.bytes))
    click.echo("; ".join(said))


def _score(stage: "Stage", score: float) -> str:
    """Name what the best weights were chosen by; a language's score is minus its loss."""
    task = getattr(stage, "task", None)
    return f"validation {task.score} {score:.3f}" if task else f"held-out loss {-score:.3f}"
