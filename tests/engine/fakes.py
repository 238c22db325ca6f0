"""A recipe of six kinds of stages on a backbone of a few bytes, and runners that train nothing."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from composer.bundle.files import write_json
from composer.bundle.tensors import write_tensors
from composer.engine.running.runners import Runner
from composer.recipe.expansion.stages import (
    Evaluate,
    Export,
    Stage,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.train.context import Progress, StageContext

RECIPE = """
composer: 1
name: home
backbone: {source: folder, path: backbone, precision: float32}
adapters:
  task: {kind: madapter, width: 4}
  language: {kind: bottleneck, width: 2}
data:
  text: {source: files, path: text/$language.txt}
  intent: {source: files, path: intent.csv}
  domain: {source: files, path: domain.csv}
training: {epochs: 1, learning_rate: 1.0e-3}
languages: {members: [en, de], head: own, data: text, adapter: language}
tasks:
  intent: {type: text-classification, data: intent, languages: [en], adapter: task}
  domain:
    {type: text-classification, data: domain, languages: [en], adapter: task, over: $language}
compositions:
  few-shot:
    expression: $language > fuse(intent, domain)
    train: {task: intent, languages: [en], examples: 20}
evaluations:
  far: {compositions: [few-shot], languages: [en, de]}
bundles:
  home: {compositions: [few-shot], languages: [de]}
"""


def write_backbone(folder: Path, *, seed: int = 0) -> None:
    numbers = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    write_json(
        folder / "config.json",
        {"hidden_size": 8, "num_hidden_layers": 2, "max_position_embeddings": 32},
    )
    write_json(folder / "tokenizer.json", {"version": "1.0"})
    write_tensors(
        folder / "model.safetensors",
        {
            "embeddings.word_embeddings.weight": numbers.normal(size=(5, 8)).astype(np.float32),
            "encoder.layer.0.weight": numbers.normal(size=(8, 8)).astype(np.float32),
        },
    )


class FakeRunners(Mapping[type, Runner]):
    """Runners that write a small file that depends on nothing but the stage and its inputs.

    Attributes:
        calls: Names of the stages that were run.
        during: Called in the middle of each stage.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.during: Callable[[Stage, StageContext], object] = lambda stage, context: None

    def __getitem__(self, kind: type) -> Runner:
        return self.run

    def __iter__(self) -> Iterator[type]:
        return iter((TrainLanguage, TrainTask, TrainComposition, Evaluate, Export))

    def __len__(self) -> int:
        return 5

    def run(self, stage: Stage, /, *, context: StageContext) -> None:
        self.calls.append(stage.name)
        context.report(Progress(done=1, total=2, loss=0.5))
        self.during(stage, context)
        inputs = {
            context.needs[name]: sorted(path.name for path in at.iterdir())
            for name, at in context.inputs.items()
        }
        (context.out / "result.json").write_text(json.dumps(inputs, sort_keys=True))
        if isinstance(stage, TrainTask | TrainComposition):
            write_json(context.out / "head.json", {"labels": ["intent", "other"]})
        if isinstance(stage, Export):
            (context.out / "bundle").mkdir()
            write_json(context.out / "bundle" / "manifest.json", {"lock": dict(context.lock)})
