"""Which evaluations of a recipe are stored, and what was predicted in them.

evaluation/far/mad-x/de with the seeds 1, 2, 3   ->   Evaluated("far", "mad-x", "de"), 3 results
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composer.data.predictions import Value, value_of
from composer.engine.planning.plan import Plan
from composer.engine.storage.store import Store
from composer.errors import Fault, RecipeError, did_you_mean
from composer.recipe.expansion.stages import Evaluate, TrainComposition, TrainTask
from composer.recipe.grammar.tasks import Score
from composer.train.results import read_scores

if TYPE_CHECKING:
    from composer.train.resampling import Judged


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One composition of one evaluation, in one language, as far as it is stored.

    Attributes:
        evaluation: Its name.
        composition: Its name.
        language: Of the examples.
        stage: What was scored.
        score: What the task is chosen by.
        unseen: Whether no labels of the language were learnt.
        results: Key -> folder of a result, one a training.
    """

    evaluation: str
    composition: str
    language: str
    stage: Evaluate
    score: Score
    unseen: bool
    results: Mapping[str, Path]

    @property
    def same_data(self) -> tuple[str, str, str, str]:
        """Say what this one shares with those that it may stand in a table with."""
        source = self.stage.data.source.model_dump_json()
        return (self.evaluation, self.score, self.stage.split, source)


def read_evaluated(
    plans: Sequence[Plan], store: Store, *, evaluations: Sequence[str] = ()
) -> list[Evaluated]:
    """Find what is stored of a recipe's evaluations, in its order; comparisons are left out.

    Args:
        plans: Of the same stages, one a seed.
        store: Of results.
        evaluations: Names of those to read; none: all.

    Raises:
        RecipeError: An evaluation is unknown.
    """
    stages = [one.stage for one in plans[0].stages if isinstance(one.stage, Evaluate)]
    stages = [one for one in stages if one.name.count("/") == 3]  # those of comparisons have more
    known = list(dict.fromkeys(one.name.split("/")[1] for one in stages))
    for name in evaluations:
        if name not in known:
            message = f"no evaluation is named {name!r}; {did_you_mean(name, known)}"
            raise RecipeError([Fault("--evaluation", message)])
    found = []
    for stage in stages:
        _, evaluation, composition, language = stage.name.split("/")
        owner = plans[0].by_name[stage.owner].stage
        if evaluation in (evaluations or known) and isinstance(owner, TrainTask | TrainComposition):
            found.append(
                Evaluated(
                    evaluation=evaluation,
                    composition=composition,
                    language=language,
                    stage=stage,
                    score=owner.task.score,
                    unseen=language not in owner.data.languages,
                    results=_results(plans, store, stage.name),
                )
            )
    return found


def read_judged(folder: Path) -> "Judged":
    """Read what was predicted of each example, and what is right."""
    from composer.train.resampling import Judged

    predictions: list[Value] = []
    gold: list[Value] = []
    with (folder / "predictions.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            predictions.append(value_of(row["predicted"]))
            gold.append(value_of(row["gold"]))
    return Judged(predictions=predictions, gold=gold)  # type: ignore[arg-type]


def data_digest(folder: Path) -> str:
    """Give the digest of what was scored."""
    return read_scores(folder).data_digest


def _results(plans: Sequence[Plan], store: Store, name: str) -> dict[str, Path]:
    """Find the results of one evaluation, each once: a seed may change nothing."""
    found: dict[str, Path] = {}
    for plan in plans:
        planned = plan.by_name[name]
        if planned.state == "done" and planned.key is not None and planned.key not in found:
            result = store.open(planned.key)
            if result is not None:
                found[planned.key] = result.folder
    return found
