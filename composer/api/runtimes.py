"""What answers for a bundle: ONNX Runtime where its backbone lies in it, else torch.

runtime = open_runtime(opened, None)
runtime.predict("intent", [Example(text="turn on the lamp")])
[Prediction(value='HassTurnOn', confidence=0.98)]
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from composer.bundle.reader import OpenedBundle
from composer.data.examples import Example
from composer.data.predictions import Prediction
from composer.data.samples.backbones import default_cache
from composer.device.bundle import Bundle
from composer.engine.planning.backbones import backbone_folder
from composer.errors import BundleError, MissingExtraError
from composer.recipe.grammar.backbones import Backbone

if TYPE_CHECKING:
    from composer.model.predictor import Predictor

Logits = NDArray[np.float32]
"""(classes,), or (tokens, classes) for token classification."""


class Runtime(Protocol):
    """A bundle with its backbone, ready to answer."""

    def predict(
        self, name: str, examples: Sequence[Example], *, truncate: bool = False
    ) -> list[Prediction]:
        """Predict with one of the bundle's compositions; only text and pair are read."""

    def logits(
        self, name: str, examples: Sequence[Example], *, truncate: bool = False
    ) -> list[Logits]:
        """Give what its head puts out."""

    def self_test(self) -> float:
        """Run the bundle's own test cases; give the largest difference, as a share."""


def open_runtime(
    opened: OpenedBundle,
    backbone: Backbone | None,
    *,
    folder: Path | None = None,
    threads: int | None = None,
) -> Runtime:
    """Make what answers for a bundle.

    Args:
        opened: The bundle.
        backbone: The block of the backbone to put it on; None: the one that lies in it.
        folder: What a path in the block starts from; None: the working folder.
        threads: For one prediction by ONNX Runtime; None: as many as there are cores.

    Raises:
        BundleError: The backbone is not the one that the bundle was made for.
        BackboneError: There is none.
    """
    if backbone is None:
        return DeviceRuntime(Bundle(opened, threads=threads))
    return TorchRuntime(opened, backbone, folder=folder or Path.cwd())


class DeviceRuntime:
    """Answers as a device does, without torch."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(
        self, name: str, examples: Sequence[Example], *, truncate: bool = False
    ) -> list[Prediction]:
        """Predict with one composition."""
        return self.bundle.use(name).predict_examples(examples, truncate=truncate)

    def logits(
        self, name: str, examples: Sequence[Example], *, truncate: bool = False
    ) -> list[Logits]:
        """Give what its head puts out."""
        rows = self.bundle.encode(examples, truncate=truncate, offsets=False)
        return self.bundle.use(name).logits(rows)

    def self_test(self) -> float:
        """Load every composition and run the test cases."""
        for name in self.bundle.compositions:
            self.bundle.use(name)  # its graph is loaded, test case or not
        return self.bundle.self_test()


class TorchRuntime:
    """Answers on torch, in float32, with a backbone that is loaded once."""

    def __init__(self, opened: OpenedBundle, block: Backbone, *, folder: Path) -> None:
        try:
            from composer.model.backbone import open_backbone
            from composer.model.bundled import check_backbone
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                library=error.name or "a library",
                needed_for=f"{opened.path} on a backbone outside it",
                extra="train",
            ) from error
        place = backbone_folder(block, folder=folder, cache=default_cache())
        limit = opened.manifest.backbone.max_tokens
        self.opened = opened
        self.backbone = open_backbone(place, precision="float32", max_tokens=limit)
        check_backbone(opened, place, self.backbone)
        self._predictors: dict[str, Predictor] = {}

    def predictor(self, name: str) -> "Predictor":
        """Give a composition on the backbone; put together when it is first asked for."""
        from composer.model.bundled import open_composition

        if name not in self._predictors:
            self._predictors[name] = open_composition(self.opened, name, self.backbone)
        return self._predictors[name]

    def predict(
        self, name: str, examples: Sequence[Example], *, truncate: bool = False
    ) -> list[Prediction]:
        """Predict with one composition."""
        return self.predictor(name).predict(examples, truncate=truncate)

    def logits(
        self, name: str, examples: Sequence[Example], *, truncate: bool = False
    ) -> list[Logits]:
        """Give what its head puts out."""
        predictor = self.predictor(name)
        found = predictor.logits(predictor.encode(examples, truncate=truncate))
        return [one.numpy() for one in found]

    def self_test(self) -> float:
        """Run the test cases on the backbone."""
        from composer.model.bundled import self_test

        return self_test(self.opened, self.backbone)


def refuse_overflow(found: Sequence[Prediction], *, path: Path, name: str) -> None:
    """Give no answer out of numbers that grew past what float32 can hold.

    Raises:
        BundleError: There is one.
    """
    for one in found:
        number = one.value if isinstance(one.value, float) else one.confidence
        if number is not None and not math.isfinite(number):
            raise BundleError(
                f"{path}: {name}: its answer is {number}, no number; "
                "its weights are finite and too large: they are not as they were trained"
            )
