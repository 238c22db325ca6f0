"""A stage whose weights are laid out beforehand gives the same bytes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from composer.model.products import Product
from composer.recipe.expansion.stages import TrainComposition, TrainLanguage, TrainTask
from composer.recipe.grammar.training import Training
from tests.model.test_prepacked import needs_operators
from tests.train.conftest import (
    TRAINING,
    Workshop,
    bytes_of,
    composition_stage,
    language_stage,
    task_stage,
)

Stage = TrainTask | TrainLanguage | TrainComposition
STAGES: Mapping[str, Stage] = {
    "task": task_stage("one"),
    "language": language_stage("en"),
    "fusion": composition_stage("fuse(one, two)"),
}


@needs_operators
@pytest.mark.parametrize("kind", STAGES)
def test_the_same_bytes_are_learnt(
    kind: str,
    tiny_folder: Path,
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    narrow = Workshop(
        backbone_folder=tiny_folder, data_folder=data_folder, folder=tmp_path, precision="bfloat16"
    )
    if kind == "fusion":
        narrow.run(task_stage("one"))
        narrow.run(task_stage("two", data="domain.csv"))
    asked: list[bool] = []
    multiplied = Product._multiplied

    def noted(self: Product, rows: object) -> object:
        asked.append(self.prepacked is not None)
        return multiplied(self, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(Product, "_multiplied", noted)
    results = []
    for prepack in (True, False):
        asked.clear()
        training = Training(**TRAINING.model_dump() | {"prepack": prepack})
        stage = replace(STAGES[kind], training=training)
        results.append(bytes_of(narrow.run(stage, run=str(prepack))))
        assert set(asked) == {prepack}  # so the next stage gives up what this one laid out
    assert results[0] == results[1]
