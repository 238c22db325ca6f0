"""What a stage takes: parameters and memory by formula, bytes and seconds as far as known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from composer.bundle.files import read_json
from composer.bundle.fingerprint import stored_tensors
from composer.data.samples.backbones import SAMPLE_BACKBONES
from composer.engine.planning.backbones import backbone_folder
from composer.engine.planning.expected import UNKNOWN, Basis, Expected
from composer.engine.storage.manifest import Manifest
from composer.errors import StoreError
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
from composer.recipe.grammar.adapters import AdapterShape
from composer.recipe.grammar.backbones import Backbone, SampleBackbone
from composer.recipe.grammar.meaning import class_count
from composer.recipe.sizes.backbone_shape import BackboneShape
from composer.recipe.sizes.fit import Trainable, adapter_parameters, trainable

TrainsText = TrainHead | TrainLanguage
Learning = TrainsText | TrainTask | TrainComposition

_BYTES_A_PARAMETER = 4  # float32
_BYTES_TRAINED = 16  # the weight, its gradient, and two moments of the optimizer
# Numbers a token, layer and hidden unit that are kept for the backward pass: inputs of products,
# norms and non-linearities, the feed-forward's four times as wide. Forward alone frees most.
_KEPT = {"train": 20, "score": 4}
_PREPACKED = 4  # bytes that a frozen weight takes more: it lies there twice more, in bfloat16
_PROCESS = 400 * 10**6  # bytes of a process that has imported torch and transformers


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage takes; None is unknown.

    Attributes:
        parameters: That it trains; 0 for a stage that trains nothing.
        trained: The same by what they are of, by formula; None where nothing is trained.
        total_parameters: Of all that is in memory: the backbone, frozen adapters, what is trained.
        has_head: Whether the head's are among them: the number of labels may not be known yet.
        bytes: Of its files; counted if it is done, estimated if not.
        memory: In bytes, at its peak; where it was never measured, by formula.
        seconds: From its start to its end.
        basis: Where time and memory are from; see `composer.engine.planning.expected`.
    """

    parameters: int | None
    trained: Trainable | None = None
    total_parameters: int | None = None
    has_head: bool = False
    bytes: int | None = None
    memory: int | None = None
    seconds: float | None = None
    basis: Basis | None = None


@dataclass(frozen=True, kw_only=True)
class LastResult:
    """The result that a label has now, of this key or an earlier one."""

    folder: Path
    manifest: Manifest


def backbone_parameters(backbone: Backbone, *, folder: Path, cache: Path) -> int:
    """Count the weights of a backbone that is there, without reading them."""
    if isinstance(backbone, SampleBackbone):
        return SAMPLE_BACKBONES[backbone.name].parameters
    place = backbone_folder(backbone, folder=folder, cache=cache)
    return sum(one.type.elements for one in stored_tensors(place).values())


