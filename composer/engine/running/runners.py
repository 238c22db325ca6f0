"""Which function carries out a stage; the libraries that train are imported when one is."""

from collections.abc import Mapping
from typing import Protocol

from composer.errors import MissingExtraError
from composer.recipe.expansion.stages import Stage
from composer.train.context import StageContext


class Runner(Protocol):
    """Carries out one kind of stage: reads `context.inputs`, writes `context.out`."""

    def __call__(self, stage: Stage, /, *, context: StageContext) -> None:
        """Write the result of a stage; its folders are published when this returns."""


def runner_of(stage: Stage, runners: Mapping[type, Runner] | None) -> Runner:
    """Give what carries out a stage.

    Args:
        stage: Of any kind.
        runners: Stage class -> function; None: those of `composer.train.stages`.

    Raises:
        MissingExtraError: A library that trains is not installed.
    """
    if runners is None:
        try:
            from composer.train.stages import RUNNERS
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                library=error.name or "a library", needed_for=stage.name, extra="train"
            ) from error
        runners = RUNNERS
    return runners[type(stage)]
