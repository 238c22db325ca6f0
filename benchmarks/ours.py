"""Composer's side: stages carried out as a run carries them out, without the engine around them."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from setting import SEED, Utterances

from composer.bundle.fingerprint import Fingerprints, fingerprint_folder
from composer.data.batches import batch_plan
from composer.data.encode import Encoded, Encoder
from composer.engine.planning.machine import resolve_precision
from composer.model.backbone import Backbone
from composer.model.composed import ComposedModel
from composer.model.files import HeadFile, write_adapter
from composer.model.folded import FoldedMixers, fold
from composer.model.mixers import TrainedMixers
from composer.model.parts import Part, new_bottleneck, new_head, new_owned
from composer.model.predictor import Predictor
from composer.recipe.expansion.stages import (
    DataUse,
    Evaluate,
    TaskSettings,
    TrainComposition,
    TrainTask,
)
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter
from composer.recipe.grammar.backbones import FolderBackbone
from composer.recipe.grammar.composition import Fuse, adapter_names, mixers_of, parse_composition
from composer.recipe.grammar.data import FileData, SplitPaths
from composer.recipe.grammar.training import Training
from composer.train.context import Progress, StageContext, StopRequest
from composer.train.stages import RUNNERS

WIDTH = 48
LOW = BottleneckAdapter(kind="bottleneck", placement="pfeiffer", width=WIDTH)
HIGH = BottleneckAdapter(kind="bottleneck", placement="houlsby", width=WIDTH)
_JUDGED = 8  # validation examples: judging is no part of what is timed


@dataclass(kw_only=True)
class Workplace:
    """Carries out stages on one backbone.

    Attributes:
        backbone: Its folder.
        folder: For results; a stage's is overwritten when it runs again.
        precision: "auto" is what the processor multiplies natively.
        fingerprints: Of the backbone; taken once, as a run does.
        steps: Optimizer steps of the last training.
        inputs: Stage -> result.
    """

    backbone: Path
    folder: Path
    precision: str = field(default_factory=lambda: resolve_precision("auto"))
    fingerprints: Fingerprints = field(init=False)
    steps: int = 0
    inputs: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fingerprints = fingerprint_folder(self.backbone)

    def seconds(self, stage: TrainTask | TrainComposition) -> float:
        """Train, and give the seconds from the stage's beginning to the end of its last step.

        Reading, checking and encoding the examples counts; judging after each epoch, and what is
        written before it, does not.
        """
        counted, last = 0.0, time.perf_counter()

        def note(progress: Progress) -> None:
            nonlocal counted, last
            now = time.perf_counter()
            if progress.score is None and progress.rate is not None:
                counted += now - last
                self.steps = progress.done
            last = now

        self.run(stage, note)
        return counted

    def run(
        self,
        stage: TrainTask | TrainComposition | Evaluate,
        report: Callable[[Progress], None] | None = None,
    ) -> Path:
        """Carry out a stage and give the folder of its result."""
        home = self.folder / stage.name
        shutil.rmtree(home, ignore_errors=True)
        context = StageContext(
            out=home / "out",
            checkpoint=home / "checkpoint",
            inputs=dict(self.inputs),
            needs=dict.fromkeys(self.inputs, "0" * 64),
            key="0" * 64,
            backbone=FolderBackbone(source="folder", path=str(self.backbone)),
            backbone_folder=lambda: self.backbone,
            fingerprints=self.fingerprints,
            precision=self.precision,
            folder=self.folder,
            report=report or (lambda progress: None),
            stop=StopRequest(),
            recipe={},
            lock={},
        )
        context.out.mkdir(parents=True)
        context.checkpoint.mkdir(parents=True)
        RUNNERS[type(stage)](stage, context=context)
        self.inputs[stage.name] = context.out
        return context.out

    def put(self, backbone: Backbone, names: Sequence[str]) -> dict[str, str]:
        """Write untrained adapters as if stages had trained them; give name -> stage."""
        for name in names:
            out = self.folder / "untrained" / name
            out.mkdir(parents=True, exist_ok=True)
            write_adapter(out, random_adapter(backbone, LOW, seed=len(self.inputs)), backbone)
            self.inputs[f"task/{name}"] = out
        return {name: f"task/{name}" for name in names}


def training(data: Utterances, *, steps: int | None = None, **changes: object) -> Training:
    """Give settings of one epoch: with batches of the default size, or so many of them."""
    known: dict[str, object] = {"epochs": 1, "checkpoint_steps": 1_000_000}
    if steps is not None:
        known["batch_tokens"] = budget(data, steps)
    return Training.model_validate(known | changes)


def budget(data: Utterances, steps: int) -> int:
    """Find the fewest tokens a batch that make at most so many batches."""
    lengths = [len(ids) for ids in data.ids]
    tokens = max(max(lengths), sum(lengths) // steps)
    while len(batch_plan(lengths, batch_tokens=tokens, seed=SEED)) > steps:
        tokens += 8
    return tokens


def task(
    data: Utterances,
    settings: Training,
    *,
    name: str = "one",
    shape: AdapterShape = LOW,
    pooling: str = "first",
) -> TrainTask:
    """Describe the training of one adapter; as the peers' heads do, its head reads [CLS]."""
    return TrainTask(
        name=f"task/{name}",
        shape=shape,
        task=_task(data, pooling),
        data=_use(data),
        over={},
        training=settings,
    )


