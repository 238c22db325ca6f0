"""A bundle in Python: opened, verified, asked."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from composer.api.calling import Place, called
from composer.api.runtimes import Logits, Runtime, TorchRuntime, open_runtime, refuse_overflow
from composer.api.showing import table_html
from composer.bundle.manifest import Manifest
from composer.bundle.reader import OpenedBundle, open_bundle
from composer.bundle.records import CompositionRecord
from composer.bundle.sizes import size_report
from composer.data.examples import Example
from composer.data.predictions import Prediction, softmax
from composer.device.bundle import find_composition, read_texts
from composer.engine.commands.bundles import backbone_under, recorded_backbone
from composer.engine.commands.single import Command
from composer.errors import BundleError, Fault, RecipeError
from composer.recipe.grammar.backbones import Backbone
from composer.report.layout import count, size

if TYPE_CHECKING:
    from composer.model.plain import PlainModel

Text = str | tuple[str, str]
"""A text, or a pair of texts."""


class Bundle:
    """A bundle of which every byte was checked, ready to answer.

    Made by `Bundle.open`, `composer.export` or `Run.bundle`. Where the backbone lies in the
    bundle, ONNX Runtime answers and torch is not imported; else torch does. Its compositions may
    be asked from several threads.

    Example:
        bundle = composer.Bundle.open("home.zip")
        bundle.predict(["turn on the lamp"], composition="intent")
    """

    def __init__(
        self,
        opened: OpenedBundle,
        *,
        under: Backbone | None = None,
        command: Command | None = None,
        threads: int | None = None,
    ) -> None:
        self._opened, self._under, self._threads = opened, under, threads
        self._command = command or called(None)
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()  # of what is made once

    @classmethod
    def open(
        cls,
        path: Place,
        *,
        backbone: str | None = None,
        threads: int | None = None,
        public_key: Place | None = None,
        signature: Place | None = None,
    ) -> "Bundle":
        """Open a folder or a zip, and check every byte of it.

        Args:
            path: The folder, or the zip of one.
            backbone: `sample:NAME`, `folder:PATH` or `hub:OWNER/NAME@COMMIT`: run it on torch, on
                this backbone. Left out: by the graph in the bundle, or where it holds none, on
                the backbone that it was made for.
            threads: For one prediction by ONNX Runtime; None: as many as there are cores.
            public_key: PEM file of who is trusted; the bundle must be signed with it.
            signature: The detached signature; left out, `home.sig` beside `home` or `home.zip`.

        Raises:
            BundleError: For the first thing that is wrong; nothing of it is used then.
        """
        opened = open_bundle(path, public_key=public_key, signature=signature)
        return cls(opened, command=called(None, backbone=backbone), threads=threads)

    @property
    def path(self) -> Path:
        """The folder, or the zip."""
        return self._opened.path

    @property
    def manifest(self) -> Manifest:
        """All that the bundle says about itself."""
        return self._opened.manifest

    @property
    def digest(self) -> str:
        """SHA-256 of all that is in it, 64 hex digits."""
        return self.manifest.digest

    @property
    def compositions(self) -> tuple[str, ...]:
        """Names of the compositions, sorted."""
        return tuple(sorted(self.manifest.compositions))

    @property
    def languages(self) -> tuple[str, ...]:
        """Tags of the languages that it is meant for, sorted."""
        return self.manifest.languages

    @property
    def bytes(self) -> int:
        """How large all files are together."""
        return sum(row.bytes for row in size_report(self.manifest))

    def labels(self, composition: str | None = None) -> tuple[str, ...]:
        """Give the label set of a composition, in order; empty for a regression.

        Args:
            composition: Its name or expression; may be left out where there is just one.
        """
        return self.record(composition).labels

    def record(self, composition: str | None = None) -> CompositionRecord:
        """Give what the manifest says of a composition: type, labels, pooling, languages."""
        return self.manifest.compositions[self.named(composition)]

    def predict(
        self, texts: Sequence[Text], *, composition: str | None = None, truncate: bool = False
    ) -> list[Prediction]:
        """Predict for texts, or for pairs of texts, in their order.

        Args:
            texts: At least one character that is no space each; a pair is a tuple of two.
            composition: Its name or expression; may be left out where there is just one.
            truncate: Cut texts that are too long instead of refusing them.

        Returns:
            A `Prediction` a text: its `value` is a label, labels, a number or spans.

        Raises:
            DataError: A text is empty, or longer than the backbone takes.
            BundleError: There is no such composition, or an answer is no number.
        """
        name, examples = self.named(composition), read_texts(texts)
        found = self._answering().predict(name, examples, truncate=truncate)
        refuse_overflow(found, path=self.path, name=name)
        return found

    def probabilities(
        self, texts: Sequence[Text], *, composition: str | None = None, truncate: bool = False
    ) -> NDArray[np.float32]:
        """Give how probable each label is.

        Args:
            texts: As in `predict`.
            composition: As in `predict`.
            truncate: As in `predict`.

        Returns:
            (texts, labels), labels in the order of `labels`. Rows add to 1; where a text may
            have several labels, each is between 0 and 1 by itself.

        Raises:
            RecipeError: The composition gives a number or spans.
        """
        name = self.named(composition)
        kind = self.manifest.compositions[name].type
        if kind not in ("text-classification", "multi-label-classification"):
            message = f"{name!r} is a {kind}, whose answer is no label of a text; use predict"
            raise RecipeError([Fault("composition", message)])
        logits = self.outputs(read_texts(texts), composition=name, truncate=truncate)
        if not logits:
            return np.zeros((0, len(self.labels(name))), np.float32)
        rows = np.stack(logits)
        shares = softmax(rows) if kind == "text-classification" else 1 / (1 + np.exp(-rows))
        return shares.astype(np.float32)

    def outputs(
        self, examples: Sequence[Example], *, composition: str, truncate: bool = False
    ) -> list[Logits]:
        """Give what a composition's head puts out: (classes,) or (tokens, classes) an example."""
        return self._answering().logits(composition, examples, truncate=truncate)

    def verify(self) -> float:
        """Read every byte again, and run the self-test: inputs with what was answered at export.

        Returns:
            The largest difference, as a share of the largest output.

        Raises:
            BundleError: Something changed, or an answer is further off than the bundle allows.
        """
        opened = open_bundle(self.path)
        if opened.manifest.digest != self.digest:
            raise BundleError(f"{self.path}: is another bundle than was opened; open it again")
        return self._answering().self_test()

    def to_transformers(self, composition: str | None = None) -> "PlainModel":
        """Make a plain `transformers` model of a composition; see `composer.to_transformers`."""
        predictor = self.on_torch().predictor(self.named(composition))
        from composer.model.plain import plain_model

        return plain_model(predictor)

    def on_torch(self) -> TorchRuntime:
        """Put it on a backbone of its own, also where a graph lies in it.

        Raises:
            MissingExtraError: torch is not installed.
            BundleError: Its vocabulary is trimmed, or the backbone is another one.
        """
        block = self._block() or recorded_backbone(self._opened, self._command)
        return TorchRuntime(self._opened, block, folder=self._command.folder)

    def named(self, composition: str | None) -> str:
        """Give the name of a composition by its name or expression; None: the only one."""
        return choose_composition(self._opened, composition, place="composition")

    def _answering(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                folder, block = self._command.folder, self._block()
                self._runtime = open_runtime(
                    self._opened, block, folder=folder, threads=self._threads
                )
            return self._runtime

    def _block(self) -> Backbone | None:
        """Say which backbone it is put on; None: the one that lies in it."""
        if self._under is not None and not self.manifest.graphs:
            return self._under
        return backbone_under(self._opened, self._command)

    def __repr__(self) -> str:
        held = "with its backbone" if self.manifest.graphs else "parts only"
        names, tags = ", ".join(self.compositions), " ".join(self.languages)
        return (
            f"<Bundle {self.path}: {names}; {tags or 'any language'}; {size(self.bytes)}, {held}>"
        )

    def _repr_html_(self) -> str:
        compositions = [["composition", "expression", "type", "labels", "languages"]]
        for name in self.compositions:
            one = self.manifest.compositions[name]
            languages = " ".join(one.languages)
            labels = count(len(one.labels))
            compositions.append([name, one.expression, one.type, labels, languages])
        sizes = [[row.name, row.kind, size(row.bytes)] for row in size_report(self.manifest)]
        sizes = [["file or part", "kind", "size"], *sizes, ["in all", "", size(self.bytes)]]
        caption = f"{self.path.name}, for {self.manifest.backbone.name}"
        return table_html(compositions, right=[3], caption=caption) + table_html(sizes, right=[2])


def choose_composition(opened: OpenedBundle, asked: str | None, *, place: str) -> str:
    """Give the name of the composition that is asked for.

    Args:
        opened: The bundle.
        asked: Name or expression; None: the only one.
        place: Where it was asked, for messages.

    Raises:
        RecipeError: There are several, and none was asked for.
        BundleError: There is none of that name; the message names the nearest.
    """
    known = list(opened.manifest.compositions)
    if asked is None and len(known) > 1:
        raise RecipeError([Fault(place, f"the bundle holds {', '.join(known)}; say which")])
    return find_composition(opened, asked or known[0])
