"""A recipe of 60 languages that was "run" by runners that train nothing, but write what stages do.

Every number is drawn from the stage's name, so that the same recipe gives the same store.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from composer.bundle.writer import write_bundle
from composer.engine.planning.plan import make_plan
from composer.engine.planning.wanted import wanted_of
from composer.engine.running.events import RunOptions
from composer.engine.running.run import run_stages
from composer.engine.running.runners import Runner
from composer.engine.storage.store import Store
from composer.recipe.expansion.stages import (
    Choose,
    Evaluate,
    Export,
    ScoreText,
    Stage,
    TrainComposition,
    TrainHead,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.composition import mixers_of
from composer.recipe.reading.reader import LoadedRecipe, read_recipe
from composer.train.choosing import choose
from composer.train.context import StageContext
from composer.train.results import LossFile, MeanShares, ScoresFile, TrainingFile
from tests.bundle.content import content
from tests.engine.fakes import write_backbone

LANGUAGES = (
    "en de fr es it pt nl sv da nb fi et lv lt pl cs sk sl hr sr bg ro hu el tr ru uk be ka hy "
    "az kk ky uz mn fa ar he ur hi bn pa gu mr ne ta te kn ml si th lo my km vi id ms zh ja ko"
).split()
SEEN = LANGUAGES[:3]
EXAMPLES = 60
LAYERS = 12

RECIPE = f"""\
composer: 1
name: sixty-languages
backbone: {{source: folder, path: backbone, precision: float32}}
adapters:
  task: {{kind: bottleneck, width: 4}}
  language: {{kind: bottleneck, width: 2}}
  deep: {{kind: madapter, width: 4}}
data:
  text: {{source: files, path: text.txt}}
  intent: {{source: files, path: intent.csv}}
  domain: {{source: files, path: intent.csv, columns: {{label: domain}}}}
training: {{epochs: 5, learning_rate: 1.0e-3}}
languages:
  members: {json.dumps(LANGUAGES)}
  data: text
  adapter: language
  losses: {{adapters: [en, de, ko], languages: {json.dumps(LANGUAGES[:6])}}}
tasks:
  intent: {{type: text-classification, data: intent, languages: {json.dumps(SEEN)}, adapter: task,
            over: $language}}
  domain: {{type: text-classification, data: domain, languages: {json.dumps(SEEN)}, adapter: task,
            over: $language}}
  alone: {{type: text-classification, data: intent, languages: {json.dumps(SEEN)}, adapter: task}}
compositions:
  few-shot:
    expression: $language > fuse(intent, domain, none)
    train: {{task: intent, languages: {json.dumps(SEEN)}, examples: 20}}
evaluations:
  far: {{compositions: [intent, few-shot], languages: {json.dumps(LANGUAGES)}}}
compare:
  main:
    adapters: [task, language, deep]
    tasks: [alone]
    seeds: [1, 2]
    grid: {{learning_rate: [1.0e-4, 1.0e-3]}}
bundles:
  home: {{compositions: [few-shot], languages: [en, ko]}}
"""


def write_sixty(folder: Path) -> LoadedRecipe:
    """Write the recipe, and the little that it names."""
    write_backbone(folder / "backbone")
    (folder / "text.txt").write_text("a line of text\n")
    (folder / "intent.csv").write_text("text,label,domain\nlights on,on,light\nstop,off,other\n")
    (folder / "home.yaml").write_text(RECIPE)
    return read_recipe(folder / "home.yaml")


def run(loaded: LoadedRecipe, store: Store, *, only: Sequence[str] = ()) -> None:
    """Carry out a recipe, or a part of it."""
    plan = make_plan(wanted_of(loaded), store)
    run_stages(plan, store, RunOptions(runners=WritingRunners(), only=tuple(only)))


class WritingRunners(Mapping[type, Runner]):
    """Runners that write the files that reports read."""

    def __getitem__(self, kind: type) -> Runner:
        return write_result

    def __iter__(self) -> Iterator[type]:
        return iter((TrainLanguage, TrainTask, TrainComposition, Evaluate, Export))

    def __len__(self) -> int:
        return 5


def write_result(stage: Stage, /, *, context: StageContext) -> None:
    """Write what a stage of its kind would."""
    numbers = random.Random(stage.name)
    match stage:
        case Evaluate():
            _write_scores(stage, context.out, numbers)
        case ScoreText():
            language = stage.data.languages[0]
            own = f"/{language}/{language}" in stage.name
            LossFile(
                loss=round(numbers.uniform(1.8, 2.6) + (0.0 if own else 1.5), 3), pieces=800,
                texts=90, covered=0.97, language=language, split=stage.split,
            ).write(context.out / "loss.json")  # fmt: skip
        case Choose():
            choose(stage, context=context)
        case Export():
            write_bundle(context.out / "bundle", **content())  # type: ignore[arg-type]
        case _:
            _training(stage, numbers).write(context.out / "training.json")
            if isinstance(stage, TrainTask | TrainComposition):
                (context.out / "head.json").write_text('{"labels": ["off", "on"]}')


def _training(stage: Stage, numbers: random.Random) -> TrainingFile:
    from_text = isinstance(stage, TrainLanguage | TrainHead)
    start, fall = numbers.uniform(2.5, 4.5), numbers.uniform(0.5, 0.8)
    losses = [start * fall**epoch + 0.3 for epoch in range(stage.training.epochs)]
    scores = [-one - 0.2 if from_text else 1 - one / 6 for one in losses]
    return TrainingFile(
        steps=250, epochs=len(losses), best_epoch=len(losses), best_score=scores[-1],
        history=tuple({"loss": round(one, 4), "score": round(score, 4)}
                      for one, score in zip(losses, scores, strict=True)),
        trainable_parameters=numbers.randrange(50_000, 600_000), seed=13,
        training_examples=1000, validation_examples=100,
    )  # fmt: skip


def _write_scores(stage: Evaluate, out: Path, numbers: random.Random) -> None:
    language = stage.data.languages[0]
    skill = numbers.uniform(0.35, 0.7) + (0.25 if language in SEEN else 0.0)
    gold = [random.Random(f"{language}{n}").choice(("on", "off")) for n in range(EXAMPLES)]
    said = [one if numbers.random() < skill else "on" for one in gold]
    rows = [json.dumps({"gold": right, "predicted": one})
            for right, one in zip(gold, said, strict=True)]  # fmt: skip
    (out / "predictions.jsonl").write_text("\n".join(rows) + "\n")
    right = sum(one == two for one, two in zip(gold, said, strict=True))
    ScoresFile(
        scores={"accuracy": right / EXAMPLES}, n=EXAMPLES, language=language, split=stage.split,
        seed=13, data_digest=language,
        shares=tuple(_shares(len(one.parts), numbers) for one in mixers_of(stage.composition)),
    ).write(out / "scores.json")  # fmt: skip


def _shares(members: int, numbers: random.Random) -> MeanShares:
    def draw() -> tuple[float, ...]:
        weights = [numbers.random() ** 3 for _ in range(members)]
        return tuple(round(one / sum(weights), 6) for one in weights)

    sites = {f"{layer}.{where}": draw() for layer in range(LAYERS)
             for where in ("attention", "output")}  # fmt: skip
    return MeanShares(mean=draw(), sites=sites)
