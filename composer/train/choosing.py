"""Choose the best of several trials, and train its settings again with other seeds.

    choice.json   {"score": "matthews", "chosen": "learning_rate=0.001", "trials": [
                      {"name": "learning_rate=0.0001", "settings": {"learning_rate": 0.0001},
                       "score": 0.41, "best_epoch": 7, "epochs": 9}, ...]}

Beside it lie the files of the trial that was chosen, so a choice is used as any training is.
"""

import math
import shutil
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from composer.bundle.files import read_json, write_json
from composer.errors import StoreError
from composer.recipe.expansion.stages import Choose, Setting, TrainTask
from composer.recipe.grammar.tasks import Score
from composer.train.context import StageContext
from composer.train.results import read_training

FILE = "choice.json"
_MANIFEST = "manifest.json"  # of the trial's own result


class TrialScore(BaseModel):
    """How good one trial was.

    Attributes:
        name: Of the point.
        settings: Field of `training` -> the value that was tried.
        score: Its best validation score.
        best_epoch: The epoch that had it, counted from 1.
        epochs: That were completed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    settings: dict[str, Setting]
    score: float | None
    best_epoch: int
    epochs: int


class ChoiceFile(BaseModel):
    """What was chosen, and from what.

    Attributes:
        score: What the trials were judged by.
        chosen: Name of the point.
        trials: All of them, in order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: Score
    chosen: str
    trials: tuple[TrialScore, ...]

    @property
    def settings(self) -> dict[str, Setting]:
        """Give the settings that were chosen."""
        return next(one.settings for one in self.trials if one.name == self.chosen)


def choose(stage: Choose, *, context: StageContext) -> None:
    """Choose the trial with the best validation score; of equal ones, the first."""
    trials = []
    for trial in stage.trials:
        done = read_training(context.inputs[trial.stage])
        trials.append(
            TrialScore(
                name=trial.name,
                settings=dict(trial.settings),
                score=done.best_score,
                best_epoch=done.best_epoch,
                epochs=done.epochs,
            )
        )
    best = best_trial(trials)
    stages = {trial.name: trial.stage for trial in stage.trials}
    _copy(context.inputs[stages[best.name]], context.out)
    found = ChoiceFile(score=stage.score, chosen=best.name, trials=tuple(trials))
    write_json(context.out / FILE, found.model_dump(mode="json"))


def best_trial(trials: list[TrialScore]) -> TrialScore:
    """Give the trial with the highest score; of equal ones, the first."""
    return max(trials, key=lambda one: -math.inf if one.score is None else one.score)


def read_choice(folder: Path) -> ChoiceFile:
    """Read a stage's `choice.json`."""
    return ChoiceFile.model_validate(read_json(folder / FILE, error=StoreError))


def settled(stage: TrainTask, context: StageContext) -> TrainTask:
    """Put what was chosen over a repeat's training; a task that rests on no choice stays."""
    if stage.choice is None:
        return stage
    chosen = read_choice(context.inputs[stage.choice]).settings
    return replace(stage, training=stage.training.model_copy(update=chosen), choice=None)


def _copy(trial: Path, out: Path) -> None:
    for path in sorted(trial.rglob("*")):
        name = path.relative_to(trial)
        if path.is_file() and name != Path(_MANIFEST):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / name)
