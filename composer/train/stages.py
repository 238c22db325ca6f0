"""Which function carries out which kind of stage.

    RUNNERS[type(stage)](stage, context=context)

A runner reads `context.inputs`, writes `context.out` and nothing else. What it writes names no
stage, adapter or path, as those are labels: equal work has equal bytes. A bundle is the
exception, since its names are what a device asks for; they are part of its key.
"""

from collections.abc import Callable, Mapping
from typing import Any

from composer.recipe.expansion.stages import (
    Choose,
    Evaluate,
    Export,
    ScoreText,
    TrainComposition,
    TrainHead,
    TrainLanguage,
    TrainTask,
)
from composer.train.choosing import choose
from composer.train.evaluation import evaluate
from composer.train.exporting import export
from composer.train.language import train_language
from composer.train.language_head import train_head
from composer.train.language_loss import score_text
from composer.train.tasks import train_composition, train_task

RUNNERS: Mapping[type, Callable[..., Any]] = {
    TrainHead: train_head,
    TrainLanguage: train_language,
    TrainTask: train_task,
    TrainComposition: train_composition,
    Choose: choose,
    Evaluate: evaluate,
    ScoreText: score_text,
    Export: export,
}