def composition(
    data: Utterances, settings: Training, expression: str, parts: Mapping[str, str]
) -> TrainComposition:
    """Describe the training of a composition over adapters that are trained already."""
    return TrainComposition(
        name="composition/one",
        composition=parse_composition(expression),
        parts=parts,
        task=_task(data, "first"),
        data=_use(data),
        train_norm=None,
        training=settings,
    )


def predictor(
    backbone: Backbone, expression: str, *, shape: BottleneckAdapter = LOW, classes: int = 40
) -> Predictor:
    """Make a composition of random weights, folded as a bundle holds it, ready to predict."""
    composed = parse_composition(expression)
    names = [name for name in adapter_names(composed) if name != "none"]
    model = ComposedModel(
        backbone,
        composition=composed,
        adapters={name: random_adapter(backbone, shape, seed=i) for i, name in enumerate(names)},
        head=new_head(classes=classes, size=backbone.size, generator=_numbers(0)),
    )
    mixers = tuple(
        ("fuse" if isinstance(part, Fuse) else "gate", len(part.parts))
        for part in mixers_of(composed)
    )
    if mixers:
        owned = new_owned(
            mixers=mixers,
            train_norm=False,
            sites=backbone.norms,
            placement=shape.placement,
            size=backbone.size,
            generator=_numbers(1),
        )
        model.mixers = TrainedMixers(owned)
        model.mixers = FoldedMixers(fold(model))
    labels = tuple(f"label {number}" for number in range(classes))
    about = HeadFile(size=backbone.size, type="text-classification", labels=labels, pooling="mean")
    tokens = Encoder(backbone.tokenizer, max_tokens=backbone.max_tokens)
    return Predictor(model, about, tokens, batch_tokens=1_000_000)


def random_adapter(backbone: Backbone, shape: BottleneckAdapter, *, seed: int) -> Part:
    """Make an adapter with random weights."""
    return new_bottleneck(shape, sites=backbone.norms, size=backbone.size, generator=_numbers(seed))


def random_rows(count: int, tokens: int, *, vocabulary: int = 30_000) -> list[Encoded]:
    """Make rows of one length."""
    ids = torch.randint(1000, vocabulary, (count, tokens), generator=_numbers(count + tokens))
    return [
        Encoded(ids=row.tolist(), type_ids=[0] * tokens, special=[0] * tokens, offsets=[])
        for row in ids
    ]


def _numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _task(data: Utterances, pooling: str) -> TaskSettings:
    return TaskSettings(
        type="text-classification",
        labels=tuple(data.classes),
        pooling=pooling,
        score="accuracy",
    )


def _use(data: Utterances) -> DataUse:
    judged = data.file.with_name(f"{data.file.stem}-judged.jsonl")
    judged.write_text("\n".join(data.file.read_text().splitlines()[:_JUDGED]) + "\n")
    paths = SplitPaths(train=data.file.name, validation=judged.name, test=judged.name)
    return DataUse(source=FileData(source="files", path=paths), languages=("en",))
