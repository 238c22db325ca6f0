"""What one training did, in two lines.

task/intent: 49,722 trainable parameters
180 steps on 1,600 examples; validation accuracy 0.931 in epoch 6 of 8; 198.4 kB
"""

from dataclasses import dataclass

from composer.engine.planning.plan import Plan
from composer.engine.running.events import RunResult
from composer.engine.storage.store import StoredResult
from composer.recipe.expansion.stages import Stage
from composer.report.layout import count, number_of, size
from composer.train.results import TrainingFile, read_training


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A stage that was trained, and what it says of itself.

    Attributes:
        stage: What it did.
        stored: Its result.
        found: What it measured.
        known: Whether it was done before.
    """

    stage: Stage
    stored: StoredResult
    found: TrainingFile
    known: bool

    @property
    def score(self) -> str | None:
        """Name what the best weights were chosen by; None: a language's adapter, by its loss."""
        task = getattr(self.stage, "task", None)
        return task.score if task else None


def read_trained(plan: Plan, result: RunResult) -> Trained:
    """Read what the last stage of a command trained."""
    stage = plan.wanted.stages[-1]
    stored = result.results[stage.name]
    known = stage.name not in result.made
    return Trained(stage=stage, stored=stored, found=read_training(stored.folder), known=known)


def trained_lines(trained: Trained) -> list[str]:
    """Tell what was trained, on what, and how good it was."""
    found = trained.found
    known = " (done before)" if trained.known else ""
    said = [f"{number_of(found.steps, 'step')} on {number_of(found.training_examples, 'example')}"]
    if found.best_score is not None:
        score = _best(trained, found.best_score)
        said.append(f"{score} in epoch {found.best_epoch} of {found.epochs}")
    said.append(size(trained.stored.manifest.bytes))
    return [
        f"{trained.stage.name}{known}: {count(found.trainable_parameters)} trainable parameters",
        "; ".join(said),
    ]


def _best(trained: Trained, score: float) -> str:
    """A language's score is minus its loss."""
    if trained.score is None:
        return f"held-out loss {-score:.3f}"
    return f"validation {trained.score} {score:.3f}"
