"""Stages carried out for real, on a tiny backbone and a little data written here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from composer.bundle.fingerprint import fingerprint_folder
from composer.recipe.expansion.stages import (
    DataUse,
    Evaluate,
    TaskSettings,
    TrainComposition,
    TrainLanguage,
    TrainTask,
)
from composer.recipe.grammar.adapters import AdapterShape, BottleneckAdapter, MAdapter
from composer.recipe.grammar.backbones import FolderBackbone
from composer.recipe.grammar.composition import parse_composition
from composer.recipe.grammar.data import FileData, Split
from composer.recipe.grammar.training import Training
from composer.train.context import Progress, StageContext, StopRequest

TRAINING = Training(
    epochs=2, batch_tokens=64, learning_rate=5e-3, threads=1, checkpoint_steps=3, patience=None
)
WIDE = BottleneckAdapter(kind="bottleneck", width=8)
TURNED = BottleneckAdapter(
    kind="bottleneck", placement="pfeiffer", width=8, non_linearity="gelu", invertible=True
)
DEEP = MAdapter(kind="madapter", width=4, train_norm=True)
INTENT = TaskSettings(type="text-classification", labels=None, pooling="mean", score="accuracy")
SLOTS = TaskSettings(type="token-classification", labels=None, pooling="mean", score="span-f1")
WARMTH = TaskSettings(type="regression", labels=None, pooling="first", score="pearson")

_ROOMS = ["kitchen", "bedroom", "living room"]
_THINGS = ["lamp", "light"]


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three tasks and one language, some sixty rows each."""
    folder = tmp_path_factory.mktemp("data")
    intent, domain, slots, warmth, text = ["text,label"], ["text,label"], [], ["text,label"], []
    for number in range(60):
        room, thing = _ROOMS[number % 3], _THINGS[number % 2]
        verb = ["on", "off", "up"][number // 3 % 3]
        sentence = f"turn {verb} the {thing} in the {room} {number}"
        intent.append(f"{sentence},{verb}")
        domain.append(f"{sentence},{thing}")
        warmth.append(f"{sentence},{number % 7}.5")
        start = sentence.index(room)
        span = f'{{"start": {start}, "end": {start + len(room)}, "label": "area"}}'
        slots.append(f'{{"text": "{sentence}", "spans": [{span}]}}')
        text.append(f"{sentence} please")
    for name, lines in [("intent", intent), ("domain", domain), ("warmth", warmth)]:
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (folder / "slots.jsonl").write_text("\n".join(slots) + "\n")
    for tag in ("en", "de"):
        (folder / f"text.{tag}.txt").write_text("\n".join(f"{line} {tag}" for line in text) + "\n")
    return folder


def use(name: str, *, languages: tuple[str, ...] = ("en",), examples: int | None = None) -> DataUse:
    return DataUse(
        source=FileData(source="files", path=name), languages=languages, examples=examples
    )


@dataclass
class Workshop:
    """Carries out stages in folders of its own, without an engine."""

    backbone_folder: Path
    data_folder: Path
    folder: Path
    precision: str = "float32"
    inputs: dict[str, Path] = field(default_factory=dict)
    stop: StopRequest = field(default_factory=StopRequest)
    progress: list[Progress] = field(default_factory=list)
    on_progress: Callable[[Progress], None] = lambda progress: None

    def context(self, name: str, *, run: str = "run") -> StageContext:
        out, checkpoint = (self.folder / run / name / part for part in ("out", "checkpoint"))
        out.mkdir(parents=True, exist_ok=True)
        checkpoint.mkdir(parents=True, exist_ok=True)
        return StageContext(
            out=out,
            checkpoint=checkpoint,
            inputs=dict(self.inputs),
            needs={stage: "0" * 63 + str(len(stage) % 10) for stage in self.inputs},
            key="ab" * 32,
            backbone=FolderBackbone(source="folder", path=str(self.backbone_folder)),
            backbone_folder=lambda: self.backbone_folder,
            fingerprints=fingerprint_folder(self.backbone_folder),
            precision=self.precision,
            folder=self.data_folder,
            report=self._note,
            stop=self.stop,
            recipe={},
            lock={},
        )

    def run(self, stage: object, *, run: str = "run") -> Path:
        from composer.train.stages import RUNNERS

        context = self.context(stage.name, run=run)  # type: ignore[attr-defined]
        RUNNERS[type(stage)](stage, context=context)
        self.inputs[stage.name] = context.out  # type: ignore[attr-defined]
        return context.out

    def _note(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.on_progress(progress)


@pytest.fixture
def workshop(tiny_folder: Path, data_folder: Path, tmp_path: Path) -> Workshop:
    return Workshop(backbone_folder=tiny_folder, data_folder=data_folder, folder=tmp_path)


def task_stage(
    name: str = "intent",
    *,
    shape: AdapterShape = WIDE,
    task: TaskSettings = INTENT,
    data: str = "intent.csv",
    over: Mapping[str, str] | None = None,
    languages: tuple[str, ...] = ("en",),
    training: Training = TRAINING,
) -> TrainTask:
    return TrainTask(
        name=f"task/{name}",
        shape=shape,
        task=task,
        data=use(data, languages=languages),
        over=over or {},
        training=training,
    )


def language_stage(tag: str, *, shape: AdapterShape = WIDE) -> TrainLanguage:
    return TrainLanguage(
        name=f"language/{tag}",
        shape=shape,
        data=use("text.$language.txt", languages=(tag,)),
        training=TRAINING,
    )


def composition_stage(
    expression: str,
    *,
    name: str = "few",
    train_norm: bool | None = None,
    training: Training = TRAINING,
) -> TrainComposition:
    composition = parse_composition(expression)
    return TrainComposition(
        name=f"composition/{name}",
        composition=composition,
        parts=_parts(expression),
        task=INTENT,
        data=use("intent.csv", examples=20),
        train_norm=train_norm,
        training=training,
    )


def evaluation_stage(
    expression: str, owner: str, *, data: str = "intent.csv", split: Split = "test"
) -> Evaluate:
    return Evaluate(
        name=f"evaluation/all/{owner.replace('/', '-')}/en",
        composition=parse_composition(expression),
        parts=_parts(expression),
        owner=owner,
        data=use(data),
        split=split,
        training=TRAINING,
    )


def _parts(expression: str) -> dict[str, str]:
    from composer.recipe.grammar.composition import adapter_names

    languages = ("en", "de")
    return {
        name: f"language/{name}" if name in languages else f"task/{name}"
        for name in adapter_names(parse_composition(expression))
    }


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