@dataclass
class Costs:
    """Counts stage after stage, needs first.

    Attributes:
        backbone: Its shape; None: not known yet.
        parameters: Of the backbone; None likewise.
        shapes: Stage name -> the shape of the adapter that it trains.
        trained: Stage name -> how many parameters it trained, of stages counted so far.
    """

    backbone: BackboneShape | None
    parameters: int | None
    shapes: Mapping[str, AdapterShape]
    trained: dict[str, int | None] = field(default_factory=dict)

    def count(
        self,
        stage: Stage,
        *,
        last: LastResult | None,
        done: bool,
        expected: Expected = UNKNOWN,
    ) -> Cost:
        """Say what a stage takes.

        Args:
            stage: Whatever it does.
            last: The last result of its label.
            done: Whether that is the result wanted now.
            expected: Time and memory, as far as earlier runs tell.
        """
        size = last.manifest.bytes if last else None
        parameters: int | None = 0
        has_head, trained = False, None
        if isinstance(stage, Learning):
            parameters, trained, has_head = self._formula(stage, last, done=done)
        if isinstance(stage, Learning) and done and last is not None:
            parameters, has_head = _counted(last.folder), not isinstance(stage, TrainsText)
        elif isinstance(stage, Learning):
            size = None if parameters is None else parameters * _BYTES_A_PARAMETER
        self.trained[stage.name] = self._passed_on(stage, parameters)
        total = self._total(stage, parameters)
        return Cost(
            parameters=parameters,
            trained=trained,
            total_parameters=total,
            has_head=has_head,
            bytes=size,
            memory=expected.memory or self._memory(stage, parameters, total),
            seconds=expected.seconds,
            basis=expected.basis,
        )

    def _formula(
        self, stage: Learning, last: LastResult | None, *, done: bool
    ) -> tuple[int | None, Trainable | None, bool]:
        """Count what is trained: in all, by what it is of, and whether a head is among it."""
        classes = None if isinstance(stage, TrainsText) else _classes(stage, last)
        if self.backbone is None:
            return None, None, classes is not None
        dense = done and last is not None and _has_dense_head(last.folder)
        counted = trainable(
            stage, backbone=self.backbone, shapes=self.shapes, classes=classes, dense=dense
        )
        if counted.total == 0 and isinstance(stage, TrainComposition) and classes is None:
            return None, counted, False  # a head alone, of labels that are not known yet
        return counted.total, counted, classes is not None

    def _passed_on(self, stage: Stage, own: int | None) -> int | None:
        """Count what those that need a stage find in it: a choice passes a trial on."""
        return self.trained.get(stage.trials[0].stage) if isinstance(stage, Choose) else own

    def _total(self, stage: Stage, own: int | None) -> int | None:
        if isinstance(stage, Choose):
            return 0  # it reads scores and copies files
        needed = [self._of_need(name) for name in stage.needs if not _only_read(stage, name)]
        counts = [self.parameters, own, *needed]
        return None if None in counts else sum(one or 0 for one in counts)

    def _of_need(self, name: str) -> int | None:
        """Count what a need trained; of one that is stored, its adapter without the head."""
        if name in self.trained or name not in self.shapes or self.backbone is None:
            return self.trained.get(name)
        return adapter_parameters(self.shapes[name], self.backbone)

    def _memory(self, stage: Stage, own: int | None, total: int | None) -> int | None:
        """Estimate the peak: weights, optimizer state, and what is kept of a batch.

        Processes that share a stage share its frozen weights and its batches, nothing else.
        """
        if isinstance(stage, Choose):
            return _PROCESS
        if total is None or self.backbone is None:
            return None
        weights = total * _BYTES_A_PARAMETER
        if isinstance(stage, Export):
            return _PROCESS + (3 if stage.precision else 1) * weights  # read, exported, quantised
        kept = _KEPT["score" if isinstance(stage, Evaluate | ScoreText) else "train"]
        numbers = self._batch(stage) * self.backbone.hidden_size * self.backbone.layers
        frozen = weights - (own or 0) * _BYTES_A_PARAMETER
        each = _PROCESS + (own or 0) * _BYTES_TRAINED
        each += (self.parameters or 0) * (_PREPACKED if stage.training.prepack else 0)
        return stage.training.processes * each + frozen + numbers * kept * _BYTES_A_PARAMETER

    def _batch(self, stage: Learning | Evaluate | ScoreText) -> int:
        """Count the tokens of a batch; where it is a number of examples, at their longest."""
        if stage.training.batch_examples is None or self.backbone is None or stage.data is None:
            return stage.training.batch_tokens
        longest = stage.data.max_tokens or self.backbone.max_tokens
        return stage.training.batch_examples * longest


def _only_read(stage: Stage, need: str) -> bool:
    """Say whether a need's scores or settings are read, and none of its weights."""
    return need.startswith("evaluation/") or need == getattr(stage, "choice", None)


def _counted(folder: Path) -> int | None:
    """Read how many parameters a training counted itself."""
    if not (folder / "training.json").exists():
        return None
    counted = read_json(folder / "training.json", error=StoreError).get("trainable_parameters")
    return counted if isinstance(counted, int) else None


def _classes(stage: TrainTask | TrainComposition, last: LastResult | None) -> int | None:
    """Count the outputs of a stage's head; None while its label set is not known."""
    labels = stage.task.labels or (_labels_of(last.folder) if last else None)
    if stage.task.type != "regression" and labels is None:
        return None
    return class_count(stage.task.type, tuple(labels or ()))


def _has_dense_head(folder: Path) -> bool:
    """Say whether a stored head has two layers: one that was imported may."""
    return _head(folder).get("non_linearity") is not None


def _labels_of(folder: Path) -> tuple[str, ...] | None:
    """Read the label set of a stored head."""
    labels = _head(folder).get("labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else None


def _head(folder: Path) -> dict[str, object]:
    """Read what a stored head is; empty: there is none."""
    file = folder / "head.json"
    return read_json(file, error=StoreError) if file.exists() else {}
